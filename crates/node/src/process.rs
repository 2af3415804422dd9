//! The life of a process once everything is set up: signals, reload, drain.

use std::time::Duration;

use broker::{Drain, Server};
use daemon::signals::{Signal, Signals};
use daemon::telemetry::LogControl;
use tokio::sync::watch;

use crate::tls::Reloads;

/// How a process ends.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// On SIGTERM and SIGINT.
    pub drain: Drain,
    /// On SIGUSR2 (lame duck): gentler.
    pub lame_duck: Drain,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            drain: Drain::default(),
            lame_duck: Drain {
                grace: Duration::from_secs(10),
                spread: Duration::from_secs(110),
                deadline: Duration::from_secs(10),
            },
        }
    }
}

/// What a process does at certain moments of its life.
#[derive(Debug)]
pub struct Events<R, D> {
    /// What SIGHUP asks for.
    pub reload: R,
    /// It is about to drain: clients are still there, and can be told.
    pub drain: D,
}

/// Serves until a signal ends it, then drains. Returns how many connections had to be cut.
///
/// # Errors
/// The signals can't be listened to.
pub async fn serve(
    server: &Server,
    reloads: &Reloads,
    log: &LogControl,
    ending: Ending,
    events: Events<impl Fn() + Send, impl FnOnce() + Send>,
) -> std::io::Result<usize> {
    let stop = watch::Sender::new(false);
    reloads.spawn(&stop.subscribe());
    let mut signals = Signals::new()?;
    let how = loop {
        match signals.recv().await {
            Signal::Terminate | Signal::Interrupt => break ending.drain,
            Signal::LameDuck => {
                tracing::info!("entering lame duck mode, stop accepting new clients");
                break ending.lame_duck;
            }
            Signal::Reload => {
                tracing::info!("reload requested");
                (events.reload)();
            }
            Signal::ReopenLog => match log.reopen() {
                Ok(()) => tracing::info!("log file opened anew"),
                Err(error) => tracing::error!(%error, "the log file can't be opened anew"),
            },
        }
    };
    tracing::info!("draining");
    (events.drain)();
    // A second signal does not wait for the drain.
    let cut = tokio::select! {
        cut = server.drain(how) => cut,
        () = insisted(&mut signals) => server.totals().clients,
    };
    stop.send_replace(true);
    tracing::info!(cut, "Server Exiting..");
    Ok(cut)
}

async fn insisted(signals: &mut Signals) {
    loop {
        if matches!(signals.recv().await, Signal::Terminate | Signal::Interrupt) {
            return;
        }
    }
}
