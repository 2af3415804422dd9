//! Commands that run to their end: what they print, and how they leave.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::process::binary;
use crate::wait::within;

/// What a command printed, and its exit code.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The standard output of a command that went well.
    ///
    /// # Errors
    /// When it did not.
    pub fn output(self) -> Result<String> {
        ensure!(self.code == Some(0), "exit code {:?}\n{}{}", self.code, self.stdout, self.stderr);
        Ok(self.stdout)
    }
}

/// Runs one of this workspace's binaries in `dir`.
///
/// # Errors
/// When it cannot be started, or does not end before the deadline.
pub async fn run_binary<A: AsRef<OsStr>>(
    name: &str,
    dir: &Path,
    args: impl IntoIterator<Item = A>,
) -> Result<Ran> {
    run(binary(name)?.as_os_str(), dir, args).await
}

/// Runs any program in `dir`.
///
/// # Errors
/// When it cannot be started, or does not end before the deadline.
pub async fn run<A: AsRef<OsStr>>(
    program: &OsStr,
    dir: &Path,
    args: impl IntoIterator<Item = A>,
) -> Result<Ran> {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    let output =
        within("the end of a command", command.output()).await?.with_context(|| format!("{program:?}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}
