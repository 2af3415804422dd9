//! What streams and consumers say in so many words, the same of nats-server and of ours.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt;
use gatehouse_tests::{ConfServer, Kind, Raw, eventually, on_both};
use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

on_both! {
    clients_are_told_which_level_of_the_api_is_there
    fast_batches_are_acknowledged_once_in_a_while
    many_keys_are_purged_in_one_go
    schedules_go_by_the_clocks_of_their_zone
    waiting_pulls_hear_that_the_server_stops
}

async fn start(kind: Kind) -> Result<Option<(ConfServer, async_nats::Client)>> {
    let conf = "jetstream { store_dir: \"store\" }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(None) };
    let client = async_nats::connect(server.url()).await?;
    Ok(Some((server, client)))
}

async fn told(from: &mut async_nats::Subscriber) -> Result<Value> {
    let next = tokio::time::timeout(PATIENCE, from.next()).await?.context("closed")?;
    Ok(serde_json::from_slice(&next.payload)?)
}

async fn clients_are_told_which_level_of_the_api_is_there(kind: Kind) -> Result<()> {
    let Some((server, client)) = start(kind).await? else { return Ok(()) };
    let info = Raw::connect(server.addresses.clients).await?.info().await?;
    let account = client.request("$JS.API.INFO", "".into()).await?;
    let account: Value = serde_json::from_slice(&account.payload)?;
    ensure!(info["jetstream"] == true && info["api_lvl"] == account["api"]["level"], "{info} {account}");
    ensure!(info["api_lvl"].as_u64() >= Some(4), "{info}");
    Ok(())
}

async fn fast_batches_are_acknowledged_once_in_a_while(kind: Kind) -> Result<()> {
    let Some((_server, client)) = start(kind).await? else { return Ok(()) };
    let config = json!({ "name": "S", "subjects": ["s.*"], "allow_batched": true });
    let created = client.request("$JS.API.STREAM.CREATE.S", serde_json::to_vec(&config)?.into()).await?;
    let created: Value = serde_json::from_slice(&created.payload)?;
    ensure!(created["config"]["metadata"]["_nats.req.level"] == "4", "{created}");
    let mut answers = client.subscribe("in.>").await?;
    let say = async |sequence: u64, gaps: &str, operation: u8| {
        let reply = format!("in.b.2.{gaps}.{sequence}.{operation}.$FI");
        client.publish_with_reply("s.a", reply, "x".into()).await
    };
    let ack = |sequence: u64| json!({ "type": "ack", "seq": sequence, "msgs": 2 });
    let done =
        |sequence: u64, count: u64| json!({ "stream": "S", "seq": sequence, "batch": "b", "count": count });
    // One after the other: 0 starts, 1 appends, 2 commits, 3 ends, 4 asks.
    let talk: [(u64, &str, u8, &[Value]); 14] = [
        (1, "fail", 0, &[ack(0)]),
        (2, "fail", 1, &[ack(2)]),
        (2, "fail", 4, &[ack(2)]),
        (3, "fail", 2, &[done(3, 3)]),
        (1, "fail", 0, &[ack(0)]),
        (4, "fail", 1, &[json!({ "type": "gap", "last_seq": 2, "seq": 4 }), done(4, 1)]),
        (1, "ok", 0, &[ack(0)]),
        (4, "ok", 1, &[json!({ "type": "gap", "last_seq": 2, "seq": 4 }), ack(4)]),
        (9, "ok", 4, &[json!({ "type": "gap", "last_seq": 5, "seq": 10 }), ack(8)]),
        (10, "ok", 3, &[done(6, 9)]),
        (1, "fail", 2, &[done(7, 1)]),
        (1, "ok", 0, &[ack(0)]),
        (
            1,
            "ok",
            1,
            &[
                json!({ "error": { "code": 400, "err_code": 10206, "description": "batch publish pattern is invalid" }, "stream": "S", "seq": 0 }),
            ],
        ),
        (2, "ok", 2, &[done(9, 2)]),
    ];
    for (sequence, gaps, operation, expected) in talk {
        say(sequence, gaps, operation).await?;
        for expected in expected {
            let said = told(&mut answers).await?;
            ensure!(said == *expected, "{sequence} {gaps} {operation}: {said}, not {expected}");
        }
    }
    let stream = jetstream::new(client.clone()).get_stream("S").await?;
    ensure!(stream.cached_info().state.messages == 9);
    Ok(())
}

async fn waiting_pulls_hear_that_the_server_stops(kind: Kind) -> Result<()> {
    let Some((server, client)) = start(kind).await? else { return Ok(()) };
    let context = jetstream::new(client.clone());
    let config = stream::Config { name: "S".into(), subjects: vec!["s.*".into()], ..Default::default() };
    let stream = context.create_stream(config).await?;
    let config = consumer::pull::Config { durable_name: Some("C".into()), ..Default::default() };
    stream.create_consumer(config).await?;
    let mut answers = client.subscribe("in.>").await?;
    let wanted = json!({ "batch": 3, "max_bytes": 1000, "expires": 60_000_000_000_u64 });
    let wanted = serde_json::to_vec(&wanted)?;
    client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.S.C", "in.pull", wanted.into()).await?;
    eventually("a request that waits", || async {
        let info = stream.consumer_info("C").await.ok()?;
        (info.num_waiting > 0).then_some(())
    })
    .await?;
    server.process.signal("TERM").await?;
    let told = tokio::time::timeout(PATIENCE, answers.next()).await?.context("closed")?;
    ensure!(told.subject.as_str() == "in.pull", "{told:?}");
    ensure!(told.status.is_some_and(|status| status.as_u16() == 409), "{told:?}");
    ensure!(told.description.as_deref() == Some("Server Shutdown"), "{told:?}");
    let headers = told.headers.context("no headers")?;
    let left = ["Nats-Pending-Messages", "Nats-Pending-Bytes"]
        .map(|name| headers.get(name).map(|value| value.as_str()));
    ensure!(left == [Some("3"), Some("1000")], "{headers:?}");
    Ok(())
}

