//! One server process: started in a directory of its own, ended with its value.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::greet;

/// A server that doesn't listen after this time won't.
const START_TIMEOUT: Duration = Duration::from_secs(15);
const LOG: &str = "server.log";
/// Lines of a failed server's log that are shown.
const LOG_TAIL: usize = 8;

/// A running server.
pub(crate) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Runs `program` with `arguments` in `dir`, its output going to a log file there, and waits until it
    /// greets clients at `address`.
    ///
    /// # Errors
    /// When it can't be started, ends, or does not listen in time; with the end of its log.
    pub(crate) fn start(program: &Path, arguments: &[&str], dir: &Path, address: SocketAddr) -> Result<Self> {
        let mut server = Self::start_helper(program, arguments, dir, LOG)?;
        server.wait_until_listening(address).with_context(|| {
            format!("{} {}\n{}", program.display(), arguments.join(" "), log_tail(&dir.join(LOG)))
        })?;
        Ok(server)
    }

    /// Starts a helper that listens nowhere: whoever needs it waits for it.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start_helper(program: &Path, arguments: &[&str], dir: &Path, log: &str) -> Result<Self> {
        let log = File::create(dir.join(log))?;
        let child = command(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { child })
    }

    fn wait_until_listening(&mut self, address: SocketAddr) -> Result<()> {
        let begun = Instant::now();
        while let Err(cause) = greet(address) {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at once with {status}");
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(cause.context("does not listen"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Asks it to end, or ends it, and waits until it has.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) fn end(mut self, signal: libc::c_int) -> Result<()> {
        let pid = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: `kill` reads its arguments and nothing else; the process is a child of ours, not waited for yet.
        #[allow(unsafe_code, reason = "std has no way to send a signal")]
        let sent = unsafe { libc::kill(pid, signal) };
        if sent != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        self.child.wait()?;
        Ok(())
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Nothing of it is kept, so there is nothing to wait for politely. Both calls fail only for a
        // process that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command for `program` in which the caller's environment overrides no configuration.
pub(super) fn command(program: &Path) -> Command {
    const PREFIXES: [&str; 3] = ["GATEHOUSE_", "NATS_", "OCIS_"];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

/// Loopback addresses nobody listens on at the moment.
///
/// # Errors
/// When there is no free port.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::new();
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_shows_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let [address] = free_addresses().unwrap();
        let script = ["-c", "echo port is taken; exit 3"];
        let error = ServerProcess::start(Path::new("/bin/sh"), &script, dir.path(), address).err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("port is taken") && text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn free_addresses_differ() {
        let [a, b, c] = free_addresses().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
