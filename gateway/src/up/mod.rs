//! `event-gateway up`: the main job on this machine, with one command.
//!
//! Makes what is missing (certificates, a development issuer, both configurations), starts an internal bus and a
//! gateway as processes of their own, and does not say that it works before an event has gone the whole way.

mod banner;
mod children;
mod demo;
mod layout;
mod ports;

use std::io;
use std::path::PathBuf;

use clap::Args;
use daemon::pid::PidError;
use daemon::signals::{Signal, Signals};
use identity::token::mint::MintError;

use self::children::{Child, Ended, Guardian};
use self::demo::Demo;
use self::layout::Layout;
#[cfg(test)]
pub(crate) use self::layout::gateway_toml;
use self::ports::{Ports, Wanted};
use crate::output::note;

/// Where everything is kept unless told otherwise.
pub const DEFAULT_DIR: &str = "gatehouse-dev";

/// Arguments of `up`.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Directory for configurations, certificates, keys and logs; made if missing, used as it is otherwise.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// Ports to use.
    #[command(flatten)]
    pub ports: Wanted,
}

/// Why `up` ended.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// A file or folder can't be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificates.
    #[error("certificates: {0}")]
    Certificates(#[from] certs_dev::Error),
    /// No tokens.
    #[error("token: {0}")]
    Token(#[from] MintError),
    /// A configuration that is there can't be used.
    #[error("{0}")]
    Config(String),
    /// The bus is not there to be started.
    #[error("{} is missing: build it with `cargo build --release`, or put it next to this program", .0.display())]
    NoBus(PathBuf),
    /// A port that was asked for is taken.
    #[error("port {0} is taken: choose another one, or leave it out to get a free one")]
    PortTaken(u16),
    /// A process can't be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A process ended by itself.
    #[error("{0}")]
    Ended(Ended),
    /// A process can't be told to end.
    #[error("cannot stop {name}: {source}")]
    Stop {
        /// Which.
        name: &'static str,
        /// What the system said.
        source: PidError,
    },
    /// Nothing got through in time.
    #[error("no event got through within {seconds} s: {last}; the logs are in {}", logs.display())]
    NothingThrough {
        /// How long was tried.
        seconds: u64,
        /// What the last attempt came to.
        last: String,
        /// Where the logs are.
        logs: PathBuf,
    },
    /// Standard output or signals failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl UpError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Sets everything up, and stays until Ctrl-C, SIGTERM, or the end of one of the processes.
///
/// # Errors
/// [`UpError`].
pub async fn run(args: &Up) -> Result<(), UpError> {
    identity::tls::install_default_provider();
    identity::install_crypto();
    // From here on a signal is an order to clean up.
    let mut signals = Signals::new()?;
    let layout = Layout::prepare(&args.dir)?;
    let ports = Ports::choose(&args.ports, &layout)?;
    layout.remarks().iter().chain(ports.remarks()).try_for_each(|remark| note(remark))?;
    let mut bus = Child::start("internal-bus", &layout, &ports.of_bus())?;
    let mut gateway = match Child::start("event-gateway", &layout, &ports.of_gateway()) {
        Ok(gateway) => gateway,
        Err(error) => {
            bus.stop().await?;
            return Err(error);
        }
    };
    let guardian = Guardian::over(&[&gateway, &bus])?;
    note("waiting for an event to get through ...")?;
    let outcome = tokio::select! {
        outcome = serve(&layout, &ports) => outcome,
        () = told_to_end(&mut signals) => Ok(()),
        ended = bus.ended() => Err(UpError::Ended(ended)),
        ended = gateway.ended() => Err(UpError::Ended(ended)),
    };
    match &outcome {
        Ok(()) => note("\nstopping ...")?,
        Err(UpError::Ended(ended)) => ended.last_lines.iter().try_for_each(|line| note(line))?,
        Err(_) => {}
    }
    drop(guardian);
    // The door first: what has come in still gets through.
    let stopped = gateway.stop().await;
    bus.stop().await?;
    stopped?;
    outcome
}

/// Proves that it works, says how to use it, and serves the demonstration's requests for ever.
async fn serve(layout: &Layout, ports: &Ports) -> Result<(), UpError> {
    let mut demo = Demo::start(layout, ports).await?;
    let took = demo.prove().await?;
    banner::print(layout, ports, demo.token(), took)?;
    demo.answer().await;
    Ok(())
}

async fn told_to_end(signals: &mut Signals) {
    while !matches!(signals.recv().await, Signal::Terminate | Signal::Interrupt) {}
}
