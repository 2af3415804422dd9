//! The two processes of `up`: starting them, noticing their end, stopping them whatever happens.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use daemon::pid::{SignalName, send_signal};
use tokio::process::{self, Command};
use tokio::time::timeout;

use super::UpError;
use super::layout::Layout;
use super::ports::Variable;

/// How long a process may take to drain before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Lines of the log shown when a process ends by itself.
const LAST_LINES: usize = 8;

/// A process that ended by itself: which, how, and its last words.
#[derive(Debug)]
pub struct Ended {
    name: &'static str,
    how: String,
    log: PathBuf,
    /// The last lines of its log.
    pub(super) last_lines: Vec<String>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended by itself ({}); its log is {}", self.name, self.how, self.log.display())
    }
}

/// A running process. Dropping it kills it, by its id and nothing else.
pub(super) struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts the program `name` that lies next to this one, with its configuration in `layout`.
    pub(super) fn start(
        name: &'static str,
        layout: &Layout,
        variables: &[Variable],
    ) -> Result<Self, UpError> {
        let program = program(name)?;
        let config = if name == "internal-bus" { layout.bus_config() } else { layout.gateway_config() };
        let log = layout.log(name);
        let file = File::create(&log).map_err(UpError::file(&log))?;
        let copy = file.try_clone().map_err(UpError::file(&log))?;
        let process = Command::new(program)
            .arg("--config")
            .arg(config)
            .envs(variables.iter().cloned())
            .current_dir(layout.root())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            // Ctrl-C on the terminal is for this process, which stops the others in their order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| UpError::Start { name, source })?;
        Ok(Self { name, process, log })
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> Ended {
        let how = match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        Ended { name: self.name, how, log: self.log.clone(), last_lines: self.last_lines() }
    }

    /// Tells it to end (SIGTERM), waits for that, and kills it if it takes too long.
    pub(super) async fn stop(&mut self) -> Result<(), UpError> {
        // Without an id it has ended, and was waited for.
        let Some(id) = self.process.id() else { return Ok(()) };
        let stop = |source| UpError::Stop { name: self.name, source };
        send_signal(&id.to_string(), SignalName::Term).map_err(stop)?;
        match timeout(PATIENCE, self.process.wait()).await {
            Ok(ended) => ended.map(drop)?,
            Err(_) => self.process.kill().await?,
        }
        Ok(())
    }

    fn last_lines(&self) -> Vec<String> {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LAST_LINES);
        lines.get(first..).unwrap_or_default().iter().map(ToString::to_string).collect()
    }
}

/// Ends the processes when this one ends without a chance to do so itself (killed, or out of memory): a shell that
/// waits for the end of its standard input, which the system closes then. Dropping it calls it off.
pub(super) struct Guardian {
    _shell: process::Child,
}

impl Guardian {
    /// Watches over `children`.
    pub(super) fn over(children: &[&Child]) -> Result<Self, UpError> {
        let start = |source| UpError::Start { name: "sh", source };
        let shell = Command::new("sh")
            .args(["-c", "read -r _; kill -TERM \"$@\"", "sh"])
            .args(children.iter().filter_map(|child| child.process.id()).map(|id| id.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        Ok(Self { _shell: shell })
    }
}

/// The program `name`: this one, or the one next to it.
fn program(name: &str) -> Result<PathBuf, UpError> {
    let own = std::env::current_exe()?;
    if name == "event-gateway" {
        return Ok(own);
    }
    let folder = own.parent().ok_or_else(|| io::Error::other("this program lies in no folder"))?;
    let program = folder.join(name);
    if program.exists() { Ok(program) } else { Err(UpError::NoBus(program)) }
}
