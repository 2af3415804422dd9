//! `internal-bus import --from DIR`: the files of a nats-server that was stopped, read by ours. What a stock client is
//! told of the copy is what it was told of the original.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use async_nats::{Client, HeaderMap};
use gatehouse_tests::{ConfServer, Kind, run_binary};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONF: &str = "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\n";

async fn api(client: &Client, what: &str, body: Value) -> Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(format!("$JS.API.{what}"), body.into()).await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

/// The same, which must succeed.
async fn ask(client: &Client, what: &str, body: Value) -> Result<Value> {
    let answer = api(client, what, body).await?;
    ensure!(answer["error"].is_null(), "{what}: {answer}");
    Ok(answer)
}

async fn create(client: &Client, config: Value) -> Result<()> {
    let name = config["name"].as_str().context("no name")?.to_owned();
    ask(client, &format!("STREAM.CREATE.{name}"), config).await.map(drop)
}

async fn publish(client: &Client, subject: &str, payload: &[u8], headers: &[(&str, &str)]) -> Result<()> {
    let mut map = HeaderMap::new();
    headers.iter().for_each(|(name, value)| map.append(*name, *value));
    let answer = if headers.is_empty() {
        client.request(subject.to_owned(), payload.to_vec().into()).await?
    } else {
        client.request_with_headers(subject.to_owned(), map, payload.to_vec().into()).await?
    };
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["seq"].is_u64(), "{subject}: {answer}");
    Ok(())
}

async fn delete(client: &Client, stream: &str, seq: u64, erase: bool) -> Result<()> {
    let body = json!({ "seq": seq, "no_erase": !erase });
    ask(client, &format!("STREAM.MSG.DELETE.{stream}"), body).await.map(drop)
}

/// Pulls `count` messages and answers them in order, for each what `acks` says; "" is silence.
async fn consume(client: &Client, stream: &str, consumer: &str, acks: &[&str]) -> Result<()> {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await?;
    let pull = json!({ "batch": acks.len(), "expires": 20_000_000_000_u64 }).to_string();
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    client.publish_with_reply(next, inbox, pull.into()).await?;
    for ack in acks {
        let message = futures_util::StreamExt::next(&mut messages).await.context("nothing came")?;
        let reply = message.reply.context("nothing to acknowledge")?;
        if !ack.is_empty() {
            client.request(reply, ack.as_bytes().to_vec().into()).await?;
        }
    }
    Ok(())
}

