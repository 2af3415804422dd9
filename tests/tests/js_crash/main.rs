//! The server is killed at random moments under load, and so are publishers and consumers. Whatever was acknowledged
//! is there, nothing is there twice, every message has its effect once, and what was acknowledged twice (by the
//! consumer, and by the server to the consumer) never comes again.

mod consumers;
mod ledger;
mod publishers;
mod server;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{Kind, eventually, long_run};

use consumers::Group;
use ledger::Ledger;
use publishers::Publishers;
use server::Server;

/// Kills of the server.
fn rounds() -> u64 {
    let asked = std::env::var("GATEHOUSE_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if long_run() { 200 } else { 12 })
}

/// Numbers that differ from run to run: a seed would repeat the clients' side only.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below
}

async fn crash(kind: Kind, storage: async_nats::jetstream::stream::StorageType) -> Result<()> {
    let Some(mut server) = Server::start(kind).await? else { return Ok(()) };
    server.create(storage).await?;
    let ledger = Arc::new(Ledger::default());
    let mut publishers = Publishers::start(server.url(), ledger.clone());
    let mut groups = vec![
        Group::start(server.url(), "billing", Arc::default()),
        Group::start(server.url(), "shipping", Arc::default()),
    ];
    for round in 0..rounds() {
        let before = ledger.acknowledged();
        let enough = before + 20 + random(1500);
        eventually("messages acknowledged", || async { (ledger.acknowledged() >= enough).then_some(()) })
            .await
            .with_context(|| format!("round {round}: {before} of {enough}"))?;
        match random(4) {
            0 => publishers.kill_one(),
            1 => groups.iter_mut().for_each(Group::kill_one),
            _ => {}
        }
        server.kill_and_start().await.with_context(|| format!("round {round}"))?;
    }
    publishers.stop().await;
    for group in &groups {
        group.until_all_done(&server).await?;
    }
    let stored = server.stored().await?;
    check_stream(&stored, &ledger)?;
    for group in groups {
        group.check(&stored)?;
    }
    // Once more: all of that was on disk.
    server.kill_and_start().await?;
    ensure!(server.stored().await? == stored, "the stream has changed over a restart");
    server.nothing_left(&["billing", "shipping"]).await
}

/// Every acknowledged message once, where it was said to be; nothing that nobody published.
fn check_stream(stored: &[(u64, String)], ledger: &Ledger) -> Result<()> {
    let mut by_id: HashMap<&str, u64> = HashMap::new();
    for (seq, id) in stored {
        ensure!(by_id.insert(id, *seq).is_none(), "{id} is stored twice");
        ensure!(ledger.was_published(id), "{id} is stored and was never published");
    }
    for (id, seq) in ledger.all_acknowledged() {
        ensure!(by_id.get(id.as_str()) == Some(&seq), "{id} was acknowledged at {seq}, and is not there");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_and_repeats_nothing() -> Result<()> {
    crash(Kind::Ours, async_nats::jetstream::stream::StorageType::File).await
}
