//! Streams as operators meet them: monitoring, a full disk, a folder that can't be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use gatehouse_tests::{
    Addresses, ConfServer, Kind, ProcessBuilder, binary, eventually, http_get, on_both, run_binary, skip,
};
use tempfile::TempDir;

on_both! {
    monitoring_shows_streams_and_consumers
}

async fn context(server: &ConfServer) -> Result<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(server.url()).await?))
}

async fn monitoring_shows_streams_and_consumers(kind: Kind) -> Result<()> {
    let conf = "http: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\", domain: hub }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let context = context(&server).await?;
    let config = stream::Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    let stream = context.create_stream(config).await?;
    context.publish("s.1", "hello".into()).await?.await?;
    let config = jetstream::consumer::pull::Config { durable_name: Some("c".into()), ..Default::default() };
    stream.create_consumer(config).await?;
    let jsz = server.page("/jsz?accounts=true&streams=true&consumers=true&config=true").await?;
    for (field, value) in [("streams", 1), ("consumers", 1), ("messages", 1), ("accounts", 1)] {
        ensure!(jsz[field] == value, "{field}: {jsz}");
    }
    ensure!(jsz["bytes"] == jsz["storage"] && jsz["memory"] == 0, "{jsz}");
    ensure!(jsz["config"]["domain"] == "hub", "{jsz}");
    let detail = &jsz["account_details"][0]["stream_detail"][0];
    ensure!(detail["name"] == "S" && detail["state"]["messages"] == 1, "{detail}");
    ensure!(detail["config"]["subjects"][0] == "s.>", "{detail}");
    ensure!(detail["consumer_detail"][0]["num_pending"] == 1, "{detail}");
    let brief = server.page("/jsz").await?;
    ensure!(brief.get("account_details").is_none(), "{brief}");
    let varz = server.page("/varz").await?;
    ensure!(varz["jetstream"]["stats"]["storage"] == jsz["storage"], "{varz}");
    for query in ["", "?js-enabled-only=true", "?js-server-only=true"] {
        ensure!(server.page(&format!("/healthz{query}")).await?["status"] == "ok", "{query}");
    }
    ensure!(context.query_account().await?.streams == 1);
    Ok(())
}

/// The value of the first sample that begins so.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line =
        metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// docs/monitoring.md names every metric of streams and consumers.
fn all_are_named(metrics: &str) -> Result<()> {
    let page = include_str!("../../docs/monitoring.md");
    let named = |line: &str| {
        let name = line.strip_prefix("# HELP gatehouse_")?.split(' ').next()?.to_owned();
        let about = name.starts_with("stream") || name.starts_with("consumer");
        about.then_some(name)
    };
    let there: Vec<String> = metrics.lines().filter_map(named).collect();
    ensure!(there.len() == 17, "{there:?}");
    for name in &there {
        let tail = name.split_once('_').map(|(_, tail)| format!("`_{tail}`"));
        let said =
            page.contains(&format!("`gatehouse_{name}`")) || tail.is_some_and(|tail| page.contains(&tail));
        ensure!(said, "docs/monitoring.md does not name {name}");
    }
    Ok(())
}