/// Something of everything.
async fn fill(client: &Client) -> Result<()> {
    // Several blocks, headers, gaps at both ends and inside, one of them overwritten.
    create(
        client,
        json!({ "name": "ORDERS", "subjects": ["orders.>"], "allow_direct": true, "description": "d" }),
    )
    .await?;
    for number in 0..260_usize {
        let payload = vec![u8::try_from(number % 251)?; 90_000];
        let value = number.to_string();
        let headers: &[(&str, &str)] =
            if number % 3 == 0 { &[("Number", &value), ("Nats-Msg-Id", &value)] } else { &[] };
        publish(client, &format!("orders.{}", number % 7), &payload, headers).await?;
    }
    ask(client, "STREAM.PURGE.ORDERS", json!({ "seq": 11 })).await?;
    for (seq, erase) in
        [(50, false), (51, true), (120, false), (121, false), (250, true), (259, false), (260, false)]
    {
        delete(client, "ORDERS", seq, erase).await?;
    }
    ask(client, "STREAM.PURGE.ORDERS", json!({ "filter": "orders.3" })).await?;
    // Packed blocks.
    create(client, json!({ "name": "PACKED", "subjects": ["packed"], "compression": "s2" })).await?;
    for number in 0..200_usize {
        publish(client, "packed", format!("{number} ").repeat(30_000).as_bytes(), &[("A", "b")]).await?;
    }
    delete(client, "PACKED", 3, false).await?;
    delete(client, "PACKED", 77, true).await?;
    // What limits took, which no record says.
    create(client, json!({ "name": "LIMITED", "subjects": ["limited.>"], "max_msgs": 50 })).await?;
    create(client, json!({ "name": "EACH", "subjects": ["each.>"], "max_msgs_per_subject": 3 })).await?;
    for number in 0..120 {
        publish(client, "limited.a", format!("{number}").as_bytes(), &[]).await?;
        publish(client, &format!("each.{}", number % 11), format!("{number}").as_bytes(), &[]).await?;
    }
    // Emptied, and a first sequence that was chosen.
    create(client, json!({ "name": "EMPTY", "subjects": ["empty"] })).await?;
    for _ in 0..10 {
        publish(client, "empty", b"x", &[]).await?;
    }
    ask(client, "STREAM.PURGE.EMPTY", Value::Null).await?;
    create(client, json!({ "name": "LATER", "subjects": ["later"], "first_seq": 1000 })).await?;
    create(client, json!({ "name": "UNUSED", "subjects": ["unused"] })).await?;
    // A queue of which a part was done, a part waits and one was refused.
    create(client, json!({ "name": "WORK", "subjects": ["work"], "retention": "workqueue" })).await?;
    for number in 0..30 {
        publish(client, "work", format!("{number}").as_bytes(), &[]).await?;
    }
    let config =
        json!({ "durable_name": "workers", "ack_policy": "explicit", "ack_wait": 600_000_000_000_u64 });
    ask(client, "CONSUMER.DURABLE.CREATE.WORK.workers", json!({ "stream_name": "WORK", "config": config }))
        .await?;
    consume(client, "WORK", "workers", &["+ACK", "+ACK", "", "+ACK", "-NAK", "", "+ACK"]).await?;
    // Told again at once.
    consume(client, "WORK", "workers", &["", "+TERM"]).await?;
    let config = json!({ "durable_name": "all", "ack_policy": "all", "filter_subject": "orders.1" });
    ask(client, "CONSUMER.DURABLE.CREATE.ORDERS.all", json!({ "stream_name": "ORDERS", "config": config }))
        .await?;
    consume(client, "ORDERS", "all", &["", "", "+ACK", ""]).await?;
    let config = json!({ "durable_name": "unread", "ack_policy": "none", "deliver_policy": "last" });
    ask(
        client,
        "CONSUMER.DURABLE.CREATE.ORDERS.unread",
        json!({ "stream_name": "ORDERS", "config": config }),
    )
    .await?;
    buckets(client).await
}

async fn buckets(client: &Client) -> Result<()> {
    let context = jetstream::new(client.clone());
    let config = jetstream::kv::Config { bucket: "settings".into(), history: 4, ..Default::default() };
    let bucket = context.create_key_value(config).await?;
    for number in 0..20_u8 {
        bucket.put(format!("key.{}", number % 3), vec![number].into()).await?;
    }
    bucket.delete("key.1").await?;
    bucket.purge("key.2").await?;
    let config = jetstream::object_store::Config { bucket: "files".into(), ..Default::default() };
    let files = context.create_object_store(config).await?;
    for size in [10, 300_000, 1_000_000_usize] {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 253).unwrap_or(0)).collect();
        files.put("file", &mut bytes.as_slice()).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}

