//! Messages that clients outside publish while the bus can't be reached: acknowledged by the gateway once they are on
//! its disk, delivered in order when the link is back, also by a gateway that was killed in between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use gatehouse_tests::{
    ConfServer, Gateway, GatewayOptions, Kind, Pki, Proxy, Tokens, eventually, http_get, within,
};
use serde_json::Value;

const CONF: &str = r#"
listen: "127.0.0.1:-1"
jetstream { store_dir: "./js" }
leafnodes { listen: "127.0.0.1:-1" }
"#;

/// A stock server with a stream, a gateway before it whose route keeps what it can't send, and the wire between them.
struct Edge {
    inner: jetstream::Context,
    gateway: Gateway,
    wire: Proxy,
    tokens: Tokens,
    toml: GatewayOptions,
    bus: ConfServer,
    pki: Pki,
}

impl Edge {
    async fn start(edge: &str) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let Some(bus) = ConfServer::named(Kind::Stock, pki.dir(), "stock", CONF).await? else {
            return Ok(None);
        };
        let inner = jetstream::new(async_nats::connect(bus.url()).await?);
        let stream = jetstream::stream::Config {
            name: "EVENTS".into(),
            subjects: vec!["ext.events.>".into()],
            ..Default::default()
        };
        inner.create_stream(stream).await?;
        let wire = Proxy::to(bus.addresses.leafnodes.context("no leafnode port")?).await?;
        let tokens = Tokens::new(pki.dir())?;
        let mut toml = GatewayOptions::dialling(&pki, wire.address());
        toml.link = format!(
            "urls = [\"nats-leaf://{}\"]\ndiscover = false\nbackoff_max = \"200ms\"\nhold = \"500ms\"\n",
            wire.address()
        );
        toml.rights = toml.rights.replace("\"peer.>\", \"orders", "\"events.>\", \"peer.>\", \"orders");
        toml.routes.push_str(
            "\n[[routes]]\nsubject = \"events.>\"\nto = \"ext.events.>\"\ndirection = \"inward\"\nstore_and_forward = true\n",
        );
        toml.sections = format!("[edge]\ndir = \"edge\"\n{edge}\n");
        let mut gateway = Gateway::start_plain(&pki, &tokens, &toml).await?;
        gateway.ready().await?;
        Ok(Some(Self { inner, gateway, wire, tokens, toml, bus, pki }))
    }

    async fn client(&self) -> Result<jetstream::Context> {
        Ok(jetstream::new(self.gateway.client(&self.pki, &self.tokens.good()?).await?))
    }

    /// Cuts the wire and waits until the gateway knows.
    async fn cut(&self) -> Result<()> {
        self.wire.cut();
        let admin = self.gateway.admin()?;
        eventually("a gateway that knows", || async {
            http_get(admin, "/readyz").await.ok().filter(|answer| answer.status == 503)
        })
        .await?;
        Ok(())
    }

    /// The payloads of the stream, in order, once there are so many.
    async fn stored(&self, count: u64) -> Result<Vec<String>> {
        let stream = self.inner.get_stream("EVENTS").await?;
        eventually("all messages", || async {
            let state = stream.get_info().await.ok()?.state;
            (state.messages >= count).then_some(())
        })
        .await?;
        let mut payloads = Vec::new();
        for seq in 1..=stream.get_info().await?.state.last_sequence {
            payloads.push(String::from_utf8(stream.get_raw_message(seq).await?.payload.to_vec())?);
        }
        Ok(payloads)
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        let page = http_get(self.gateway.admin()?, "/metrics").await?.body;
        let line =
            page.lines().find(|line| line.starts_with(&format!("{name} "))).context("no such metric")?;
        Ok(line.rsplit(' ').next().context("no value")?.parse()?)
    }
}

