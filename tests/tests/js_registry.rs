//! go-micro's `nats-js-kv` registry, as OpenCloud uses it, finds its services on both servers: a bucket in
//! memory whose keys go when nobody renews them, watched.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, stream::StorageType};
use gatehouse_tests::{ConfServer, Kind, on_both, peers_dir, skip};

on_both! {
    services_come_and_go
}

const STEPS: [&str; 5] = ["register", "watch", "deregister", "expiry", "all_gone"];

/// All steps together; each waits up to 20 seconds for what it is about.
const PATIENCE: Duration = Duration::from_secs(150);

async fn services_come_and_go(kind: Kind) -> Result<()> {
    let registry = peers_dir().join("bin/go-micro-peer");
    if !registry.exists() {
        skip("go-micro's registry is not installed");
        return Ok(());
    }
    let conf = "jetstream { store_dir: \"store\" }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let mut command = tokio::process::Command::new(registry);
    command.arg(server.url()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("it takes too long")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let done = said.lines().filter(|line| line.contains("\"ok\":true")).count();
    ensure!(output.status.success() && done == STEPS.len(), "{said}\n{output:?}");
    ensure!(STEPS.iter().all(|step| said.contains(step)), "{said}");
    // What it made is what its owners believe it is.
    let context = jetstream::new(async_nats::connect(server.url()).await?);
    let bucket = context.get_stream("KV_service-registry").await?;
    let config = &bucket.cached_info().config;
    ensure!(config.storage == StorageType::Memory && config.max_age == Duration::from_secs(2), "{config:?}");
    Ok(())
}
