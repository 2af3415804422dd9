//! What has to hold across a leafnode link, whoever made the servers at its ends.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use async_nats::{HeaderMap, RequestErrorKind};
use futures_util::StreamExt;
use gatehouse_tests::{
    Addresses, BusOptions, GatewayOptions, InternalBus, Kind, Link, Pki, ProcessBuilder, Tokens,
    count_until_end, eventually, http_get, known, next_payload, settle, within,
};

async fn messages_cross_both_ways_once_and_in_order(link: &Link) -> Result<()> {
    let (outer, inner) = (link.outer.client().await?, link.inner.client().await?);
    for (from, to, subject) in [(&outer, &inner, "peer.in"), (&inner, &outer, "peer.out")] {
        let mut sub = to.subscribe(subject).await?;
        known(from, subject, &mut sub).await?;
        for i in 0..500 {
            from.publish(subject, i.to_string().into()).await?;
        }
        for i in 0..500 {
            let got = next_payload(&mut sub).await?;
            ensure!(got == i.to_string(), "{subject}: {got} in place of {i}");
        }
        ensure!(count_until_end(from, subject, &mut sub).await?.is_empty(), "{subject}: more than was sent");
    }
    Ok(())
}

async fn requests_and_headers_cross_both_ways(link: &Link) -> Result<()> {
    let (outer, inner) = (link.outer.client().await?, link.inner.client().await?);
    for (asks, answers, subject) in [(&outer, &inner, "peer.ask.in"), (&inner, &outer, "peer.ask.out")] {
        let mut sub = answers.subscribe(subject).await?;
        let responder = answers.clone();
        let serving = tokio::spawn(async move {
            while let Some(request) = sub.next().await {
                let (Some(reply), Some(headers)) = (request.reply, request.headers) else { continue };
                let answer = [b"re:", &*request.payload].concat();
                responder.publish_with_headers(reply, headers, answer.into()).await?;
            }
            anyhow::Ok(())
        });
        let ask = |n: usize| async move {
            let mut headers = HeaderMap::new();
            headers.insert("N", n.to_string());
            asks.request_with_headers(subject, headers, n.to_string().into()).await
        };
        // Until the interest is known, the answer is `no responders`.
        eventually("an answer through the link", || async { ask(0).await.ok() }).await?;
        for n in 1..50 {
            let answer = ask(n).await.with_context(|| format!("{subject} {n}"))?;
            ensure!(answer.payload == format!("re:{n}"), "{:?}", answer.payload);
            let header =
                answer.headers.as_ref().and_then(|headers| headers.get("N")).map(ToString::to_string);
            ensure!(header == Some(n.to_string()), "{header:?}");
        }
        serving.abort();
    }
    Ok(())
}

async fn requests_nobody_answers_fail_at_once(link: &Link) -> Result<()> {
    for end in [&link.outer, &link.inner] {
        let client = end.client().await?;
        let error = within("an answer", client.request("peer.nobody", "".into()))
            .await?
            .err()
            .context("an answer")?;
        ensure!(error.kind() == RequestErrorKind::NoResponders, "{error}");
    }
    Ok(())
}

async fn queue_groups_span_the_link(link: &Link) -> Result<()> {
    let (outer, inner) = (link.outer.client().await?, link.inner.client().await?);
    let mut inside = inner.queue_subscribe("peer.work", "q".into()).await?;
    let mut outside = outer.queue_subscribe("peer.work", "q".into()).await?;
    let (mut seen_inside, mut seen_outside) =
        (inner.subscribe("peer.mark").await?, outer.subscribe("peer.mark").await?);
    known(&outer, "peer.mark", &mut seen_inside).await?;
    known(&inner, "peer.mark", &mut seen_outside).await?;
    for (side, publisher) in [("out", link.outer.client().await?), ("in", link.inner.client().await?)] {
        for i in 0..200 {
            publisher.publish("peer.work", format!("{side}{i}").into()).await?;
        }
        publisher.flush().await?;
    }
    let mut counts = BTreeMap::<String, usize>::new();
    while counts.len() < 400 {
        let message = within("work", async {
            tokio::select! { one = inside.next() => one, one = outside.next() => one }
        });
        let message = message.await.with_context(|| format!("after {}", counts.len()))?.context("ended")?;
        *counts.entry(String::from_utf8(message.payload.to_vec())?).or_default() += 1;
    }
    ensure!(counts.values().all(|count| *count == 1), "a message came twice");
    Ok(())
}

