//! `--signal`: telling a running server something.

/// What to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlSignal {
    /// Stop accepting, then close connections over time (SIGUSR2).
    LameDuck,
    /// Stop in order (SIGTERM).
    Term,
    /// Stop in order (SIGINT).
    Quit,
    /// Stop at once (SIGKILL).
    Stop,
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Open the log file anew (SIGUSR1).
    Reopen,
}

/// A signal and its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRequest {
    /// What to tell it.
    pub signal: ControlSignal,
    /// A process id, or the path of a pid file; `None` means the only other process of this program.
    pub receiver: Option<String>,
}

impl SignalRequest {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, receiver) = match text.split_once('=') {
            Some((name, receiver)) => (name, Some(receiver.to_owned()).filter(|text| !text.is_empty())),
            None => (text, None),
        };
        let signal = match name {
            "ldm" => ControlSignal::LameDuck,
            "term" => ControlSignal::Term,
            "quit" => ControlSignal::Quit,
            "stop" => ControlSignal::Stop,
            "reload" => ControlSignal::Reload,
            "reopen" => ControlSignal::Reopen,
            _ => return Err(format!("expected ldm, stop, quit, term, reopen or reload, found `{name}`")),
        };
        Ok(Self { signal, receiver })
    }

    /// The receiver's process id: from the pid file if `receiver` names a readable one, else `receiver` itself.
    /// `None` if no receiver was given.
    ///
    /// # Errors
    /// A line for the user, if neither is a process id.
    pub fn process_id(&self) -> Result<Option<i32>, String> {
        let Some(receiver) = &self.receiver else { return Ok(None) };
        let from_file = std::fs::read_to_string(receiver);
        let text = from_file.as_deref().unwrap_or(receiver).trim();
        match text.parse::<i32>() {
            // 0 and negative numbers mean whole groups of processes to the system.
            Ok(id) if id > 0 => Ok(Some(id)),
            _ if from_file.is_ok() => Err(format!("{receiver} holds no process id")),
            _ => Err(format!("`{receiver}` is neither a process id nor a readable pid file")),
        }
    }
}