/// Every metric of streams and consumers that docs/monitoring.md names is there, and says what happened.
#[tokio::test]
async fn metrics_tell_of_streams_and_lag() -> Result<()> {
    let conf = "http: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\n";
    let server = ConfServer::fresh(Kind::Ours, conf).await?.context("no server")?;
    let context = context(&server).await?;
    let admin = server.addresses.admin.context("no monitoring")?;
    let read = || async move { anyhow::Ok(http_get(admin, "/metrics").await?.body) };
    let empty = read().await?;
    for (name, value) in [
        ("streams", 0.0),
        ("consumers", 0.0),
        ("streams_file_bytes", 0.0),
        ("streams_memory_bytes", 0.0),
        ("streams_api_requests_total", 0.0),
        ("streams_api_errors_total", 0.0),
        ("streams_problems", 0.0),
        ("streams_sync_seconds_count", 0.0),
    ] {
        ensure!(sample(&empty, &format!("gatehouse_{name}")) == Some(value), "{name} in\n{empty}");
    }
    let config = stream::Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    let stream = context.create_stream(config).await?;
    for subject in ["s.1", "s.1", "s.2"] {
        context.publish(subject, "hello".into()).await?.await?;
    }
    let memory = stream::Config {
        name: "M".into(),
        subjects: vec!["m".into()],
        storage: stream::StorageType::Memory,
        ..Default::default()
    };
    context.create_stream(memory).await?;
    context.publish("m", "hello".into()).await?.await?;
    let config = jetstream::consumer::pull::Config { durable_name: Some("c".into()), ..Default::default() };
    let consumer = stream.create_consumer(config).await?;
    ensure!(context.get_stream("NONE").await.is_err());
    let filled = read().await?;
    let of = |metrics: &str, name: &str| sample(metrics, &format!("gatehouse_{name}"));
    let labels = "{account=\"$G\",stream=\"S\"}";
    let group = "{account=\"$G\",stream=\"S\",consumer=\"c\"}";
    for (name, value) in [
        ("streams".to_owned(), 2.0),
        ("consumers".to_owned(), 1.0),
        ("streams_api_requests_total".to_owned(), 4.0),
        ("streams_api_errors_total".to_owned(), 1.0),
        (format!("stream_messages{labels}"), 3.0),
        (format!("stream_subjects{labels}"), 2.0),
        (format!("stream_last_sequence{labels}"), 3.0),
        (format!("stream_stopped{labels}"), 0.0),
        (format!("consumer_pending{group}"), 3.0),
        (format!("consumer_ack_pending{group}"), 0.0),
        (format!("consumer_redelivered{group}"), 0.0),
        (format!("consumer_waiting{group}"), 0.0),
    ] {
        ensure!(of(&filled, &name) == Some(value), "{name} in\n{filled}");
    }
    let bytes = of(&filled, &format!("stream_bytes{labels}"));
    ensure!(bytes > Some(15.0) && bytes == of(&filled, "streams_file_bytes"), "{filled}");
    ensure!(of(&filled, "streams_memory_bytes") > Some(5.0), "{filled}");
    // Three publishes waited for three syncs; of each it is known how long it took.
    let syncs = of(&filled, "streams_sync_seconds_count");
    ensure!(syncs >= Some(3.0) && of(&filled, "streams_sync_seconds_sum") > Some(0.0), "{filled}");
    ensure!(sample(&filled, "gatehouse_streams_sync_seconds_bucket{le=\"+Inf\"}") == syncs, "{filled}");
    // Given once, given again, acknowledged: and a request waits.
    let mut batch = consumer.fetch().max_messages(2).messages().await?;
    let first = batch.next().await.context("no message")?.map_err(|error| anyhow!("{error}"))?;
    let second = batch.next().await.context("no message")?.map_err(|error| anyhow!("{error}"))?;
    first.double_ack().await.map_err(|error| anyhow!("{error}"))?;
    let nak = jetstream::AckKind::Nak(None);
    second.double_ack_with(nak).await.map_err(|error| anyhow!("{error}"))?;
    let mut rest = consumer.batch().max_messages(5).expires(Duration::from_secs(60)).messages().await?;
    for _ in 0..2 {
        rest.next().await.context("no message")?.map_err(|error| anyhow!("{error}"))?;
    }
    let moved = eventually("metrics of a consumer at work", || async {
        let metrics = read().await.ok()?;
        let as_it_should = [("pending", 0.0), ("ack_pending", 2.0), ("redelivered", 1.0), ("waiting", 1.0)];
        let so =
            |(name, value): &(&str, f64)| of(&metrics, &format!("consumer_{name}{group}")) == Some(*value);
        as_it_should.iter().all(so).then_some(metrics)
    })
    .await?;
    all_are_named(&moved)
}

