//! Streams and key-value from outside: with `consume`, `kv_read` and `kv_write` a stock client does just that with its
//! usual calls, and nothing else of the API.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer, kv, stream};
use futures_util::{StreamExt, TryStreamExt};
use gatehouse_tests::{
    BusOptions, Client, ConfServer, Gateway, GatewayOptions, InternalBus, Kind, Pki, Tokens, on_both,
    peers_dir, within,
};
use serde_json::{Value, json};

on_both! {
    a_partner_consumes_what_it_may_and_nothing_else
    a_bucket_is_read_and_written_by_who_may
    keys_history_and_watch
    nats_py
    nats_js
}

/// All that a user writes beside his usual `[link]`: see docs/streams.md.
const LINK: &str = "jetstream_domain = \"hub\"\n";

/// Streams and buckets a partner may use; the others are nobody's business.
const RIGHTS: &str = "consume = [\"ORDERS\"]\nkv_read = [\"config\", \"state\"]\nkv_write = [\"state\"]";

/// All scenarios of a script together.
const PATIENCE: Duration = Duration::from_secs(90);

/// What holds the streams.
enum Hub {
    Ours(InternalBus),
    Stock(ConfServer),
}

impl Hub {
    async fn start(kind: Kind, pki: &Pki) -> Result<Option<Self>> {
        if kind == Kind::Ours {
            let streams = "[streams]\nstore_dir = \"store\"\ndomain = \"hub\"\n";
            let bus = InternalBus::start(pki, &BusOptions::default().with_sections(streams)).await?;
            return Ok(Some(Self::Ours(bus)));
        }
        let conf = "listen: \"127.0.0.1:-1\"\nleafnodes { listen: \"127.0.0.1:-1\" }\n\
            jetstream { store_dir: \"store\", domain: hub }\n";
        Ok(ConfServer::start(kind, pki.dir(), conf).await?.map(Self::Stock))
    }

    async fn gateway(&self, pki: &Pki, tokens: &Tokens) -> Result<Gateway> {
        let leafnodes = match self {
            Self::Ours(bus) => bus.leafnodes()?,
            Self::Stock(server) => server.addresses.leafnodes.context("no leafnode port")?,
        };
        let mut options = GatewayOptions::dialling(pki, leafnodes);
        options.rights = options.rights.replacen("publish = ", &format!("{RIGHTS}\npublish = "), 1);
        let mut gateway = if let Self::Ours(_) = self {
            options.link.push_str(LINK);
            Gateway::start(pki, tokens, &options).await?
        } else {
            options.link = format!("urls = [\"nats-leaf://{leafnodes}\"]\n{LINK}");
            Gateway::start_plain(pki, tokens, &options).await?
        };
        gateway.ready().await?;
        Ok(gateway)
    }

    async fn client(&self, pki: &Pki) -> Result<async_nats::Client> {
        Ok(match self {
            Self::Ours(bus) => bus.client(&pki.service("orders")).await?,
            Self::Stock(server) => async_nats::connect(server.url()).await?,
        })
    }
}

/// A hub with streams, and a gateway whose role may do something with them.
struct World {
    gateway: Gateway,
    /// Ends with the world.
    _hub: Hub,
    /// A service's.
    inside: jetstream::Context,
    tokens: Tokens,
    pki: Pki,
}

impl World {
    /// `None`, counted as a skip, where the hub is not installed.
    async fn new(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let Some(hub) = Hub::start(kind, &pki).await? else { return Ok(None) };
        let gateway = hub.gateway(&pki, &tokens).await?;
        let inside = jetstream::new(hub.client(&pki).await?);
        fill(&inside).await?;
        Ok(Some(Self { gateway, _hub: hub, inside, tokens, pki }))
    }

    /// A partner, once the API can be reached over the link.
    async fn outside(&self) -> Result<jetstream::Context> {
        let client = self.gateway.client(&self.pki, &self.tokens.good()?).await?;
        let mut context = jetstream::new(client);
        context.set_timeout(Duration::from_secs(2));
        Ok(context)
    }

