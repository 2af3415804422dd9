//! The signals a process is steered by, as one stream.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What the signal asks for; the meanings are those nats-server's users know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGTERM: drain, then end.
    Terminate,
    /// SIGINT: end, as Ctrl-C asks.
    Interrupt,
    /// SIGHUP: read configuration and certificates again.
    Reload,
    /// SIGUSR1: open the log file anew.
    ReopenLog,
    /// SIGUSR2: lame-duck mode: send clients elsewhere over time, then end.
    LameDuck,
}

/// Listens for all of [`Signal`] from its making on; the signals no longer have their default effect.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    /// Starts to listen; within a tokio runtime only.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal; the same one sent twice before it is asked for may count once. Cancel-safe.
    pub async fn recv(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::ReopenLog,
            _ = self.user2.recv() => Signal::LameDuck,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_told() {
        // Signals are the process's: this is the only test of the crate that raises any.
        let mut signals = Signals::new().unwrap();
        for (number, expected) in [
            (Number::SIGTERM, Signal::Terminate),
            (Number::SIGINT, Signal::Interrupt),
            (Number::SIGHUP, Signal::Reload),
            (Number::SIGUSR1, Signal::ReopenLog),
            (Number::SIGUSR2, Signal::LameDuck),
        ] {
            raise(number).unwrap();
            assert_eq!(signals.recv().await, expected);
        }
    }
}
