//! The examples of the documentation do what they say: instances of a group handle every order once, on both servers.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatehouse_tests::{Client, ConfServer, Kind, on_both, peers_dir};

#[path = "../../docs/examples/consumer_group.rs"]
mod consumer_group;

on_both! {
    a_group_in_rust
    a_group_in_python
}

/// Orders published, each of them twice.
const ORDERS: usize = 60;
/// How long one script may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn bus(kind: Kind) -> Result<Option<ConfServer>> {
    ConfServer::fresh(kind, "jetstream { store_dir: \"store\" }\n").await
}

/// What all instances handled together: every order, and each once.
fn each_once(instances: &[Vec<String>]) -> Result<()> {
    let mut handled: Vec<usize> =
        instances.iter().flatten().map(|order| order.parse()).collect::<Result<_, _>>()?;
    handled.sort_unstable();
    ensure!(handled == (0..ORDERS).collect::<Vec<_>>(), "handled: {handled:?}");
    Ok(())
}

async fn a_group_in_rust(kind: Kind) -> Result<()> {
    let Some(server) = bus(kind).await? else { return Ok(()) };
    let url = server.url();
    consumer_group::publish(&url, ORDERS).await.map_err(|error| anyhow!(error))?;
    let (one, two) = tokio::join!(consumer_group::work(&url), consumer_group::work(&url));
    let handled = [one, two].into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| anyhow!(error))?;
    each_once(&handled)
}

async fn a_group_in_python(kind: Kind) -> Result<()> {
    if !Client::Python.installed_or_skip() {
        return Ok(());
    }
    let Some(server) = bus(kind).await? else { return Ok(()) };
    let url = server.url();
    let orders = ORDERS.to_string();
    script(&[&url, "publish", &orders]).await?;
    let work = [url.as_str(), "work"];
    let (one, two) = tokio::join!(script(&work), script(&work));
    each_once(&[one?, two?])
}

/// Runs the Python example; the lines it prints.
async fn script(arguments: &[&str]) -> Result<Vec<String>> {
    let path = format!("{}/../docs/examples/consumer_group.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = tokio::process::Command::new(peers_dir().join("bin/python"));
    command.arg(path).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.context("the script takes too long")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