    /// Runs scenarios of a script of a peer.
    async fn peer(&self, client: Client, script: &str, scenarios: &[&str]) -> Result<()> {
        if !client.installed_or_skip() {
            return Ok(());
        }
        let program = if client == Client::Python { peers_dir().join("bin/python") } else { "node".into() };
        let options = json!({
            "url": format!("tls://{}", self.gateway.addresses.clients), "token": self.tokens.good()?,
            "ca": self.pki.path("frontend-ca.crt"), "scenarios": scenarios,
        });
        let mut command = tokio::process::Command::new(program);
        command.arg(format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR"))).arg(options.to_string());
        command.env("GATEHOUSE_PEERS", peers_dir()).stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.context("the script takes too long")??;
        let said = String::from_utf8_lossy(&output.stdout);
        let results: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let good = results.iter().filter(|result| result["ok"] == true).count();
        ensure!(good == scenarios.len(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// What partners find: streams with a consumer each; the buckets `config`, with two keys, `state` and `secret`, empty.
async fn fill(inside: &jetstream::Context) -> Result<()> {
    for name in ["ORDERS", "SECRET"] {
        let subject = format!("{}.in", name.to_lowercase());
        let config =
            stream::Config { name: name.to_owned(), subjects: vec![subject.clone()], ..Default::default() };
        let stream = inside.create_stream(config).await?;
        let config =
            consumer::pull::Config { durable_name: Some("partner".to_owned()), ..Default::default() };
        stream.create_consumer(config).await?;
        for number in 0..20 {
            inside.publish(subject.clone(), number.to_string().into()).await?.await?;
        }
    }
    for bucket in ["config", "state", "secret"] {
        let config = kv::Config { bucket: bucket.to_owned(), history: 5, ..kv::Config::default() };
        inside.create_key_value(config).await?;
    }
    let config = inside.get_key_value("config").await?;
    for (key, value) in [("limits.max", "9"), ("limits.min", "0"), ("limits.max", "10")] {
        config.put(key, value.into()).await?;
    }
    Ok(())
}

async fn a_partner_consumes_what_it_may_and_nothing_else(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    let inside = &world.inside;
    let outside = world.outside().await?;
    let stream = outside.get_stream("ORDERS").await?;
    let consumer: consumer::PullConsumer =
        stream.get_consumer("partner").await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut batch = consumer.fetch().max_messages(20).expires(Duration::from_secs(5)).messages().await?;
    let mut count = 0;
    while let Some(message) = batch.next().await {
        let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
        ensure!(message.payload == count.to_string().as_bytes() && message.subject.as_str() == "orders.in");
        message.double_ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        count += 1;
    }
    ensure!(count == 20, "{count} of 20 came");
    let info = inside.get_stream("ORDERS").await?.consumer_info("partner").await?;
    ensure!(info.num_ack_pending == 0 && info.num_pending == 0, "{info:?}");
    // Everything else is refused: other streams, and changing anything.
    ensure!(outside.get_stream("SECRET").await.is_err(), "another stream may be looked at");
    ensure!(outside.delete_stream("ORDERS").await.is_err(), "the stream may be deleted");
    ensure!(stream.purge().await.is_err(), "the stream may be purged");
    ensure!(stream.delete_consumer("partner").await.is_err(), "the consumer may be deleted");
    let other = stream::Config { name: "OTHER".to_owned(), ..stream::Config::default() };
    ensure!(outside.create_stream(other).await.is_err(), "streams may be made");
    ensure!(inside.get_stream("ORDERS").await?.cached_info().state.messages == 20);
    Ok(())
}

async fn a_bucket_is_read_and_written_by_who_may(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    let inside = &world.inside;
    let outside = world.outside().await?;
    let config = outside.get_key_value("config").await?;
    ensure!(config.get("limits.max").await?.is_some_and(|value| value == "10"));
    inside.get_key_value("config").await?.put("limits.max", "11".into()).await?;
    ensure!(config.get("limits.max").await?.is_some_and(|value| value == "11"));
    ensure!(config.put("limits.max", "99".into()).await.is_err(), "a bucket that may be read may be written");
    let state = outside.get_key_value("state").await?;
    let revision = state.put("seen", "1".into()).await?;
    state.update("seen", "2".into(), revision).await?;
    ensure!(state.get("seen").await?.is_some_and(|value| value == "2"));
    ensure!(outside.get_key_value("secret").await.is_err(), "another bucket may be opened");
    state.create("made", "1".into()).await?;
    ensure!(state.create("made", "2".into()).await.is_err(), "a key was created twice");
    state.delete("made").await?;
    ensure!(state.get("made").await?.is_none(), "a deleted key is there");
    state.create("made", "3".into()).await?;
    state.purge("made").await?;
    ensure!(state.get("made").await?.is_none(), "a purged key is there");
    let value = inside.get_key_value("config").await?.get("limits.max").await?;
    ensure!(value.is_some_and(|value| value == "11"));
    Ok(())
}

async fn keys_history_and_watch(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    let inside = &world.inside;
    let config = world.outside().await?.get_key_value("config").await?;
    let keys: Vec<String> = within("the keys", config.keys().await?.try_collect()).await??;
    ensure!(keys == ["limits.min", "limits.max"], "{keys:?}");
    let mut history = config.history("limits.max").await?;
    for value in ["9", "10"] {
        let entry = within("an old value", history.next()).await?.context("no more history")??;
        ensure!(entry.key == "limits.max" && entry.value == value, "{entry:?}");
    }
    let mut watch = config.watch("limits.>").await?;
    let writer = inside.get_key_value("config").await?;
    for number in 0..500 {
        writer.put("limits.max", number.to_string().into()).await?;
        let entry = within("a change", watch.next()).await?.context("the watch ended")??;
        ensure!(entry.key == "limits.max" && entry.value == number.to_string(), "{entry:?}");
    }
    // Longer than a client waits without a heartbeat: it must not have to begin anew.
    let stream = inside.get_stream("KV_config").await?;
    let before: Vec<String> = stream.consumer_names().try_collect().await?;
    let silent = tokio::time::timeout(Duration::from_secs(12), watch.next()).await;
    ensure!(silent.is_err(), "a change nobody made: {silent:?}");
    let after: Vec<String> = stream.consumer_names().try_collect().await?;
    ensure!(after.iter().all(|name| before.contains(name)), "{before:?} became {after:?}");
    writer.delete("limits.max").await?;
    let entry = within("the deletion", watch.next()).await?.context("the watch ended")??;
    ensure!(entry.operation == kv::Operation::Delete && entry.key == "limits.max", "{entry:?}");
    Ok(())
}

async fn nats_py(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    world.peer(Client::Python, "py/outside.py", &["consume", "reading", "writing", "key_value"]).await?;
    let left = world.inside.get_stream("ORDERS").await?.cached_info().state.messages;
    ensure!(left == 20, "{left} of 20 messages are left");
    Ok(())
}

async fn nats_js(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    world.peer(Client::NodeLegacy, "js/outside.mjs", &["reading", "writing"]).await
}