/// Publishes and waits for whoever acknowledges; the name in the acknowledgement.
async fn publish(context: &jetstream::Context, payload: &str, id: Option<&str>) -> Result<(String, bool)> {
    let mut headers = async_nats::HeaderMap::new();
    if let Some(id) = id {
        headers.insert("Nats-Msg-Id", id);
    }
    let sent = context.publish_with_headers("events.made", headers, payload.to_owned().into()).await?;
    let ack = within("an acknowledgement", sent.into_future()).await??;
    Ok((ack.stream, ack.duplicate))
}

#[tokio::test]
async fn what_is_published_while_the_link_is_down_arrives_in_order_and_once() -> Result<()> {
    let Some(edge) = Edge::start("").await? else { return Ok(()) };
    let client = edge.client().await?;
    ensure!(publish(&client, "0", None).await? == ("EVENTS".into(), false));
    edge.cut().await?;
    for i in 1..=40 {
        let (stream, _) = publish(&client, &i.to_string(), Some(&format!("id-{i}"))).await?;
        ensure!(stream == "gatehouse-edge", "{stream}");
    }
    ensure!(publish(&client, "40", Some("id-40")).await? == ("gatehouse-edge".into(), true), "no duplicate");
    // Fire and forget is kept too.
    client.client().publish("events.made", "41".into()).await?;
    client.client().flush().await?;
    eventually("a full count", || async {
        (edge.metric("gatehouse_edge_messages").await.ok()? >= 41.0).then_some(())
    })
    .await?;
    edge.wire.restore();
    let expected: Vec<String> = (0..=41).map(|i| i.to_string()).collect();
    let stored = edge.stored(42).await?;
    ensure!(stored == expected, "{stored:?}");
    eventually("an empty buffer", || async {
        (edge.metric("gatehouse_edge_messages").await.ok()? < 1.0).then_some(())
    })
    .await?;
    // From here on the stream answers itself again.
    eventually("the stream", || async {
        (publish(&client, "42", Some("id-42")).await.ok()?.0 == "EVENTS").then_some(())
    })
    .await
}

