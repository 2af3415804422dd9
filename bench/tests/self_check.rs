//! Short runs of the bench itself: every one must be valid, on a stock server against itself and on our two processes.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

/// Together they use every way of starting servers and every kind of load that is quickly done.
const SCENARIOS: [&str; 18] = [
    "pub:16",
    "pubsub:128",
    "fanout:6",
    "queue:16",
    "many:500",
    "rights:500",
    "rr:8",
    "conns:mtls",
    "whole-way",
    "whole-way:stamp",
    "link:leaf-s2:128",
    "link-subjects:gateway:500",
    "js-pub:sync:64",
    "js-pub:memory:64",
    "kv-put:16",
    "kv-get:8",
    "js-restart:1000",
    "js-depth:1000",
];

#[test]
fn a_stock_server_against_itself() -> Result<()> {
    nats_server().map_or(Ok(()), |server| all_runs_are_valid(&server, &server))
}

#[test]
fn our_processes_against_a_stock_server() -> Result<()> {
    let Some(server) = nats_server() else { return Ok(()) };
    let Some(ours) = env::var_os("GATEHOUSE_BIN_DIR") else {
        skip("our_processes_against_a_stock_server", "`tests/run` builds the binaries this needs");
        return Ok(());
    };
    all_runs_are_valid(Path::new(&ours), &server)
}

fn all_runs_are_valid(ours: &Path, theirs: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let json = dir.path().join("runs.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("run")
        .args(SCENARIOS)
        .args(["--reps", "1", "--secs", "0.1", "--quiet-wait", "0"])
        .args([Path::new("--ours"), ours, Path::new("--nats-server"), theirs, Path::new("--json"), &json])
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let runs: Vec<Value> =
        fs::read_to_string(&json)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(runs.len(), 2 * SCENARIOS.len(), "{log}");
    for run in &runs {
        assert!(run["error"].is_null(), "{run}");
        assert!(run["readings"][0]["value"].as_f64() > Some(0.0), "{run}");
    }
    let table = Command::new(env!("CARGO_BIN_EXE_bench")).arg("table").arg(&json).output()?;
    assert_eq!(table.stdout, output.stdout, "the table from the file differs");
    Ok(())
}

/// The one `tests/run` installs.
fn nats_server() -> Option<PathBuf> {
    let peers = env::var_os("GATEHOUSE_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"), PathBuf::from);
    let server = peers.join("bin/nats-server");
    if server.exists() {
        return Some(server);
    }
    skip(std::thread::current().name().unwrap_or_default(), "nats-server is not installed");
    None
}

/// Counted by `tests/run`, so that a skipped test is never taken for a passed one.
fn skip(test: &str, reason: &str) {
    let line = format!("self_check::{test}: {reason}\n");
    eprint!("skipped: {line}");
    if let Some(path) = env::var_os("GATEHOUSE_SKIPS")
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        drop(file.write_all(line.as_bytes()));
    }
}
