//! Clients that others wrote, driven through the scripts in `tests/peers`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::skip::skip;

/// How long a script may be silent. Its own waits end sooner, so that it can say what it waited for.
const SILENCE: Duration = Duration::from_secs(90);

/// The folder `tests/run` installs the peers into.
pub fn peers_dir() -> PathBuf {
    match env::var_os("GATEHOUSE_PEERS") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    }
}

/// A client library of another maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// nats-py.
    Python,
    /// `@nats-io/transport-node`, the present generation of nats.js.
    Node,
    /// `nats`, the generation before, still widely used.
    NodeLegacy,
    /// nats.go.
    Go,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Python, Self::Node, Self::NodeLegacy, Self::Go];

    /// What `serve` puts before its answers.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::Node | Self::NodeLegacy => "js",
            Self::Go => "go",
        }
    }

    /// Whether `tests/run` could install it.
    pub fn installed(self) -> bool {
        let stamp = match self {
            Self::Python => ".python",
            Self::Node | Self::NodeLegacy => ".js",
            Self::Go => ".go",
        };
        peers_dir().join(stamp).exists()
    }

    /// As [`Client::installed`]; `false` is counted as a skip of the running test.
    pub fn installed_or_skip(self) -> bool {
        let installed = self.installed();
        if !installed {
            skip(&format!("{self:?} client is not installed"));
        }
        installed
    }

    fn command(self) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let peers = peers_dir();
        let (program, script) = match self {
            Self::Python => (peers.join("bin/python"), Some(scripts.join("py/peer.py"))),
            Self::Node | Self::NodeLegacy => ("node".into(), Some(scripts.join("js/peer.mjs"))),
            Self::Go => (peers.join("bin/go-peer"), None),
        };
        let mut command = Command::new(program);
        command.args(script).env("GATEHOUSE_PEERS", peers);
        command
    }
}

/// A running script.
#[derive(Debug)]
pub struct PeerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl PeerProcess {
    /// Starts a script in one of its modes (`scenarios`, `serve`, `call`, `collect`, `publish`).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(client: Client, mode: &str, options: &Value) -> Result<Self> {
        let mut options = options.clone();
        if client == Client::NodeLegacy {
            merge(&mut options, &json!({ "package": "nats" }));
        }
        let mut command = client.command();
        command
            .arg(mode)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {client:?}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// As [`PeerProcess::start`], for the modes that say when they are ready.
    ///
    /// # Errors
    /// When the script ends instead.
    pub async fn ready(client: Client, mode: &str, options: &Value) -> Result<Self> {
        let mut peer = Self::start(client, mode, options)?;
        let line =
            peer.next().await?.with_context(|| format!("{client:?} {mode} ended before it was ready"))?;
        ensure!(line.get("ready") == Some(&Value::Bool(true)), "not ready: {line}");
        Ok(peer)
    }

    /// The next result, or `None` at the end.
    ///
    /// # Errors
    /// When the script is silent for too long, or prints something else.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let line = timeout(SILENCE, self.lines.next_line()).await.context("the peer says nothing")??;
        line.map(|line| serde_json::from_str(&line).with_context(|| format!("not a result: {line}")))
            .transpose()
    }

    /// The field `name` of the next result.
    ///
    /// # Errors
    /// When there is none.
    pub async fn field(&mut self, name: &str) -> Result<Value> {
        let line = self.next().await?.with_context(|| format!("the peer ended without `{name}`"))?;
        line.get(name).cloned().with_context(|| format!("no `{name}` in {line}"))
    }

    /// Tells a serving script to end, and waits for it.
    ///
    /// # Errors
    /// When it ends with an error.
    pub async fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        while self.next().await?.is_some() {}
        let status = timeout(SILENCE, self.child.wait()).await.context("the peer does not end")??;
        ensure!(status.success(), "the peer ended with {status}");
        Ok(())
    }
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// What went wrong, if anything.
    pub error: Option<String>,
}

/// Runs scenarios of a script. `on_waiting` is called when a scenario asks for something to happen outside, such as
/// the loss of its connection.
///
/// # Errors
/// When the script dies or does not report every scenario.
pub async fn run_scenarios(
    client: Client,
    options: &Value,
    scenarios: &[&str],
    mut on_waiting: impl FnMut(&str),
) -> Result<Vec<Outcome>> {
    let mut options = options.clone();
    merge(&mut options, &json!({ "scenarios": scenarios }));
    let mut peer = PeerProcess::start(client, "scenarios", &options)?;
    let mut outcomes = Vec::new();
    while let Some(line) = peer.next().await? {
        if let Some(what) = line.get("waiting").and_then(Value::as_str) {
            on_waiting(what);
            continue;
        }
        let scenario =
            line.get("scenario").and_then(Value::as_str).context("a line without scenario")?.to_owned();
        let ok = line.get("ok") == Some(&Value::Bool(true));
        let error =
            (!ok).then(|| line.get("error").and_then(Value::as_str).unwrap_or("no reason").to_owned());
        outcomes.push(Outcome { scenario, error });
    }
    if outcomes.len() != scenarios.len() {
        bail!("{client:?} reported {} of {} scenarios", outcomes.len(), scenarios.len());
    }
    Ok(outcomes)
}

/// What tests ask of the outcomes.
pub trait ResultExt {
    /// Every scenario passed.
    ///
    /// # Errors
    /// Names all that did not.
    fn all_pass(&self) -> Result<()>;
}

impl ResultExt for Vec<Outcome> {
    fn all_pass(&self) -> Result<()> {
        let failed = self.iter().filter_map(|o| Some(format!("{}: {}", o.scenario, o.error.as_ref()?)));
        let failed: Vec<_> = failed.collect();
        ensure!(
            failed.is_empty(),
            "{} of {} scenarios failed:\n  {}",
            failed.len(),
            self.len(),
            failed.join("\n  ")
        );
        Ok(())
    }
}

/// Adds the fields of `more` to a JSON object.
pub(crate) fn merge(object: &mut Value, more: &Value) {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}