async fn schedules_go_by_the_clocks_of_their_zone(kind: Kind) -> Result<()> {
    let Some((_server, client)) = start(kind).await? else { return Ok(()) };
    let config = json!({ "name": "S", "subjects": ["s.*"], "allow_msg_schedules": true });
    client.request("$JS.API.STREAM.CREATE.S", serde_json::to_vec(&config)?.into()).await?;
    let plan = async |subject: &'static str, pattern: &str, zone: &str| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Schedule", pattern);
        headers.insert("Nats-Schedule-Time-Zone", zone);
        headers.insert("Nats-Schedule-Target", "s.target");
        let answer = client.request_with_headers(subject, headers, "x".into()).await?;
        anyhow::Ok(serde_json::from_slice::<Value>(&answer.payload)?)
    };
    for (pattern, zone, code) in [
        ("@daily", "Nowhere/Atall", 10223),
        ("@daily", "", 10223),
        ("@every 1s", "Europe/Berlin", 10189),
        ("@at 2099-01-01T00:00:00Z", "Europe/Berlin", 10189),
        ("@at 2099-01-01T00:00:00Z", "UTC", 10189),
    ] {
        let refused = plan("s.plan", pattern, zone).await?;
        ensure!(refused["error"]["err_code"] == code, "{pattern} {zone}: {refused}");
    }
    ensure!(plan("s.daily", "@daily", "America/New_York").await?["seq"] == 1);
    ensure!(plan("s.often", "* * * * * *", "Asia/Kathmandu").await?["seq"] == 2);
    let stream = jetstream::new(client.clone()).get_stream("S").await?;
    let stored = eventually("a message of the schedule", || async {
        stream.get_last_raw_message_by_subject("s.target").await.ok()
    })
    .await?;
    let value = |name: &str| stored.headers.get(name).map(|value| value.as_str().to_owned());
    ensure!(value("Nats-Scheduler").as_deref() == Some("s.often"), "{:?}", stored.headers);
    let next = value("Nats-Schedule-Next").context("no next time")?;
    ensure!(next.ends_with("+05:45"), "{next}");
    ensure!(value("Nats-Schedule-Time-Zone").is_none(), "{:?}", stored.headers);
    Ok(())
}

/// What nats.py does for `purge("a.*")` of a bucket.
async fn purge_keys(client: &async_nats::Client, keys: &'static str) -> Result<Value> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("KV-Operation", "PURGE");
    headers.insert("Nats-Rollup", "sub");
    let answer = client.request_with_headers(keys, headers, "".into()).await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

async fn bucket(client: &async_nats::Client) -> Result<stream::Stream> {
    let config = stream::Config {
        name: "KV_B".into(),
        subjects: vec!["$KV.B.>".into()],
        allow_rollup: true,
        max_messages_per_subject: 1,
        ..Default::default()
    };
    let context = jetstream::new(client.clone());
    let stream = context.create_stream(config).await?;
    for key in ["a.1", "a.2", "a.secret", "b.1", "a"] {
        context.publish(format!("$KV.B.{key}"), "x".into()).await?.await?;
    }
    Ok(stream)
}

async fn many_keys_are_purged_in_one_go(kind: Kind) -> Result<()> {
    let Some((_server, client)) = start(kind).await? else { return Ok(()) };
    let mut stream = bucket(&client).await?;
    let ack = purge_keys(&client, "$KV.B.a.*").await?;
    ensure!(ack["seq"] == 6, "{ack}");
    // What tells of it stays, under its own name.
    ensure!(stream.info().await?.state.messages == 3);
    ensure!(stream.get_last_raw_message_by_subject("$KV.B.b.1").await?.sequence == 4);
    ensure!(stream.get_raw_message(6).await?.subject.as_str() == "$KV.B.a.*");
    Ok(())
}

/// nats-server looks at such a subject's letters only: there it passes the deny.
#[tokio::test]
async fn a_purge_of_many_keys_passes_no_deny() -> Result<()> {
    let conf = "jetstream { store_dir: \"store\" }\nauthorization { users: [ {user: all, password: x},\n\
                {user: some, password: x, permissions: {publish: {allow: [\"$KV.B.>\"], deny: [\"$KV.B.a.secret\"]},\n\
                subscribe: \"_INBOX.>\"}} ] }\n";
    let server = ConfServer::fresh(Kind::Ours, conf).await?.context("no server")?;
    let connect = async |user: &str| {
        let options = async_nats::ConnectOptions::with_user_and_password(user.into(), "x".into());
        options.request_timeout(Some(Duration::from_secs(2))).connect(server.url()).await
    };
    let (all, some) = (connect("all").await?, connect("some").await?);
    let mut stream = bucket(&all).await?;
    for keys in ["$KV.B.a.*", "$KV.B.>", "$KV.B.*.secret"] {
        ensure!(purge_keys(&some, keys).await.is_err(), "{keys}");
    }
    ensure!(stream.info().await?.state.messages == 5);
    ensure!(purge_keys(&some, "$KV.B.b.*").await?["seq"] == 6);
    ensure!(stream.get_last_raw_message_by_subject("$KV.B.a.secret").await?.sequence == 3);
    Ok(())
}
