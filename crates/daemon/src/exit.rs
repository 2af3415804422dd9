//! How a process ends: exit code 0 when all went well, 1 when running failed, 2 when it was called or configured wrong.

use std::error::Error;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::config::{ConfigError, ConfigErrors};
use crate::telemetry::TelemetryError;

/// Why `main` ends early, with the exit code that belongs to it.
#[derive(Debug)]
pub enum Failure {
    /// Wrong configuration or command line: exit code 2. One or more lines, each complete in itself.
    Usage(String),
    /// Running failed: exit code 1.
    Runtime(Box<dyn Error + Send + Sync>),
    /// Everything there is to say was said, as by `--help`.
    Silent(u8),
}

impl Failure {
    /// Wrong configuration or command line: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Running failed: exit code 1. Takes errors and texts.
    pub fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Runtime(error.into())
    }

    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Runtime(_) => 1,
            Self::Silent(code) => *code,
        }
    }

    /// What standard error gets: a line per error, an error's causes joined by colons.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(text) => text.lines().map(str::to_owned).collect(),
            Self::Runtime(error) => vec![chain(error.as_ref())],
            Self::Silent(_) => Vec::new(),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        match error {
            TelemetryError::File { .. } | TelemetryError::Filter(_) => Self::Usage(error.to_string()),
            TelemetryError::AlreadySet | TelemetryError::Ended => Self::runtime(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::runtime(error)
    }
}

/// Runs a program's `main`: prints what made it fail on standard error, one clear line per error, and gives the exit
/// code. A panic counts as a failure at run time.
pub fn run_main<E: Into<Failure>>(program: &str, main: impl FnOnce() -> Result<(), E>) -> ExitCode {
    let outcome = catch_unwind(AssertUnwindSafe(main)).map_or_else(
        |_| Err(Failure::runtime("ended by a panic; the log says where")),
        |outcome| outcome.map_err(Into::into),
    );
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let mut stderr = io::stderr().lock();
    for line in failure.lines() {
        // Without standard error there is nobody to tell.
        drop(writeln!(stderr, "{program}: {line}"));
    }
    ExitCode::from(failure.code())
}

/// Reads the command line of this process; `--help` and `--version` print to standard output and end with code 0,
/// mistakes print to standard error and end with code 2.
///
/// # Errors
/// When the process is to end, as said.
pub fn parse_args<T: Parser>() -> Result<T, Failure> {
    T::try_parse().map_err(|error| {
        // Without a terminal there is nobody to tell.
        drop(error.print());
        Failure::Silent(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// The error and its causes on one line; a cause that the text before it repeats is left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("link to the bus")]
    struct Outer(#[source] io::Error);

    #[test]
    fn codes_and_lines() {
        let config = Failure::from(ConfigError::file("g.toml", "cannot read"));
        assert_eq!((config.code(), config.lines()), (2, vec!["g.toml: cannot read".to_owned()]));
        let runtime = Failure::runtime(Outer(io::Error::other("connection\nrefused")));
        assert_eq!(
            (runtime.code(), runtime.lines()),
            (1, vec!["link to the bus: connection refused".to_owned()])
        );
        assert_eq!(Failure::runtime("port in use").lines(), ["port in use"]);
        assert_eq!((Failure::Silent(0).code(), Failure::Silent(0).lines().len()), (0, 0));
        assert_eq!(Failure::usage("a\nb").lines(), ["a", "b"]);
    }

    #[test]
    fn outcomes() {
        let success = run_main("test", || Ok::<(), Failure>(()));
        assert_eq!(format!("{success:?}"), format!("{:?}", ExitCode::SUCCESS));
        let usage = run_main("test", || Err(Failure::usage("test: an expected line on standard error")));
        assert_eq!(format!("{usage:?}"), format!("{:?}", ExitCode::from(2)));
        let runtime = run_main("test", || Err(io::Error::other("an expected line on standard error")));
        assert_eq!(format!("{runtime:?}"), format!("{:?}", ExitCode::from(1)));
    }
}
