//! A child process that never outlives its test, with its log in a file.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::wait::{eventually, within};

/// How much of a log a failing test prints.
const LOG_TAIL: usize = 6000;

/// Path of a binary of this workspace, built before the suites run (see `tests/run`).
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = match env::var_os("GATEHOUSE_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        // target/debug/deps/SUITE-HASH -> target/debug
        None => env::current_exe()?
            .ancestors()
            .nth(2)
            .context("the test binary is not in a target folder")?
            .into(),
    };
    let path = dir.join(name);
    if !path.exists() {
        bail!("{} is not built: run tests/run, or `cargo build --workspace --bins`", path.display());
    }
    Ok(path)
}

/// What to run; see [`Process`].
#[derive(Debug)]
pub struct ProcessBuilder {
    command: Command,
    log: PathBuf,
}

impl ProcessBuilder {
    /// Runs `program`, with standard output and error in the file `log`.
    pub fn new(program: impl AsRef<OsStr>, log: impl Into<PathBuf>) -> Self {
        let mut command = Command::new(program);
        command.kill_on_drop(true).stdin(Stdio::null());
        Self { command, log: log.into() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.command.env(key, value.into());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the program or the log file cannot be opened.
    pub fn spawn(mut self) -> Result<Process> {
        let log = File::create(&self.log).with_context(|| format!("{}", self.log.display()))?;
        self.command.stdout(log.try_clone()?).stderr(log);
        let child =
            self.command.spawn().with_context(|| format!("{:?}", self.command.as_std().get_program()))?;
        let pid = child.id().context("the process ended at once")?;
        Ok(Process { child, pid, log: self.log })
    }
}

/// A running process. Dropping it kills it, by its id and nothing else, and prints the end of its log.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Polls until `find` gives a value from the log.
    ///
    /// # Errors
    /// When the process ends first or the deadline passes; the log is in the error.
    pub async fn wait_log<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let pid = self.pid;
        self.wait_for(what, move |log| find(log)).await.with_context(|| format!("process {pid}"))
    }

    /// Polls until `probe` gives a value; it gets the log. Fails early when the process ends.
    ///
    /// # Errors
    /// When the process ends first or the deadline passes; the log is in the error.
    pub async fn wait_for<T>(&mut self, what: &str, probe: impl Fn(&str) -> Option<T>) -> Result<T> {
        let log_path = self.log.clone();
        let child = &mut self.child;
        let read =
            || fs::read(&log_path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        let outcome = eventually(what, || {
            // The status is asked first: what a dead process printed is complete.
            let ended = child.try_wait().ok().flatten();
            let found = probe(&read());
            std::future::ready(match (found, ended) {
                (Some(value), _) => Some(Ok(value)),
                (None, Some(status)) => Some(Err(status)),
                (None, None) => None,
            })
        });
        match outcome.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => bail!("{status} before: {what}\n{}", tail(&read())),
            Err(late) => bail!("{late}\n{}", tail(&read())),
        }
    }

    /// Sends a signal by name (`TERM`, `HUP`, …).
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).status().await?;
        if !status.success() {
            bail!("cannot signal process {}", self.pid);
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(within("the end of the process", self.child.wait()).await??)
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it is gone already, or does not end before the deadline.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        self.ended().await
    }

    /// Ends it without notice (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The test runner shows this for failed tests only.
        eprintln!("--- end of {} ---\n{}", self.log.display(), tail(&self.log()));
        // `kill_on_drop` sends the signal; the runtime reaps the child.
    }
}

fn tail(log: &str) -> &str {
    let start = log.len().saturating_sub(LOG_TAIL);
    let start = (start..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or_default();
    log.get(start..).unwrap_or_default()
}