async fn a_cut_link_comes_back_with_all_interest_and_nothing_twice(link: &Link) -> Result<()> {
    let (outer, inner) = (link.outer.client().await?, link.inner.client().await?);
    let mut sub = inner.subscribe("peer.traffic").await?;
    known(&outer, "peer.traffic", &mut sub).await?;
    let gone = inner.subscribe("peer.gone").await?;

    let traffic = link.outer.client().await?;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let publishing = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            traffic.publish("peer.traffic", format!("t{sent}").into()).await?;
            sent += 1;
            tokio::task::yield_now().await;
            if sent % 50 == 0 {
                settle(&traffic).await?;
            }
        }
        settle(&traffic).await?;
        anyhow::Ok(sent)
    });
    next_payload(&mut sub).await?;
    link.proxy.cut();
    // Made and ended while the link is down: the other side must learn both when it is back.
    let mut made_inside = Vec::new();
    for i in 0..50 {
        made_inside.push(inner.subscribe(format!("peer.new.in.{i}")).await?);
    }
    let mut made_outside = Vec::new();
    for i in 0..50 {
        made_outside.push(outer.subscribe(format!("peer.new.out.{i}")).await?);
    }
    drop(gone);
    settle(&inner).await?;
    // No round trip here: a publisher outside is held back while the link is down.
    outer.flush().await?;
    link.proxy.restore();

    let (last_in, last_out) = ("peer.new.in.49", "peer.new.out.49");
    known(&outer, last_in, made_inside.last_mut().context("none")?).await?;
    known(&inner, last_out, made_outside.last_mut().context("none")?).await?;
    for i in 0..50 {
        outer.publish(format!("peer.new.in.{i}"), i.to_string().into()).await?;
        inner.publish(format!("peer.new.out.{i}"), i.to_string().into()).await?;
    }
    for (i, (inside, outside)) in made_inside.iter_mut().zip(&mut made_outside).enumerate() {
        ensure!(
            next_payload(inside).await? == i.to_string() && next_payload(outside).await? == i.to_string(),
            "subject {i}"
        );
    }
    let error = outer.request("peer.gone", "".into()).await.err().context("an answer")?;
    ensure!(error.kind() == RequestErrorKind::NoResponders, "interest of the past: {error}");

    stop.send(()).ok().context("the publisher has ended")?;
    let sent = within("the publisher", publishing).await???;
    let counts = count_until_end(&outer, "peer.traffic", &mut sub).await?;
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "twice, of {sent}: {twice:?}");
    ensure!(counts.contains_key(&format!("t{}", sent - 1)), "the last message of {sent} is missing");
    Ok(())
}

macro_rules! on_links {
    ($($module:ident: $link:expr;)*) => {$(
        mod $module {
            use super::*;

            on_links!(@ $link; messages_cross_both_ways_once_and_in_order requests_and_headers_cross_both_ways
                requests_nobody_answers_fail_at_once queue_groups_span_the_link
                a_cut_link_comes_back_with_all_interest_and_nothing_twice);
        }
    )*};
    (@ $link:expr; $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() -> Result<()> {
            match $link {
                Some(link) => super::$name(&link).await,
                None => Ok(()),
            }
        }
    )*};
}

