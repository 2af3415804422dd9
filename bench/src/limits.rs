//! The limit on open files: thousands of idle connections need more than the usual 1024.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Open files that suffice for every scenario, in this process and in a server (each inherits the limit).
const ENOUGH: u64 = 8_192;
/// Set on the second start, so that there is no third.
const RAISED: &str = "BENCH_OPEN_FILES_RAISED";

/// Makes sure that enough files may be open, by starting this program again from a shell with a higher
/// limit: it does not return then.
///
/// # Errors
/// When the system allows too few.
pub(crate) fn raise_open_files() -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let (soft, hard) = open_files(&limits).context("/proc/self/limits: no limit on open files")?;
    if soft >= ENOUGH {
        return Ok(());
    }
    if hard < ENOUGH || env::var_os(RAISED).is_some() {
        bail!("{soft} open files are allowed, {ENOUGH} are needed: raise `ulimit -Hn`");
    }
    let cause = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("ulimit -Sn {ENOUGH} && exec \"$0\" \"$@\""))
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(RAISED, "1")
        .exec();
    Err(cause).context("starting again with more open files")
}

/// Soft and hard limit.
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    });
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit  Soft  Hard  Units\nMax open files            1024   unlimited   files\n";
        assert_eq!(open_files(text), Some((1024, u64::MAX)));
        assert_eq!(open_files("nothing"), None);
    }
}
