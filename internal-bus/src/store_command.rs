//! `internal-bus store check|repair DIR [--json]`: looks over a store that no process has open.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use daemon::exit::Failure;
use store::Severity;
use store::check::{Report, check, repair};

const USAGE: &str = "usage: internal-bus store check|repair DIR [--json]";

/// Does what the words after `store` say. Exit code 1 when damage was found and is not mended.
///
/// # Errors
/// Usage, a store that is in use or can't be read, and damage.
pub(crate) fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let json = words.contains(&"--json");
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "--json").collect();
    let [verb, dir] = words.as_slice() else { return Err(Failure::usage(USAGE)) };
    let report = match *verb {
        "check" => check(Path::new(dir)),
        "repair" => repair(Path::new(dir)),
        _ => return Err(Failure::usage(USAGE)),
    };
    let report = report.map_err(|error| Failure::runtime(error.to_string()))?;
    let text = if json { as_json(&report) } else { in_words(&report) };
    std::io::stdout().write_all(text.as_bytes())?;
    let damaged = report.problems.iter().any(|problem| problem.severity == Severity::Damage);
    if damaged && *verb == "check" {
        return Err(Failure::runtime("the store is damaged; `store repair` cuts out what can't be read"));
    }
    Ok(())
}

fn in_words(report: &Report) -> String {
    let records: u64 = report.files.iter().map(|file| file.records).sum();
    let mut text = format!("{} files, {records} intact records\n", report.files.len());
    for problem in &report.problems {
        let kind = if problem.severity == Severity::Damage { "damage" } else { "notice" };
        text.push_str(&format!("{kind}: {problem}\n"));
    }
    for mended in &report.mended {
        text.push_str(&format!("mended: {mended}\n"));
    }
    if report.problems.is_empty() {
        text.push_str("all is well\n");
    }
    text
}

fn as_json(report: &Report) -> String {
    let files = report.files.iter().map(|file| {
        serde_json::json!({
            "path": file.path, "records": file.records, "damaged_bytes": file.damaged_bytes,
        })
    });
    let problems = report.problems.iter().map(|problem| {
        serde_json::json!({
            "severity": if problem.severity == Severity::Damage { "damage" } else { "notice" },
            "path": problem.path, "offset": problem.offset, "what": problem.what,
        })
    });
    let all = serde_json::json!({
        "files": files.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "mended": report.mended,
    });
    format!("{all:#}\n")
}
