//! Nodes, gateways, wires and certificates go bad in an order that a seed decides; whatever was acknowledged is there
//! afterwards, once, and everybody hears from everybody again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use gatehouse_tests::{Chaos, Joint, Kind, long_run};

/// The seeds of a run: the one asked for, a few that are always the same, or many.
fn seeds(few: &[u64]) -> Result<Vec<u64>> {
    match std::env::var("GATEHOUSE_CHAOS_SEED") {
        Ok(seed) => Ok(vec![seed.parse().context("GATEHOUSE_CHAOS_SEED is no number")?]),
        Err(_) if long_run() => Ok((1..=20).collect()),
        Err(_) => Ok(few.to_vec()),
    }
}

async fn all(chaos: Chaos, few: &[u64]) -> Result<()> {
    // A run waits for elections most of its time: two at once need little more of it than one.
    for pair in seeds(few)?.chunks(2) {
        for report in try_join_all(pair.iter().map(|seed| chaos.run(*seed))).await? {
            let Some(report) = report else { return Ok(()) };
            ensure!(report.faults > 5 && report.acknowledged > 100, "too little happened: {report}");
        }
    }
    Ok(())
}

/// Two gateways before three stock nodes.
fn stock(joint: Joint) -> Chaos {
    let span = Duration::from_secs(10);
    Chaos { kind: Kind::Stock, nodes: 3, gateways: 2, joint, edge: false, span }
}

/// Two gateways that keep messages before our bus.
fn ours(joint: Joint) -> Chaos {
    Chaos { kind: Kind::Ours, nodes: 1, edge: true, ..stock(joint) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_cluster_and_two_gateways_lose_and_double_nothing() -> Result<()> {
    all(stock(Joint::default()), &[1, 2]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_bus_and_gateways_that_keep_messages_lose_and_double_nothing() -> Result<()> {
    all(ours(Joint::default()), &[3]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_to_a_stock_cluster_whose_certificates_change_lose_and_double_nothing() -> Result<()> {
    all(stock(Joint { gateway: false, tls: true }), &[4]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_to_our_bus_whose_certificates_change_lose_and_double_nothing() -> Result<()> {
    all(ours(Joint { gateway: false, tls: true }), &[5]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_cluster_and_gateways_as_clusters_lose_and_double_nothing() -> Result<()> {
    all(stock(Joint { gateway: true, tls: true }), &[6]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_bus_and_gateways_as_clusters_lose_and_double_nothing() -> Result<()> {
    all(ours(Joint { gateway: true, tls: true }), &[7]).await
}
