//! `event-gateway audit verify`: whether an audit log is whole.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use daemon::audit::{Hash, Head, verify};
use daemon::exit::Failure;

use crate::output::say;

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditCommand {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done with an audit log.
#[derive(Debug, Clone, Subcommand)]
pub enum What {
    /// Find any line that was removed, altered, repeated or put in another order; exit code 0 or 1.
    Verify(Verify),
}

/// Arguments of `audit verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// The log. A single file brings along those that were put aside from it; several are put in order.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// A head known from elsewhere, as NUMBER:HASH (the ordinary log tells it): the log must hold that line and reach
    /// it. Without it the head beside the file is compared with.
    #[arg(long, value_name = "NUMBER:HASH")]
    pub head: Option<String>,
    /// Accept that the log does not begin with number 1: older files were deleted or are kept elsewhere.
    #[arg(long)]
    pub partial: bool,
}

/// Prints what was found.
///
/// # Errors
/// The log is not whole (1), or can't be read.
pub fn run(args: &AuditCommand) -> Result<(), Failure> {
    let What::Verify(args) = &args.what;
    let known = args.head.as_deref().map(|text| {
        let head = text
            .split_once(':')
            .and_then(|(seq, hash)| Some(Head { seq: seq.parse().ok()?, hash: Hash::parse(hash)? }));
        head.ok_or_else(|| Failure::usage("--head: expected NUMBER:HASH"))
    });
    let found = verify(&args.files, known.transpose()?).map_err(Failure::runtime)?;
    if found.first != 1 && !args.partial {
        return Err(Failure::runtime(format!(
            "the first line has number {}: those before it are not here (--partial accepts that)",
            found.first
        )));
    }
    let end = if found.head_compared { "" } else { "; there was no head to compare the end with" };
    say(&format!("{} lines, numbers {} to {}: whole{end}", found.lines, found.first, found.head.seq))?;
    Ok(say(&format!("head {}:{}", found.head.seq, found.head.hash))?)
}