on_links! {
    stock_to_stock: Link::conf(Kind::Stock, Kind::Stock).await?;
    stock_to_bus: Link::stock_to_bus(Kind::Stock).await?;
    stock_to_bus_from_nats_conf: Link::conf(Kind::Stock, Kind::Ours).await?;
    bus_from_nats_conf_to_stock: Link::conf(Kind::Ours, Kind::Stock).await?;
    gateway_to_stock: Link::gateway_to_stock(Kind::Stock).await?;
    gateway_to_bus: Some(Link::gateway_to_bus().await?);
    bus_to_gateway: Some(Link::bus_to_gateway().await?);
    gateway_and_bus_as_clusters: Some(Link::clusters_ours().await?);
    gateway_and_stock_as_clusters: Link::clusters_stock(Kind::Stock).await?;
    older_2_14_to_bus: Link::stock_to_bus(Kind::Older("2.14")).await?;
    older_2_12_to_bus: Link::stock_to_bus(Kind::Older("2.12")).await?;
    gateway_to_older_2_14: Link::gateway_to_stock(Kind::Older("2.14")).await?;
    gateway_to_older_2_12: Link::gateway_to_stock(Kind::Older("2.12")).await?;
    gateway_and_older_2_14_as_clusters: Link::clusters_stock(Kind::Older("2.14")).await?;
    gateway_and_older_2_12_as_clusters: Link::clusters_stock(Kind::Older("2.12")).await?;
}

/// Starts our gateway with a certificate of another name, or from another CA, in front of our bus: the link must not
/// come up.
async fn refused_link(cert: &str, ca: &str) -> Result<()> {
    let pki = Pki::new()?;
    let tokens = Tokens::new(pki.dir())?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    if cert != "event-gateway" {
        for kind in ["crt", "key"] {
            std::fs::copy(pki.path(&format!("{cert}.{kind}")), pki.path(&format!("event-gateway.{kind}")))?;
        }
    }
    let options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
    let toml = options.to_toml(&pki, &tokens).replace(&pki.text("internal-ca.crt"), &pki.text(ca));
    std::fs::write(pki.path("refused.toml"), toml)?;
    let program = gatehouse_tests::binary("event-gateway")?;
    let mut process = ProcessBuilder::new(program, pki.path("refused.log"))
        .arg("--config")
        .arg(pki.path("refused.toml"))
        .spawn()?;
    let ports =
        |_: &str| Addresses::from_ports_file(&std::fs::read_to_string(pki.path("gateway.ports")).ok()?).ok();
    let admin = process.wait_for("a ports file", ports).await?.admin.context("no monitoring port")?;
    let failed =
        |log: &str| log.lines().any(|line| line.contains("WARN") || line.contains("ERROR")).then_some(());
    process.wait_log("a word about the link", failed).await?;
    ensure!(http_get(admin, "/readyz").await?.status == 503, "ready without a link");
    ensure!(http_get(bus.admin()?, "/leafz").await?.json()?["leafnodes"] == 0, "the bus accepted the link");
    Ok(())
}

#[tokio::test]
async fn a_peer_of_another_name_does_not_link() -> Result<()> {
    refused_link("billing", "internal-ca.crt").await
}

#[tokio::test]
async fn a_peer_from_another_ca_does_not_link() -> Result<()> {
    refused_link("stranger", "internal-ca.crt").await
}

#[tokio::test]
async fn a_bus_from_another_ca_is_not_linked_to() -> Result<()> {
    refused_link("event-gateway", "stranger-ca.crt").await
}

#[tokio::test]
async fn publishers_outside_are_held_while_the_link_is_down_and_nothing_is_lost() -> Result<()> {
    let link = Link::gateway_to_bus().await?;
    let (outer, inner) = (link.outer.client().await?, link.inner.client().await?);
    let mut sub = inner.subscribe("peer.held").await?;
    known(&outer, "peer.held", &mut sub).await?;
    link.proxy.cut();
    // The gateway learns of the loss at once: its connection has ended. What comes after that is held, not lost.
    eventually("the loss of the link", || async {
        let answer =
            tokio::time::timeout(std::time::Duration::from_millis(50), outer.request("peer.x", "".into()));
        // Held: no answer at once.
        answer.await.is_err().then_some(())
    })
    .await?;
    for i in 0..100 {
        outer.publish("peer.held", i.to_string().into()).await?;
    }
    outer.flush().await?;
    link.proxy.restore();
    for i in 0..100 {
        let got = next_payload(&mut sub).await?;
        ensure!(got == i.to_string(), "{got} in place of {i}");
    }
    Ok(())
}