/// All that has to be the same, by what it is of.
async fn contents(client: &Client) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let list = ask(client, "STREAM.LIST", Value::Null).await?;
    for info in list["streams"].as_array().context("no streams")? {
        let name = info["config"]["name"].as_str().context("no name")?;
        // Where nothing was ever stored, stock calls sequence 0 deleted.
        let details = json!({ "deleted_details": info["state"]["last_seq"] != 0 });
        let mut info = ask(client, &format!("STREAM.INFO.{name}"), details).await?;
        let (first, last) = (info["state"]["first_seq"].as_u64(), info["state"]["last_seq"].as_u64());
        for seq in first.context("no first")?..=last.context("no last")? {
            let message = api(client, &format!("STREAM.MSG.GET.{name}"), json!({ "seq": seq })).await?;
            let of =
                if message["error"].is_null() { &message["message"] } else { &message["error"]["err_code"] };
            all.insert(format!("{name} {seq}"), of.clone());
        }
        for field in ["bytes", "last_ts", "first_ts"] {
            // Bytes are counted by another format's overhead; the last time of an empty stream is its purge's.
            info["state"].as_object_mut().context("no state")?.remove(field);
        }
        let config = info["config"].as_object_mut().context("no configuration")?;
        // What is stored here is not packed, and says when it is acknowledged; versions are the servers' own.
        config.remove("compression");
        config.remove("metadata");
        all.insert(name.to_owned(), json!([info["config"], info["state"], info["created"]]));
        let consumers = ask(client, &format!("CONSUMER.LIST.{name}"), Value::Null).await?;
        for consumer in consumers["consumers"].as_array().into_iter().flatten() {
            let mut told = consumer.clone();
            for field in ["ts", "cluster"] {
                told.as_object_mut().context("no consumer")?.remove(field);
            }
            told["config"].as_object_mut().context("no configuration")?.remove("metadata");
            for place in ["delivered", "ack_floor"] {
                if let Some(place) = told[place].as_object_mut() {
                    place.remove("last_active");
                }
            }
            all.insert(format!("{name} consumer {}", consumer["name"]), told);
        }
    }
    Ok(all)
}

/// What differs, in words.
fn differences(there: &BTreeMap<String, Value>, here: &BTreeMap<String, Value>) -> Vec<String> {
    let keys = there.keys().chain(here.keys().filter(|key| !there.contains_key(*key)));
    keys.filter(|key| there.get(*key) != here.get(*key))
        .map(|key| {
            let text = |of: Option<&Value>| {
                of.map_or("nothing".to_owned(), |value| value.to_string().chars().take(1500).collect())
            };
            format!("{key}\n  there: {}\n  here:  {}", text(there.get(key)), text(here.get(key)))
        })
        .collect()
}

/// Every file below, with its bytes.
fn files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() { dirs.push(path) } else { drop(all.insert(path.clone(), fs::read(&path)?)) }
        }
    }
    Ok(all)
}

/// A filled server, stopped: where its files are, and what it had. `None` where it is not installed.
async fn filled(kind: Kind, dir: &Path) -> Result<Option<BTreeMap<String, Value>>> {
    let Some(mut stock) = ConfServer::start(kind, dir, CONF).await? else { return Ok(None) };
    let client = async_nats::connect(stock.url()).await?;
    fill(&client).await?;
    let there = contents(&client).await?;
    stock.process.stop().await?;
    Ok(Some(there))
}

/// Runs the import into `here`, whose configuration it writes.
async fn import(there: &Path, here: &Path) -> Result<gatehouse_tests::Ran> {
    fs::write(here.join("server.conf"), CONF.replace("\"store\"", &format!("{:?}", here.join("store"))))?;
    let from = there.join("store").display().to_string();
    run_binary("internal-bus", here, ["import", "--from", &from, "--config", "server.conf"]).await
}

async fn imported(here: &Path) -> Result<(ConfServer, BTreeMap<String, Value>)> {
    let text = fs::read_to_string(here.join("server.conf"))?;
    let ours = ConfServer::start(Kind::Ours, here, &text).await?.context("no server")?;
    let found = contents(&async_nats::connect(ours.url()).await?).await?;
    Ok((ours, found))
}