/// A small file system of its own, where that may be mounted; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).output()?;
        if !done.status.success() {
            skip("no file system may be mounted here");
            return Ok(None);
        }
        Ok(Some(Self(at.to_path_buf())))
    }

    fn remount(&self, how: &str) -> Result<()> {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[tokio::test]
async fn a_full_disk_stops_writes_and_nothing_else_until_there_is_room() -> Result<()> {
    let dir = TempDir::new()?;
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"))? else { return Ok(()) };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; 4 << 20])?;
    let conf = "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\njetstream { store_dir: \"disk\" }\n";
    let server = ConfServer::start(Kind::Ours, dir.path(), conf).await?.context("no server")?;
    let context = context(&server).await?;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s".into()],
        allow_direct: true,
        ..Default::default()
    };
    let stream = context.create_stream(config).await?;
    let mut stored = 0;
    let refused = loop {
        let sent = context.publish("s", vec![b'x'; 64 * 1024].into()).await?;
        match sent.await {
            Ok(ack) => stored = ack.sequence,
            Err(error) => break error.to_string(),
        }
        ensure!(stored < 1000, "the disk is never full");
    };
    ensure!(stored > 5, "only {stored} messages before: {refused}");
    let admin = server.addresses.admin.context("no monitoring")?;
    let health = http_get(admin, "/healthz").await?;
    ensure!(health.status == 503 && health.body.contains("disk is full"), "{}", health.body);
    // What was acknowledged can be read.
    for seq in [1, stored] {
        let found =
            stream.direct_get(seq).await.with_context(|| format!("{seq} of {stored}, refused: {refused}"))?;
        ensure!(found.payload.len() == 64 * 1024);
    }
    fs::remove_file(&ballast)?;
    eventually("the stream takes writes again", || async {
        context.publish("s", "again".into()).await.ok()?.await.ok()
    })
    .await?;
    eventually("healthy again", || async {
        (http_get(admin, "/healthz").await.ok()?.status == 200).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() -> Result<()> {
    let dir = TempDir::new()?;
    let conf = |store: &str| format!("listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{store}\" }}\n");
    // A file where the folder should be.
    fs::write(dir.path().join("file"), "")?;
    fs::write(dir.path().join("server.conf"), conf("file"))?;
    let ran = run_binary("internal-bus", dir.path(), ["-c", "server.conf"]).await?;
    ensure!(ran.code == Some(1) && ran.stderr.contains("file/streams"), "{ran:?}");
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"))? else { return Ok(()) };
    disk.remount("ro")?;
    fs::write(dir.path().join("server.conf"), conf("disk"))?;
    let ran = run_binary("internal-bus", dir.path(), ["-c", "server.conf"]).await?;
    ensure!(ran.code == Some(1) && ran.stderr.contains("Read-only file system"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn one_process_owns_a_store() -> Result<()> {
    let dir = TempDir::new()?;
    let conf = "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\n";
    let server = ConfServer::named(Kind::Ours, dir.path(), "one", conf).await?.context("no server")?;
    let ran = run_binary("internal-bus", dir.path(), ["-c", "one.conf"]).await?;
    let holder = server.process.pid().to_string();
    ensure!(ran.code == Some(1) && ran.stderr.contains("in use") && ran.stderr.contains(&holder), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn servers_that_were_given_no_folder_have_one_each() -> Result<()> {
    let dir = TempDir::with_prefix("gatehouse-test-")?;
    let start = async |name: &str| {
        let builder = ProcessBuilder::new(binary("internal-bus")?, dir.path().join(name));
        let mut process = builder.args(["-js", "-p", "-1"]).env("TMPDIR", dir.path()).spawn()?;
        let addresses = process.wait_log("a listening server", Addresses::from_log).await?;
        let client = async_nats::connect(format!("nats://{}", addresses.clients)).await?;
        anyhow::Ok((process, jetstream::new(client)))
    };
    let of_first = async |context: &jetstream::Context| context.get_stream("FIRST").await.is_ok();
    let (mut first, context) = start("first.log").await?;
    let config = stream::Config { name: "FIRST".into(), ..Default::default() };
    context.create_stream(config).await?;
    let (_second, context) = start("second.log").await?;
    ensure!(!of_first(&context).await, "the second has the folder of the first");
    first.stop().await?;
    let (_third, context) = start("third.log").await?;
    ensure!(of_first(&context).await, "what was free was not taken");
    Ok(())
}
