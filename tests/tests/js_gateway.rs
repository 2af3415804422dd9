//! Streams and key-value from outside: with `consume`, `kv_read` and `kv_write` a stock client does just that with its
//! usual calls, and nothing else of the API.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer, kv, stream};
use futures_util::StreamExt;
use gatehouse_tests::{BusOptions, Client, Gateway, GatewayOptions, InternalBus, Pki, Tokens, peers_dir};
use serde_json::{Value, json};

/// The API crosses by `jetstream_domain` of the link; what is published crosses by routes as ever.
const ROUTES: &str = "\n[[routes]]\nsubject = \"$KV.>\"\ndirection = \"inward\"\n";

struct World {
    gateway: Gateway,
    bus: InternalBus,
    tokens: Tokens,
    pki: Pki,
}

impl World {
    /// A bus with streams, a gateway whose role may do `rights`, and a service that has made what there is.
    async fn new(rights: &str) -> Result<(Self, jetstream::Context)> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let bus = InternalBus::start(
            &pki,
            &BusOptions::default().with_sections("[streams]\nstore_dir = \"store\"\ndomain = \"hub\"\n"),
        )
        .await?;
        let mut options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
        options.rights = options.rights.replacen("publish = ", &format!("{rights}\npublish = "), 1);
        options.link.push_str("jetstream_domain = \"hub\"\n");
        options.routes.push_str(ROUTES);
        let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
        gateway.ready().await?;
        let service = bus.client(&pki.service("orders")).await?;
        let inside = jetstream::new(service);
        Ok((Self { gateway, bus, tokens, pki }, inside))
    }

    async fn outside(&self) -> Result<jetstream::Context> {
        let client = self.gateway.client(&self.pki, &self.tokens.good()?).await?;
        let mut context = jetstream::new(client);
        context.set_timeout(Duration::from_secs(2));
        Ok(context)
    }
}

/// What the script of another client finds.
async fn stock(inside: &jetstream::Context) -> Result<()> {
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
        let config = kv::Config { bucket: bucket.to_owned(), history: 3, ..kv::Config::default() };
        let store = inside.create_key_value(config).await?;
        if bucket == "config" {
            store.put("limits.max", "9".into()).await?;
            store.put("limits.max", "10".into()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn nats_py_does_that_and_nothing_else() -> Result<()> {
    let client = Client::Python;
    if !client.installed_or_skip() {
        return Ok(());
    }
    let rights = "consume = [\"ORDERS\"]\nkv_read = [\"config\", \"state\"]\nkv_write = [\"state\"]";
    let (world, inside) = World::new(rights).await?;
    stock(&inside).await?;
    let scenarios = ["consume", "key_value"];
    let options = json!({
        "url": format!("tls://{}", world.gateway.addresses.clients), "token": world.tokens.good()?,
        "ca": world.pki.path("frontend-ca.crt"), "scenarios": scenarios,
    });
    let mut command = tokio::process::Command::new(peers_dir().join("bin/python"));
    command.arg(format!("{}/peers/py/outside.py", env!("CARGO_MANIFEST_DIR"))).arg(options.to_string());
    command.env("GATEHOUSE_PEERS", peers_dir()).stdin(Stdio::null()).kill_on_drop(true);
    let patience = Duration::from_secs(90);
    let output =
        tokio::time::timeout(patience, command.output()).await.context("the script takes too long")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let results: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let good = results.iter().filter(|result| result["ok"] == true).count();
    ensure!(good == scenarios.len(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let left = inside.get_stream("ORDERS").await?.cached_info().state.messages;
    ensure!(left == 20, "{left} of 20 messages are left");
    Ok(())
}

#[tokio::test]
async fn a_partner_consumes_what_it_may_and_nothing_else() -> Result<()> {
    let (world, inside) = World::new("consume = [\"ORDERS\"]").await?;
    for name in ["ORDERS", "SECRET"] {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![format!("{}.in", name.to_lowercase())],
            ..stream::Config::default()
        };
        let stream = inside.create_stream(config).await?;
        let config =
            consumer::pull::Config { durable_name: Some("partner".to_owned()), ..Default::default() };
        stream.create_consumer(config).await?;
        for number in 0..20 {
            inside.publish(format!("{}.in", name.to_lowercase()), number.to_string().into()).await?.await?;
        }
    }
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
    drop(world.bus);
    Ok(())
}

#[tokio::test]
async fn a_bucket_is_read_and_written_by_who_may() -> Result<()> {
    let (world, inside) = World::new("kv_read = [\"config\", \"state\"]\nkv_write = [\"state\"]").await?;
    for bucket in ["config", "state", "secret"] {
        let config = kv::Config { bucket: bucket.to_owned(), history: 3, ..kv::Config::default() };
        let store = inside.create_key_value(config).await?;
        store.put("limits.max", "10".into()).await?;
    }
    let outside = world.outside().await?;
    let config = outside.get_key_value("config").await?;
    ensure!(config.get("limits.max").await?.is_some_and(|value| value == "10"));
    inside.get_key_value("config").await?.put("limits.max", "11".into()).await?;
    ensure!(config.get("limits.max").await?.is_some_and(|value| value == "11"));
    let mut watch = config.watch_with_history("limits.>").await?;
    let seen = tokio::time::timeout(Duration::from_secs(10), watch.next()).await?.context("closed")?;
    ensure!(seen.map_err(|error| anyhow::anyhow!("{error}"))?.value == "11");
    ensure!(config.put("limits.max", "99".into()).await.is_err(), "a bucket that may be read may be written");
    let state = outside.get_key_value("state").await?;
    let revision = state.put("seen", "1".into()).await?;
    state.update("seen", "2".into(), revision).await?;
    ensure!(state.get("seen").await?.is_some_and(|value| value == "2"));
    state.delete("seen").await?;
    state.create("seen", "3".into()).await?;
    ensure!(state.get("seen").await?.is_some_and(|value| value == "3"));
    ensure!(outside.get_key_value("secret").await.is_err(), "another bucket may be opened");
    let value = inside.get_key_value("config").await?.get("limits.max").await?;
    ensure!(value.is_some_and(|value| value == "11"));
    Ok(())
}
