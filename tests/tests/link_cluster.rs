//! The gateway in front of a stock cluster with JetStream: several links, nodes that die, streams over there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use futures_util::StreamExt;
use gatehouse_tests::{
    Cluster, ClusterOptions, Gateway, GatewayOptions, Pki, Tokens, eventually, http_get, within,
};
use tokio::time::Instant;

/// A gateway before a cluster, and a client of each.
struct Front {
    outer: async_nats::Client,
    inner: async_nats::Client,
    gateway: Gateway,
    cluster: Cluster,
    _pki: Pki,
}

/// Rights and routes for what these tests do, streams of the cluster included.
fn options(pki: &Pki, cluster: &Cluster, known: usize, lines: &str) -> GatewayOptions {
    let mut options = GatewayOptions::dialling(pki, cluster.nodes[0].leafnodes());
    let urls: Vec<_> = cluster
        .nodes
        .iter()
        .take(known)
        .map(|node| format!("\"nats-leaf://{}\"", node.leafnodes()))
        .collect();
    options.link = format!(
        "urls = [{}]\nuser = \"app\"\npassword = \"app\"\njetstream_domain = \"hub\"\nbackoff_max = \"500ms\"\n{lines}\n",
        urls.join(", ")
    );
    options.rights = options
        .rights
        .replace("\"peer.>\", \"orders", "\"$JS.>\", \"$KV.>\", \"events.>\", \"peer.>\", \"orders");
    options.routes.push_str("\n[[routes]]\nsubject = \"events.>\"\ndirection = \"inward\"\n");
    options
}

impl Front {
    async fn start(lines: &str) -> Result<Option<Self>> {
        Self::start_knowing(3, lines).await
    }

    /// With the addresses of so many nodes configured.
    async fn start_knowing(nodes: usize, lines: &str) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let Some(cluster) = Cluster::start(pki.dir(), &ClusterOptions::default()).await? else {
            return Ok(None);
        };
        let tokens = Tokens::new(pki.dir())?;
        let toml = options(&pki, &cluster, nodes, lines);
        let mut gateway = Gateway::start_plain(&pki, &tokens, &toml).await?;
        gateway.ready().await?;
        let outer = gateway.client(&pki, &tokens.good()?).await?;
        let inner = cluster.client().await?;
        Ok(Some(Self { outer, inner, gateway, cluster, _pki: pki }))
    }

    async fn links(&self) -> Result<Vec<serde_json::Value>> {
        let page = http_get(self.gateway.admin()?, "/leafz").await?.json()?;
        Ok(page["leafs"].as_array().cloned().unwrap_or_default())
    }
}

/// A service on the inside that answers with what it was asked.
async fn serve(client: &async_nats::Client, subject: &str) -> Result<()> {
    let mut asked = client.queue_subscribe(subject.to_owned(), "workers".to_owned()).await?;
    client.flush().await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply {
                drop(client.publish(reply, message.payload).await);
            }
        }
    });
    Ok(())
}

/// Publishes one message until a stream takes it: its interest has to come through cluster and link first.
async fn interest_known(context: &jetstream::Context, subject: &str) -> Result<()> {
    eventually("a stream that takes messages", || async {
        context.publish(subject.to_owned(), "0".into()).await.ok()?.await.ok()
    })
    .await
    .map(drop)
}

/// Asks until there is an answer; how long that took.
async fn until_answered(client: &async_nats::Client, subject: &str) -> Result<Duration> {
    let began = Instant::now();
    eventually("an answer", || async {
        let asked = client.request(subject.to_owned(), "x".into());
        tokio::time::timeout(Duration::from_millis(200), asked).await.ok()?.ok()
    })
    .await?;
    Ok(began.elapsed())
}

#[tokio::test]
async fn streams_of_the_cluster_are_used_from_outside_without_knowing() -> Result<()> {
    let Some(front) = Front::start("connections = 2").await? else { return Ok(()) };
    let mut context = jetstream::new(front.outer.clone());
    // A cluster that has just come up on a busy machine elects its leaders in more than a client's usual patience.
    context.set_timeout(Duration::from_secs(20));
    let config = jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        num_replicas: 3,
        ..Default::default()
    };
    let stream = within("a stream", context.create_stream(config)).await??;
    interest_known(&context, "events.made").await?;
    for i in 1..50 {
        let sent = context.publish("events.made", format!("{i}").into()).await?;
        within("an acknowledgement", sent.into_future()).await??;
    }
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("reader".into()), ..Default::default() };
    let consumer = within("a consumer", stream.create_consumer(config)).await??;
    let mut batch = consumer.fetch().max_messages(50).messages().await?;
    let mut got = 0;
    while let Some(message) = within("a message", batch.next()).await? {
        let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
        ensure!(got == 0 || message.payload == got.to_string(), "{:?} in place of {got}", message.payload);
        message.double_ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        got += 1;
    }
    ensure!(got == 50, "{got} of 50");
    let store = jetstream::kv::Config { bucket: "settings".into(), num_replicas: 3, ..Default::default() };
    let store = within("a bucket", context.create_key_value(store)).await??;
    within("a key put", store.put("colour", "red".into())).await??;
    ensure!(within("a key got", store.get("colour")).await??.context("no value")? == "red");
    // The inside sees the same stream under its own names.
    let info = jetstream::new(front.inner.clone()).get_stream("EVENTS").await?.cached_info().clone();
    ensure!(info.state.messages == 50, "{:?}", info.state);
    Ok(())
}

