//! Streams and key-value from outside: with `consume`, `stream_read`, `kv_read` and `kv_write` a stock client does just
//! that with its usual calls, and nothing else of the API.

mod world;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{consumer, kv, stream};
use futures_util::{StreamExt, TryStreamExt};
use gatehouse_tests::{Client, Kind, on_both, peers_dir, run, skip, within};

use crate::world::World;

on_both! {
    a_partner_consumes_what_it_may_and_nothing_else
    a_stream_is_read_with_consumers_of_ones_own
    a_bucket_is_read_and_written_by_who_may
    keys_history_and_watch
    nats_py
    nats_js
    the_earlier_nats_js
    nats_go
    the_nats_command
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

async fn a_stream_is_read_with_consumers_of_ones_own(kind: Kind) -> Result<()> {
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    let outside = world.outside().await?;
    let stream = outside.get_stream("AUDIT").await?;
    let config = consumer::pull::OrderedConfig::default();
    let ordered = stream.create_consumer(config).await?;
    let mut messages = ordered.messages().await?;
    for number in 0..20 {
        let message = within("a message", messages.next()).await?.context("the consumer ended")?;
        let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
        ensure!(message.payload == number.to_string().as_bytes(), "{message:?} at {number}");
    }
    ensure!(stream.get_raw_message(7).await?.payload == "6");
    ensure!(outside.publish("audit.in", "forged".into()).await?.await.is_err(), "it may be written");
    ensure!(stream.purge().await.is_err(), "it may be purged");
    ensure!(stream.delete_message(1).await.is_err(), "messages may be deleted");
    // What clients ask before they work is answered with what they may look at.
    ensure!(outside.stream_by_subject("orders.in").await? == "ORDERS");
    ensure!(outside.stream_by_subject("secret.in").await.is_err(), "another stream is found");
    let mut names: Vec<String> = outside.stream_names().try_collect().await?;
    names.sort_unstable();
    ensure!(names == ["AUDIT", "KV_config", "KV_state", "ORDERS"], "{names:?}");
    let listed: Vec<_> = outside.streams().try_collect().await?;
    ensure!(listed.len() == 4, "{listed:?}");
    let (account, all) = (outside.query_account().await?, world.inside.query_account().await?);
    // The group's consumer and the ordered one.
    ensure!(account.streams == 4 && account.consumers == 2 && all.streams == 6, "{account:?} of {all:?}");
    ensure!(account.storage > 0 && account.storage < all.storage, "{account:?} of {all:?}");
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

/// Runs scenarios of a script of a peer, and sees that what it must not change is as it was.
async fn peer(kind: Kind, client: Client, script: &str, scenarios: &[&str]) -> Result<()> {
    if !client.installed_or_skip() {
        return Ok(());
    }
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    world.peer(client, script, scenarios).await?;
    for stream in ["ORDERS", "AUDIT", "SECRET"] {
        let mut stream = world.inside.get_stream(stream).await?;
        let info = stream.info().await?;
        ensure!(info.state.messages == 20 && info.config.max_messages < 1, "{info:?}");
    }
    let orders = world.inside.get_stream("ORDERS").await?;
    let consumers: Vec<String> = orders.consumer_names().try_collect().await?;
    ensure!(consumers == ["partner"], "{consumers:?}");
    ensure!(orders.consumer_info("partner").await?.config.max_ack_pending == 1000);
    let names: Vec<String> = world.inside.stream_names().try_collect().await?;
    ensure!(names.len() == 6, "{names:?}");
    let config = world.inside.get_key_value("config").await?;
    ensure!(config.get("limits.max").await?.is_some_and(|value| value == "10"));
    ensure!(world.inside.get_stream("KV_secret").await?.cached_info().state.messages == 0);
    Ok(())
}

async fn nats_py(kind: Kind) -> Result<()> {
    let scenarios = ["consume", "ordered", "reading", "writing", "key_value", "refusals"];
    peer(kind, Client::Python, "py/outside.py", &scenarios).await
}

async fn nats_js(kind: Kind) -> Result<()> {
    let scenarios = ["consume", "ordered", "reading", "writing", "refusals"];
    peer(kind, Client::Node, "js/outside3.mjs", &scenarios).await
}

async fn the_earlier_nats_js(kind: Kind) -> Result<()> {
    peer(kind, Client::NodeLegacy, "js/outside.mjs", &["reading", "writing"]).await
}

async fn nats_go(kind: Kind) -> Result<()> {
    let scenarios =
        ["outside_consume", "outside_ordered", "outside_reading", "outside_writing", "outside_refusals"];
    peer(kind, Client::Go, "", &scenarios).await?;
    // Once more from the beginning, with the older API of the same client.
    peer(kind, Client::Go, "", &["outside_by_subject"]).await
}

async fn the_nats_command(kind: Kind) -> Result<()> {
    let nats = peers_dir().join("bin/nats");
    if !nats.exists() {
        skip("the nats command is not installed");
        return Ok(());
    }
    let Some(world) = World::new(kind).await? else { return Ok(()) };
    let login = world.command_login()?;
    for (command, fine, said) in [
        ("stream ls --names", true, "ORDERS"),
        ("stream info ORDERS", true, "Messages: 20"),
        ("consumer info ORDERS partner", true, "Unprocessed Messages: 20"),
        ("consumer next ORDERS partner --ack", true, "orders.in"),
        ("stream get AUDIT 7", true, "audit.in"),
        ("kv get config limits.max --raw", true, "10"),
        ("kv history config limits.max", true, "limits.max"),
        ("kv put state seen 1", true, "1"),
        ("account info", true, "Streams: 4"),
        ("stream info SECRET", false, ""),
        ("kv put config limits.max 99", false, ""),
        ("stream purge ORDERS -f", false, ""),
        ("consumer rm ORDERS partner -f", false, ""),
    ] {
        let words = login.iter().cloned().chain(command.split(' ').map(str::to_owned));
        let ran = run(nats.as_os_str(), world.dir(), words).await?;
        ensure!((ran.code == Some(0)) == fine && ran.stdout.contains(said), "nats {command}: {ran:?}");
        ensure!(!ran.stdout.contains("SECRET"), "nats {command}: {ran:?}");
    }
    let left = world.inside.get_stream("ORDERS").await?.consumer_info("partner").await?.num_pending;
    ensure!(left == 19, "{left} messages are left");
    Ok(())
}