#[tokio::test]
async fn a_killed_gateway_delivers_what_it_has_acknowledged() -> Result<()> {
    let Some(mut edge) = Edge::start("").await? else { return Ok(()) };
    let client = edge.client().await?;
    edge.cut().await?;
    for i in 0..20 {
        publish(&client, &i.to_string(), None).await?;
    }
    edge.gateway.process.kill().await?;
    edge.gateway = Gateway::start_plain(&edge.pki, &edge.tokens, &edge.toml).await?;
    edge.wire.restore();
    edge.gateway.ready().await?;
    let stored = edge.stored(20).await?;
    ensure!(stored == (0..20).map(|i| i.to_string()).collect::<Vec<_>>(), "{stored:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_buffer_refuses_clearly_and_goes_on_when_there_is_room() -> Result<()> {
    let Some(edge) = Edge::start("max_bytes = \"4 KiB\"").await? else { return Ok(()) };
    let client = edge.client().await?;
    edge.cut().await?;
    let payload = "x".repeat(1024);
    let mut taken = 0;
    let refused = loop {
        ensure!(taken < 50, "no bound");
        let sent = client.publish("events.made".to_owned(), payload.clone().into()).await?;
        match tokio::time::timeout(Duration::from_secs(5), sent.into_future()).await? {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    ensure!(taken >= 3, "{taken}");
    ensure!(refused.to_string().contains("respond") || refused.to_string().contains("found"), "{refused}");
    edge.wire.restore();
    edge.stored(taken).await?;
    eventually("room", || async { publish(&client, "more", None).await.ok() }).await?;
    Ok(())
}

#[tokio::test]
async fn conditions_nobody_can_check_are_refused_and_the_sender_is_known_later() -> Result<()> {
    let Some(edge) = Edge::start("").await? else { return Ok(()) };
    let client = edge.client().await?;
    edge.cut().await?;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Sequence", "0");
    let answer = client.client().request_with_headers("events.made", headers, "x".into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["error"]["code"] == 503, "{answer}");
    publish(&client, "kept", None).await?;
    edge.wire.restore();
    edge.stored(1).await?;
    let message = edge.inner.get_stream("EVENTS").await?.get_raw_message(1).await?;
    let header = |name: &str| message.headers.get(name).map(ToString::to_string);
    ensure!(header("Nats-Msg-Id").is_some(), "{:?}", message.headers);
    ensure!(header("Gateway-Issuer").as_deref() == Some(Tokens::ISSUER), "{:?}", message.headers);
    ensure!(message.subject.as_str() == "ext.events.made", "{}", message.subject);
    Ok(())
}

/// Publishes, and says whether the edge buffer has acknowledged it; `false` when nobody has for a while.
async fn kept(context: &jetstream::Context, payload: &str, id: Option<&str>) -> Result<bool> {
    let moment = Duration::from_millis(300);
    match tokio::time::timeout(moment, publish(context, payload, id)).await {
        Ok(acknowledged) => Ok(acknowledged?.0 == "gatehouse-edge"),
        Err(_) => Ok(false),
    }
}

/// A bus that stands still is no bus whose link is down: nothing closes, and what is sent goes into the sockets.
#[tokio::test]
async fn what_is_published_to_a_bus_that_stands_still_is_kept_and_comes_once_and_in_order() -> Result<()> {
    let Some(edge) = Edge::start("").await? else { return Ok(()) };
    let client = edge.client().await?;
    publish(&client, "0", None).await?;
    edge.bus.process.signal("STOP").await?;
    // The first ones go into the link: nobody acknowledges them before the bus goes on.
    let mut count = 1;
    while !kept(&client, &count.to_string(), None).await? {
        ensure!(count < 60, "the link never counts as silent");
        count += 1;
    }
    for _ in 0..40 {
        count += 1;
        let (stream, _) = publish(&client, &count.to_string(), None).await?;
        ensure!(stream == "gatehouse-edge", "{count} was acknowledged by {stream}");
    }
    ensure!(edge.metric("gatehouse_link_silent_total").await? > 0.5);
    ensure!(edge.metric("gatehouse_edge_messages").await? > 40.5);
    edge.bus.process.signal("CONT").await?;
    let expected: Vec<String> = (0..=count).map(|i| i.to_string()).collect();
    let stored = edge.stored(count + 1).await?;
    ensure!(stored == expected, "{stored:?}");
    eventually("an empty buffer", || async {
        (edge.metric("gatehouse_edge_messages").await.ok()? < 0.5).then_some(())
    })
    .await?;
    // From here on the stream answers itself again.
    eventually("the stream", || async {
        (publish(&client, "more", None).await.ok()?.0 == "EVENTS").then_some(())
    })
    .await?;
    let stored = edge.stored(count + 2).await?;
    ensure!(stored.iter().filter(|payload| *payload != "more").eq(&expected), "{stored:?}");
    Ok(())
}

/// As above, but the wire swallows everything until it is cut: what was kept goes over the next link.
#[tokio::test]
async fn a_link_that_falls_silent_and_then_breaks_loses_nothing_that_was_acknowledged() -> Result<()> {
    let Some(edge) = Edge::start("").await? else { return Ok(()) };
    let client = edge.client().await?;
    publish(&client, "0", Some("id-0")).await?;
    edge.wire.silence();
    for i in 1..=20 {
        // What went into the silent link is sent again, as publishers do.
        for attempt in 0.. {
            ensure!(attempt < 60, "the link never counts as silent");
            if kept(&client, &i.to_string(), Some(&format!("id-{i}"))).await? {
                break;
            }
        }
    }
    edge.cut().await?;
    edge.wire.restore();
    let expected: Vec<String> = (0..=20).map(|i| i.to_string()).collect();
    let stored = edge.stored(21).await?;
    ensure!(stored == expected, "{stored:?}");
    Ok(())
}
