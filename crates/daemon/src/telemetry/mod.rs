//! Logging: text, JSON or nats-server's line shape, to standard error or a file, never waiting for either.
//!
//! Lines go through a bounded queue to a writer thread. When the reader of the log is slower than its writers, lines
//! are dropped and counted ([`LogControl::dropped_lines`]) rather than holding up traffic.

mod file;
mod filter;
mod nats_format;
mod panics;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use self::file::LogFile;
use self::nats_format::{FATAL_TARGET, NatsFormat};

pub use self::filter::{FilterError, LogFilter};
pub use self::panics::{install_panic_hook, panic_count};

/// Lines that wait for the writer thread before more are dropped: a burst of a few megabytes.
const QUEUED_LINES: usize = 16 << 10;

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Time, level, spans, target, message and fields, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// nats-server's shape, for scripts that wait for its lines.
    Nats,
}

/// The `[log]` section.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct LogConfig {
    /// The shape of the lines.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogFilter,
    /// Where to; standard error when absent. Appended to, reopened by [`LogControl::reopen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// Why logging could not start or change.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log file can't be opened.
    #[error("log file {}: {source}", path.display())]
    File {
        /// The file as configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The filter is none.
    #[error("log level: {0}")]
    Filter(#[from] FilterError),
    /// Logging was already started in this process.
    #[error("logging is already set up in this process")]
    AlreadySet,
    /// Logging has ended.
    #[error("logging has ended")]
    Ended,
}

/// Keeps logging alive: dropping it writes what is queued and ends the writer thread. Hold it until `main` returns.
#[derive(Debug)]
pub struct LogGuard {
    control: LogControl,
    _worker: WorkerGuard,
}

impl LogGuard {
    /// A handle to change logging while it runs.
    #[must_use]
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }
}

/// Changes logging while it runs; clones share it.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    file: Option<(PathBuf, LogFile)>,
    dropped: ErrorCounter,
}

impl LogControl {
    /// Opens the log file anew, for SIGUSR1 after a log rotator moved it; nothing to do on standard error.
    ///
    /// # Errors
    /// When the file can't be opened; the old one stays in use.
    pub fn reopen(&self) -> Result<(), TelemetryError> {
        let Some((path, file)) = &self.file else { return Ok(()) };
        file.reopen().map_err(|source| TelemetryError::File { path: path.clone(), source })
    }

    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// When logging has ended.
    pub fn set_level(&self, filter: &LogFilter) -> Result<(), TelemetryError> {
        self.filter.reload(filter.env_filter()?).map_err(|_| TelemetryError::Ended)
    }

    /// Lines dropped so far because the queue to the writer was full.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }
}

/// Starts logging for the whole process; once per process.
///
/// # Errors
/// When the file can't be opened or logging was started before.
pub fn init_logging(config: &LogConfig) -> Result<LogGuard, TelemetryError> {
    let (subscriber, guard) = build(config)?;
    subscriber.try_init().map_err(|_| TelemetryError::AlreadySet)?;
    Ok(guard)
}

/// Logs an error that ends the process; the last line of a log that scripts look at.
pub fn log_fatal(message: &str) {
    tracing::error!(target: FATAL_TARGET, "{message}");
}

fn build(
    config: &LogConfig,
) -> Result<(impl tracing::Subscriber + Send + Sync + 'static, LogGuard), TelemetryError> {
    let (filter, handle) = reload::Layer::new(config.level.env_filter()?);
    let file = match &config.file {
        Some(path) => {
            let opened = LogFile::open(path.clone())
                .map_err(|source| TelemetryError::File { path: path.clone(), source })?;
            Some((path.clone(), opened))
        }
        None => None,
    };
    let queue =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES).thread_name("log");
    let (writer, worker) = match &file {
        Some((_, file)) => queue.finish(file.clone()),
        None => queue.finish(io::stderr()),
    };
    let dropped = writer.error_counter();
    let subscriber = tracing_subscriber::registry().with(filter).with(format_layer(config.format, writer));
    let control = LogControl { filter: handle, file, dropped };
    Ok((subscriber, LogGuard { control, _worker: worker }))
}

fn format_layer<S>(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Nats => layer.event_format(NatsFormat::new()).boxed(),
    }
}
