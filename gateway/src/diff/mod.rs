//! `event-gateway diff`: whose effective rights change between two configurations.
//!
//! Rules are compared as they are written; people, as far as they are known: sample claims are judged by both
//! policies, and the identities of an audit log are found by the roles they had.

mod people;
mod written;

use std::path::PathBuf;

use clap::Args;
use daemon::exit::Failure;

use crate::config::{Depth, load};
use crate::output::say;

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// The configuration as it is.
    pub old: PathBuf,
    /// The configuration as it may become.
    pub new: PathBuf,
    /// Claims to judge by both: a JSON object, or a file with one a line.
    #[arg(long, value_name = "JSON|FILE")]
    pub claims: Vec<String>,
    /// Audit logs, or answers of /api/v1/sessions: who had a role that changes?
    #[arg(long, value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Exit code 1 when anything differs.
    #[arg(long)]
    pub exit_code: bool,
}

/// Prints what differs.
///
/// # Errors
/// A file can't be read; with `--exit-code`, something differs.
pub fn run(args: &Diff) -> Result<(), Failure> {
    let old = load(&args.old, Depth::Text)?.config;
    let new = load(&args.new, Depth::Text)?.config;
    let written = written::compare(&old, &new);
    let mut lines = written.lines;
    lines.extend(people::samples(&old.policy(), &new.policy(), &args.claims)?);
    lines.extend(people::known(&written.roles, &args.identities)?);
    let differs = !lines.is_empty();
    if !differs {
        lines.push("nothing changes".to_owned());
    }
    lines.iter().try_for_each(|line| say(line))?;
    if differs && args.exit_code { Err(Failure::runtime("the configurations differ")) } else { Ok(()) }
}
