//! Stock clients of other makers use streams, key-value and objects, on both servers alike.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{Client, ConfServer, Kind, on_both, peers_dir};
use serde_json::{Value, json};

on_both! {
    nats_py
    nats_js
}

/// All scenarios of one script together.
const PATIENCE: Duration = Duration::from_secs(90);

async fn run(kind: Kind, client: Client, script: &str, scenarios: &[&str]) -> Result<()> {
    if !client.installed_or_skip() {
        return Ok(());
    }
    let Some(server) = ConfServer::fresh(kind, "jetstream { store_dir: \"store\" }\n").await? else {
        return Ok(());
    };
    let program = if client == Client::Python { peers_dir().join("bin/python") } else { "node".into() };
    let script = format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR"));
    let options = json!({ "url": server.url(), "scenarios": scenarios });
    let mut command = tokio::process::Command::new(program);
    command.arg(script).arg(options.to_string()).env("GATEHOUSE_PEERS", peers_dir());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.context("the script takes too long")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let results: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed: Vec<String> = results
        .iter()
        .filter(|result| result["ok"] != true)
        .map(|result| format!("{}: {}", result["scenario"], result["error"].as_str().unwrap_or_default()))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(results.len() == scenarios.len(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn nats_py(kind: Kind) -> Result<()> {
    let scenarios =
        ["publish_and_pull", "redelivery", "push_and_ordered", "registry", "key_value", "objects"];
    run(kind, Client::Python, "py/streams.py", &scenarios).await
}

async fn nats_js(kind: Kind) -> Result<()> {
    let scenarios = ["publish_and_pull", "ordered", "registry", "key_value", "objects"];
    run(kind, Client::NodeLegacy, "js/streams.mjs", &scenarios).await
}