#[tokio::test]
async fn a_cluster_tells_of_its_nodes_and_the_link_moves_there() -> Result<()> {
    let Some(mut front) = Front::start_knowing(1, "").await? else { return Ok(()) };
    serve(&front.inner, "peer.ask").await?;
    until_answered(&front.outer, "peer.ask").await?;
    let at = front.cluster.leaf_node().await.context("no node has the link")?;
    front.cluster.kill(at).await?;
    let took = until_answered(&front.outer, "peer.ask").await?;
    ensure!(took < Duration::from_secs(2), "recovered after {took:?}");
    Ok(())
}

/// Everything acknowledged is in the stream, and nothing is in it twice.
async fn check_stored(front: &Front, acknowledged: &[u64]) -> Result<()> {
    let mut stored: HashMap<String, usize> = HashMap::new();
    let inside = jetstream::new(front.inner.clone());
    let stream = eventually("the stream", || async { inside.get_stream("EVENTS").await.ok() }).await?;
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let count = eventually("all that was acknowledged", || {
        let (inside, least) = (&inside, acknowledged.len() as u64);
        async move {
            let stream = inside.get_stream("EVENTS").await.ok()?;
            Some(stream.cached_info().state.messages).filter(|count| *count >= least)
        }
    })
    .await?;
    let consumer =
        eventually("a consumer", || async { stream.create_consumer(config.clone()).await.ok() }).await?;
    let mut messages = consumer.messages().await?;
    for _ in 0..count {
        let message = within("a stored message", messages.next()).await?.context("the end")??;
        *stored.entry(String::from_utf8_lossy(&message.payload).into_owned()).or_default() += 1;
    }
    let missing: Vec<_> = acknowledged.iter().filter(|i| !stored.contains_key(&i.to_string())).collect();
    ensure!(missing.is_empty(), "acknowledged and not there: {missing:?}");
    ensure!(stored.values().all(|count| *count == 1), "stored twice: {stored:?}");
    Ok(())
}

#[tokio::test]
async fn a_node_dies_and_nothing_but_a_moment_is_lost() -> Result<()> {
    let Some(mut front) = Front::start("connections = 3").await? else { return Ok(()) };
    eventually("three links", || async { (front.links().await.ok()?.len() == 3).then_some(()) }).await?;
    serve(&front.inner, "peer.ask").await?;
    until_answered(&front.outer, "peer.ask").await?;
    let context = jetstream::new(front.outer.clone());
    let config = jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        num_replicas: 3,
        ..Default::default()
    };
    within("a stream", context.create_stream(config)).await??;
    let mut heard = front.outer.subscribe("peer.news").await?;
    front.outer.flush().await?;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let done = Arc::new(AtomicU64::new(0));
    let publisher = tokio::spawn({
        let done = done.clone();
        let (context, inner) = (context.clone(), front.inner.clone());
        async move {
            let mut acknowledged = Vec::new();
            for i in 0_u64.. {
                if stopped.try_recv().is_ok() {
                    break;
                }
                drop(inner.publish("peer.news", i.to_string().into()).await);
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", i.to_string().as_str());
                let sent = context.publish_with_headers("events.x", headers, i.to_string().into()).await;
                let Ok(sent) = sent else { continue };
                if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(500), sent.into_future()).await
                {
                    acknowledged.push(i);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            acknowledged
        }
    });
    let linked = async |front: &Front| -> Result<usize> {
        let active = front.links().await?.into_iter().find(|link| link["active"] == true);
        let name = active.context("no active link")?["name"].as_str().unwrap_or_default().to_owned();
        front.cluster.nodes.iter().position(|node| node.name() == name).context("an unknown node")
    };
    // Messages flow before, between and after.
    let flowing = async || {
        let before = done.load(Ordering::Relaxed);
        eventually("messages that flow", || async {
            (done.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await
    };
    flowing().await?;
    let leader = front.cluster.leader().await?;
    for at in [linked(&front).await?, leader] {
        front.cluster.kill(at).await?;
        let took = until_answered(&front.outer, "peer.ask").await?;
        ensure!(took < Duration::from_secs(2), "recovered after {took:?}");
        flowing().await?;
        front.cluster.bring_back(at).await?;
        eventually("all links again", || async { (front.links().await.ok()?.len() == 3).then_some(()) })
            .await?;
        front.cluster.leader().await?;
        flowing().await?;
    }
    stop.send(()).ok().context("the publisher has ended")?;
    let acknowledged = within("the publisher", publisher).await??;
    ensure!(!acknowledged.is_empty(), "nothing was acknowledged");
    ensure!(front.outer.statistics().connects.load(Ordering::Relaxed) == 1, "the client lost its connection");
    check_stored(&front, &acknowledged).await?;
    // What was published inside came out at most once, and the last of it did come.
    until_heard(&front, &mut heard).await
}

/// Reads what was heard up to a last message; nothing may have come twice.
async fn until_heard(front: &Front, heard: &mut async_nats::Subscriber) -> Result<()> {
    front.inner.publish("peer.news", "last".into()).await?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    while !counts.contains_key("last") {
        let message = within("the last message", heard.next()).await?.context("the end")?;
        *counts.entry(String::from_utf8_lossy(&message.payload).into_owned()).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "twice: {twice:?}");
    ensure!(counts.len() > 10, "only {} came out", counts.len());
    Ok(())
}
