//! Streams as operators meet them: monitoring, a full disk, a folder that can't be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, stream};
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

#[tokio::test]
async fn metrics_tell_of_streams_and_lag() -> Result<()> {
    let conf = "http: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\n";
    let server = ConfServer::fresh(Kind::Ours, conf).await?.context("no server")?;
    let context = context(&server).await?;
    let config = stream::Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    let stream = context.create_stream(config).await?;
    for _ in 0..3 {
        context.publish("s.1", "hello".into()).await?.await?;
    }
    let config = jetstream::consumer::pull::Config { durable_name: Some("c".into()), ..Default::default() };
    stream.create_consumer(config).await?;
    let admin = server.addresses.admin.context("no monitoring")?;
    let metrics = http_get(admin, "/metrics").await?.body;
    for line in [
        "gatehouse_stream_messages{account=\"$G\",stream=\"S\"} 3",
        "gatehouse_consumer_pending{account=\"$G\",stream=\"S\",consumer=\"c\"} 3",
        "gatehouse_streams_problems 0",
    ] {
        ensure!(metrics.lines().any(|known| known.starts_with(line)), "{line} is not in\n{metrics}");
    }
    Ok(())
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
