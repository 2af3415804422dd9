//! Skipping, counted; and how thorough a run is.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

/// Says that the running test cannot do its work on this machine. `tests/run` counts these and its last line names
/// the number, so that a skipped test is never taken for a passed one.
pub fn skip(reason: &str) {
    let suite = env::current_exe().ok().and_then(|exe| Some(exe.file_stem()?.to_string_lossy().into_owned()));
    // Cargo appends `-` and a hash to the name of a test binary.
    let suite = suite.as_deref().and_then(|stem| Some(stem.rsplit_once('-')?.0)).unwrap_or("?");
    let line = format!("{suite}::{}: {reason}", thread::current().name().unwrap_or("?"));
    eprintln!("skipped: {line}");
    if let Some(path) = env::var_os("GATEHOUSE_SKIPS")
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        // One write call: several test processes append to this file.
        drop(file.write_all(format!("{line}\n").as_bytes()));
    }
}

/// Whether `tests/run --long` asked for more seeds and longer runs.
pub fn long_run() -> bool {
    env::var_os("GATEHOUSE_LONG").is_some()
}
