//! Pid files, and signals sent to a process named by pid or pid file (`--signal ldm=PID`).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use thiserror::Error;

/// What can go wrong with pid files and signals.
#[derive(Debug, Error)]
pub enum PidError {
    /// The file can't be written or read.
    #[error("pid file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file, or the text given for a process, holds no pid.
    #[error("{0}: expected a process id above 1")]
    NotAPid(String),
    /// The command is none.
    #[error(
        "signal {0}: expected NAME=PID, with one of stop, quit, term, reopen, reload, ldm and a pid or pid file"
    )]
    NotACommand(String),
    /// The system refused the signal.
    #[error("signal to process {pid}: {reason}")]
    Refused {
        /// The process.
        pid: i32,
        /// What the system said.
        reason: &'static str,
    },
}

/// A file that holds this process's pid, removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes the file, replacing an older one; a reader finds the whole pid or the file as it was.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, PidError> {
        let file = Self { path: path.into(), text: format!("{}\n", std::process::id()) };
        match file.write() {
            Ok(()) => Ok(file),
            Err(source) => Err(PidError::File { path: file.path.clone(), source }),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self) -> io::Result<()> {
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let written = fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(self.text.as_bytes()))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // The first error is the one to tell; the leftover may not even exist.
            drop(fs::remove_file(&temporary));
        }
        written
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have taken the place over; its file stays.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The commands of `--signal`, by nats-server's names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignalName {
    /// SIGKILL: end without drain.
    Stop,
    /// SIGINT: end.
    Quit,
    /// SIGTERM: drain and end.
    Term,
    /// SIGUSR1: open the log file anew.
    Reopen,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: lame-duck mode.
    Ldm,
}

impl FromStr for SignalName {
    type Err = PidError;

    fn from_str(text: &str) -> Result<Self, PidError> {
        match text {
            "stop" => Ok(Self::Stop),
            "quit" => Ok(Self::Quit),
            "term" => Ok(Self::Term),
            "reopen" => Ok(Self::Reopen),
            "reload" => Ok(Self::Reload),
            "ldm" => Ok(Self::Ldm),
            _ => Err(PidError::NotACommand(text.to_owned())),
        }
    }
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Stop => Self::SIGKILL,
            SignalName::Quit => Self::SIGINT,
            SignalName::Term => Self::SIGTERM,
            SignalName::Reopen => Self::SIGUSR1,
            SignalName::Reload => Self::SIGHUP,
            SignalName::Ldm => Self::SIGUSR2,
        }
    }
}

/// Sends `name` to the process that `target` names: a pid, or the path of a pid file.
///
/// # Errors
/// When there is no such file or process, or it is another user's.
pub fn send_signal(target: &str, name: SignalName) -> Result<(), PidError> {
    let pid = resolve(target)?;
    signal::kill(Pid::from_raw(pid), Signal::from(name)).map_err(|errno| PidError::Refused {
        pid,
        reason: match errno {
            Errno::ESRCH => "no such process",
            Errno::EPERM => "not permitted",
            other => other.desc(),
        },
    })
}

/// Carries out the value of a `--signal` flag, such as `ldm=4711` or `reload=/run/bus.pid`.
///
/// # Errors
/// As [`send_signal`]; and when the text is no command.
pub fn run_signal_command(text: &str) -> Result<(), PidError> {
    let (name, target) = text.split_once('=').ok_or_else(|| PidError::NotACommand(text.to_owned()))?;
    send_signal(target, name.parse().map_err(|_| PidError::NotACommand(text.to_owned()))?)
}

fn resolve(target: &str) -> Result<i32, PidError> {
    let not_a_pid = || PidError::NotAPid(target.to_owned());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if digits(target) {
        target.to_owned()
    } else {
        fs::read_to_string(target).map_err(|source| PidError::File { path: target.into(), source })?
    };
    // 0 and below mean groups of processes to the system, 1 is init: never meant here.
    text.trim().parse().ok().filter(|pid| *pid > 1).ok_or_else(not_a_pid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_file_lives_as_long_as_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus.pid");
        fs::write(&path, "1234567\n").unwrap();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_taken_over_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus.pid");
        let file = PidFile::create(&path).unwrap();
        fs::write(&path, "1234567\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1234567\n");
    }

    #[test]
    fn no_folder_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let told = PidFile::create(folder.path().join("absent/bus.pid")).unwrap_err().to_string();
        assert!(told.contains("absent/bus.pid: "), "{told}");
    }

    #[test]
    fn a_signal_reaches_a_process_by_pid_and_by_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, by_file, number) in
            // Not the hang-up: a test run in the background hands down that it is ignored.
            [("term", false, 15), ("ldm", true, 12), ("reopen", false, 10), ("stop", true, 9)]
        {
            let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
            let mut target = child.id().to_string();
            if by_file {
                let path = folder.path().join(name);
                fs::write(&path, format!("{target}\n")).unwrap();
                target = path.display().to_string();
            }
            run_signal_command(&format!("{name}={target}")).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (text, expected) in [
            ("ldm", "signal ldm: expected NAME=PID"),
            ("explode=5", "signal explode=5: expected NAME=PID"),
            ("ldm=0", "0: expected a process id above 1"),
            ("ldm=1", "1: expected a process id above 1"),
            ("ldm=-5", "pid file -5: "),
            ("ldm=99999999999", "99999999999: expected a process id above 1"),
            ("ldm=2147483646", "signal to process 2147483646: no such process"),
        ] {
            let told = run_signal_command(text).unwrap_err().to_string();
            assert!(told.starts_with(expected), "{text}: {told}");
        }
    }
}
