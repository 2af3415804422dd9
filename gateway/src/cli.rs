//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use daemon::exit::Failure;
use tokio::runtime::{Builder, Runtime};

use crate::audit_cmd::{self, AuditCommand};
use crate::check_config::{self, CheckConfig};
use crate::client::{self, Publish, Request, Subscribe};
use crate::diff::{self, Diff};
use crate::explain::{self, Explain};
use crate::health::{self, HealthCheck};
use crate::token_cmd::{self, Token};
use crate::up::{self, Up};
use crate::{output, process};

const EXAMPLES: &str = "\
Examples:
  event-gateway up                                     try everything on this machine
  event-gateway --config config/gateway.toml           run the gateway
  event-gateway check-config config/gateway.toml       look before you leap
  event-gateway token --sub alice --claim tenant=acme  a token for development
  event-gateway health-check --config config/gateway.toml

Exit codes: 0 all went well, 1 it failed while running, 2 wrong configuration or command line.";

/// The outside door of an event bus: lets clients in by token, and their events through to the bus by named routes.
///
/// Clients speak the NATS protocol over TLS and show a bearer token. What they may do follows from its claims; what
/// may cross to the internal bus stands in the configuration.
#[derive(Debug, Parser)]
#[command(name = "event-gateway", version, max_term_width = 100, after_help = EXAMPLES, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Cli {
    /// Run the gateway with this configuration.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do besides running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a gateway and a bus on this machine, with certificates, and show how to use them.
    Up(Up),
    /// Mint a token for development; create, list and revoke opaque tokens.
    Token(Token),
    /// Look after an audit log.
    Audit(AuditCommand),
    /// Show whose rights change between two configurations.
    Diff(Diff),
    /// Show what somebody may do under a configuration, and why.
    Explain(Explain),
    /// Check a configuration and the files it names.
    CheckConfig(CheckConfig),
    /// Publish a message.
    Pub(Publish),
    /// Print messages as they come.
    Sub(Subscribe),
    /// Ask and print the answer.
    Request(Request),
    /// Prove that an event gets through a running gateway; exit code 0 or 1.
    HealthCheck(HealthCheck),
}

/// Does what the command line says.
///
/// # Errors
/// With the exit code that belongs to it.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let Some(command) = cli.command else {
        let config = cli.config.ok_or_else(|| Failure::usage("--config FILE is needed"))?;
        return process::run(&config);
    };
    match command {
        Command::Up(args) => runtime()?.block_on(up::run(&args)).map_err(Failure::runtime),
        Command::Token(args) => token_cmd::run(&args).map_err(|error| match error {
            token_cmd::TokenCommandError::Config(errors) => errors.into(),
            error => Failure::runtime(error),
        }),
        Command::Audit(args) => audit_cmd::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Pub(args) => runtime()?.block_on(client::publish(&args)).map_err(Failure::runtime),
        Command::Sub(args) => runtime()?.block_on(client::subscribe(&args)).map_err(Failure::runtime),
        Command::Request(args) => runtime()?.block_on(client::request(&args)).map_err(Failure::runtime),
        Command::HealthCheck(args) => {
            let line = runtime()?.block_on(health::run(&args)).map_err(Failure::runtime)?;
            Ok(output::say(&line)?)
        }
    }
}

/// A small runtime: commands do one thing at a time.
fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
