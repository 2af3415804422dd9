//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Side-by-side load tests: our server and nats-server, in turn, on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios on both sides in turn and print a table
    Run(RunOptions),
    /// Show the scenarios
    List,
    /// Answer a nats-server's auth callout; started by the scenarios that need it
    #[command(hide = true)]
    CalloutResponder(crate::responder::ResponderOptions),
    /// Print the table of runs recorded with --json
    Table {
        /// Files of JSON lines
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// Names from `bench list`, or `all`, or `quick`
    #[arg(default_value = "quick")]
    pub(crate) scenarios: Vec<String>,
    /// Runs on each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) reps: u16,
    /// Length of a measured phase, seconds
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) secs: f64,
    /// Directory with our two binaries; or one nats-server, to check the bench against itself
    #[arg(long, default_value = "target/release")]
    pub(crate) ours: PathBuf,
    /// The other side [default: in target/peers/bin, else on the PATH]
    #[arg(long)]
    pub(crate) nats_server: Option<PathBuf>,
    /// Append every run to this file
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Wait at most so many seconds before each run for the machine to become quiet
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) quiet_wait: f64,
}

/// A time that [`std::time::Duration`] can hold.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=3_600.0).contains(&value) => Ok(value),
        _ => Err("a number of seconds from 0 to 3600 is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_bounded() {
        assert!(seconds("1.5").is_ok());
        for text in ["-1", "nan", "x", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
