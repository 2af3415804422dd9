//! Side-by-side load tests of our server and nats-server; `bench/README.md` tells how to read them.

mod cli;
mod client;
mod limits;
mod link_kind;
mod load;
mod measure;
mod report;
mod responder;
mod run;
mod scenario;
mod scenarios;
mod servers;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::report::{record, table};
use crate::scenario::{ALL, Scenario};

fn main() -> ExitCode {
    match execute(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: &Cli) -> Result<()> {
    let mut out = io::stdout();
    match &cli.command {
        Command::Run(options) => {
            limits::raise_open_files()?;
            let records = run::run(options, &mut io::stderr())?;
            write!(out, "{}", table::render(&records))?;
        }
        Command::CalloutResponder(options) => responder::run(options)?,
        Command::List => {
            for name in ALL {
                writeln!(out, "{name:16} {}", name.parse::<Scenario>()?.describe())?;
            }
        }
        Command::Table { files } => {
            let mut records = Vec::new();
            for file in files {
                records.extend(record::read(file)?);
            }
            write!(out, "{}", table::render(&records))?;
        }
    }
    Ok(())
}