async fn comes_over(kind: Kind) -> Result<()> {
    let (there, here) = (TempDir::new()?, TempDir::new()?);
    let Some(wanted) = filled(kind, there.path()).await? else { return Ok(()) };
    let before = files(there.path())?;
    let ran = import(there.path(), here.path()).await?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    ensure!(files(there.path())? == before, "the source was written to");
    let (ours, found) = imported(here.path()).await?;
    let differences = differences(&wanted, &found);
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    // Streams go on behind their last sequence, and consumers where they were.
    let client = async_nats::connect(ours.url()).await?;
    let info = ask(&client, "STREAM.INFO.EMPTY", Value::Null).await?;
    ensure!(info["state"]["last_seq"] == 10, "{info}");
    publish(&client, "empty", b"next", &[]).await?;
    let info = ask(&client, "STREAM.INFO.EMPTY", Value::Null).await?;
    ensure!(info["state"]["first_seq"] == 11 && info["state"]["last_seq"] == 11, "{info}");
    consume(&client, "WORK", "workers", &["+ACK"]).await?;
    let work = ask(&client, "CONSUMER.INFO.WORK.workers", Value::Null).await?;
    ensure!(
        work["delivered"]["stream_seq"]
            == wanted["WORK consumer \"workers\""]["delivered"]["stream_seq"].as_u64().unwrap_or(0) + 1,
        "{work}"
    );
    Ok(())
}

#[tokio::test]
async fn files_of_2_15_come_over() -> Result<()> {
    comes_over(Kind::Stock).await
}

#[tokio::test]
async fn files_of_2_14_come_over() -> Result<()> {
    comes_over(Kind::Older("2.14")).await
}

#[tokio::test]
async fn files_of_2_12_come_over() -> Result<()> {
    comes_over(Kind::Older("2.12")).await
}

#[tokio::test]
async fn without_the_index_the_blocks_say_the_same() -> Result<()> {
    let (there, here) = (TempDir::new()?, TempDir::new()?);
    let Some(wanted) = filled(Kind::Stock, there.path()).await? else { return Ok(()) };
    for path in files(there.path())?.into_keys().filter(|path| path.ends_with("msgs/index.db")) {
        fs::remove_file(path)?;
    }
    let ran = import(there.path(), here.path()).await?;
    ensure!(
        ran.code == Some(0) && ran.stdout.contains("there is no index.db"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    let (_ours, found) = imported(here.path()).await?;
    let differences = differences(&wanted, &found);
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

#[tokio::test]
async fn damage_is_named_and_the_rest_comes_over() -> Result<()> {
    let (there, here) = (TempDir::new()?, TempDir::new()?);
    let Some(wanted) = filled(Kind::Stock, there.path()).await? else { return Ok(()) };
    let block = there.path().join("store/jetstream/$G/streams/WORK/msgs/1.blk");
    let mut bytes = fs::read(&block)?;
    let place = bytes.windows(6).rposition(|window| window == b"work29").context("not there")?;
    bytes[place + 4] ^= 0x40;
    fs::write(&block, bytes)?;
    let ran = import(there.path(), here.path()).await?;
    ensure!(ran.code == Some(1), "{ran:?}");
    let told = ran.stdout.lines().find(|line| line.contains("WORK/msgs/1.blk, byte ")).unwrap_or_default();
    ensure!(told.contains("a record's checksum is another"), "{}{}", ran.stdout, ran.stderr);
    ensure!(ran.stderr.contains("could not be copied"), "{}", ran.stderr);
    let (_ours, found) = imported(here.path()).await?;
    let rest = |all: &BTreeMap<String, Value>| {
        all.iter()
            .filter(|(key, _)| !key.starts_with("WORK"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    ensure!(differences(&rest(&wanted), &rest(&found)).is_empty());
    Ok(())
}

#[tokio::test]
async fn encrypted_files_are_refused() -> Result<()> {
    let (there, here) = (TempDir::new()?, TempDir::new()?);
    let conf = "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\", cipher: chacha, key: \"0123456789abcdef\" }\n";
    let Some(mut stock) = ConfServer::start(Kind::Stock, there.path(), conf).await? else { return Ok(()) };
    let client = async_nats::connect(stock.url()).await?;
    create(&client, json!({ "name": "SECRET", "subjects": ["secret"] })).await?;
    publish(&client, "secret", b"x", &[]).await?;
    stock.process.stop().await?;
    let ran = import(there.path(), here.path()).await?;
    ensure!(ran.code == Some(1) && ran.stderr.contains("encrypted at rest"), "{ran:?}");
    Ok(())
}
