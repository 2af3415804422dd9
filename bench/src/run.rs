//! Runs scenarios: for each repetition our side, then theirs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::RunOptions;
use crate::measure::machine::wait_until_quiet;
use crate::report::record::Quantity;
use crate::report::table::human;
use crate::report::{Outcome, Reading, Record};
use crate::scenario::{self, Scenario};
use crate::scenarios;
use crate::servers::{Fleet, Pki, Programs, Side};

/// Fewer busy cores than this is a quiet machine.
const QUIET_CORES: f64 = 0.2;

/// Runs what `options` asks for; progress goes to `log`. A run that fails is recorded as such.
///
/// # Errors
/// When a name or path is wrong, or nothing can be written.
pub(crate) fn run(options: &RunOptions, log: &mut impl Write) -> Result<Vec<Record>> {
    let scenarios = scenario::select(&options.scenarios)?;
    let programs = Programs::find(&options.ours, options.nats_server.as_deref())?;
    let pki = Pki::generate()?;
    let mut json = options.json.as_deref().map(open_for_appending).transpose()?;
    let mut records = Vec::new();
    for scenario in scenarios {
        for repetition in 0..usize::from(options.reps) {
            for side in Side::BOTH {
                wait_until_quiet(QUIET_CORES, Duration::from_secs_f64(options.quiet_wait))?;
                let duration = Duration::from_secs_f64(options.secs);
                let outcome = run_once(scenario, side, &programs, &pki, duration);
                let record = into_record(scenario, side, repetition, outcome);
                writeln!(log, "{}", summary(&record))?;
                if let Some(file) = &mut json {
                    writeln!(file, "{}", serde_json::to_string(&record)?)?;
                }
                records.push(record);
            }
        }
    }
    Ok(records)
}

fn open_for_appending(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).with_context(|| path.display().to_string())
}

/// Fresh servers for every run: none inherits the memory or the caches of another.
fn run_once(
    scenario: Scenario,
    side: Side,
    programs: &Programs,
    pki: &Pki,
    duration: Duration,
) -> Result<Outcome> {
    let mut fleet = Fleet::start(programs, side, scenario.layout(), pki)?;
    scenarios::run(scenario, &mut fleet, programs.single(side), duration)
}

fn into_record(scenario: Scenario, side: Side, repetition: usize, outcome: Result<Outcome>) -> Record {
    let (readings, usage, error) = match outcome {
        Ok(outcome) => (outcome.readings, Some(outcome.usage), None),
        Err(error) => (Vec::new(), None, Some(format!("{error:#}"))),
    };
    Record { scenario: scenario.to_string(), side, repetition, readings, usage, error }
}

/// One line about a run, with the noise around it.
fn summary(record: &Record) -> String {
    let head = format!("{:16} #{} {:6}", record.scenario, record.repetition + 1, record.side.to_string());
    let Some(usage) = &record.usage else {
        return format!("{head}  NOT VALID: {}", record.error.as_deref().unwrap_or_default());
    };
    let figure = |reading: &Reading| {
        let per_cpu = reading.per_cpu.map(|v| format!(" ({} per CPU-s)", human(v))).unwrap_or_default();
        format!("{} {}{per_cpu}", human(reading.value), Quantity::label(reading.quantity))
    };
    let figures: Vec<String> = record.readings.iter().map(figure).collect();
    format!(
        "{head}  {}; cores: server {:.2}, generator {:.2}, others {:.2}, stolen {:.2}{}; RSS {:.1} MiB",
        figures.join(", "),
        usage.server_cpu_seconds / usage.seconds,
        usage.generator_cores,
        usage.other_cores,
        usage.stolen_cores,
        if usage.noisy() { " NOISY" } else { "" },
        usage.resident_bytes as f64 / f64::from(1 << 20),
    )
}
