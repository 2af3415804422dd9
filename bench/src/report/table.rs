//! Medians of all valid runs, side by side, as Markdown.

use super::goals::{self, Goal, Rule};
use super::{Quantity, Record};
use crate::measure::median;
use crate::servers::Side;

/// Quiet runs per side that are enough to leave the noisy ones out.
const ENOUGH_QUIET: usize = 2;

const HEAD: &str = "\
| scenario | measure | ours | theirs | ours per CPU-s | theirs per CPU-s | ratio | must | aim | verdict | runs |
|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|
";

const FOOT: &str = "
Medians. The ratio is ours / theirs: of the figures per server-CPU-second where there are any, else of the
plain ones. Verdict: ✔✔ aim reached, ✔ must reached, ✘ not reached. Runs: valid ones on our side + theirs,
of which noisy (left out where each side has two quiet ones).
";

/// Renders `records`, which may come from several files.
pub(crate) fn render(records: &[Record]) -> String {
    let mut text = HEAD.to_owned();
    for (scenario, quantity) in rows(records) {
        text += &row(records, scenario, quantity);
    }
    text += FOOT;
    for record in records {
        if let Some(error) = &record.error {
            let line = error.lines().collect::<Vec<_>>().join(" / ");
            text += &format!(
                "\n- {} on {} side, repetition {}: not valid: {line}",
                record.scenario,
                record.side,
                record.repetition + 1
            );
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// Scenario and quantity of each row, in order of first appearance.
fn rows(records: &[Record]) -> Vec<(&str, Quantity)> {
    let mut scenarios: Vec<&str> = Vec::new();
    for record in records {
        if !scenarios.contains(&record.scenario.as_str()) {
            scenarios.push(&record.scenario);
        }
    }
    let mut rows = Vec::new();
    for scenario in scenarios {
        for record in records.iter().filter(|record| record.scenario == scenario) {
            for reading in &record.readings {
                let row = (scenario, reading.quantity);
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
    }
    rows
}

/// Medians of one side.
#[derive(Debug, Default)]
struct Column {
    value: Option<f64>,
    per_cpu: Option<f64>,
}

fn row(records: &[Record], scenario: &str, quantity: Quantity) -> String {
    let runs = |side| -> Vec<&Record> {
        let of_row = records.iter().filter(|record| record.scenario == scenario && record.side == side);
        of_row.filter(|record| record.error.is_none()).collect()
    };
    let (ours, theirs) = (runs(Side::Ours), runs(Side::Theirs));
    let quiet = |runs: &[&Record]| runs.iter().filter(|record| !record.noisy()).count();
    let noisy = ours.len() - quiet(&ours) + theirs.len() - quiet(&theirs);
    let quiet_only = quiet(&ours).min(quiet(&theirs)) >= ENOUGH_QUIET;
    let (a, b) = (column(&ours, quantity, quiet_only), column(&theirs, quantity, quiet_only));
    let ratio = ratio(a.per_cpu, b.per_cpu).or_else(|| ratio(a.value, b.value));
    let goal = goals::find(scenario, quantity);

    let mut line = format!("| {scenario} | {} ", quantity.label());
    for cell in [a.value, b.value, a.per_cpu, b.per_cpu].map(|value| value.map(human)) {
        push_cell(&mut line, cell);
    }
    push_cell(&mut line, ratio.map(|ratio| format!("{ratio:.2}")));
    push_cell(&mut line, goal.map(|goal| bound(goal.rule, goal.must)));
    push_cell(&mut line, goal.map(|goal| bound(goal.rule, goal.aim)));
    push_cell(&mut line, goal.zip(a.value).map(|(goal, ours)| verdict(goal, ours, ratio).to_owned()));
    let noise = if noisy == 0 { String::new() } else { format!(", {noisy} noisy") };
    push_cell(&mut line, Some(format!("{}+{}{noise}", ours.len(), theirs.len())));
    line + "|\n"
}

fn push_cell(line: &mut String, cell: Option<String>) {
    line.push_str(&format!("| {} ", cell.unwrap_or_default()));
}

fn column(runs: &[&Record], quantity: Quantity, quiet_only: bool) -> Column {
    let used = runs.iter().filter(|record| !quiet_only || !record.noisy());
    let readings = used.flat_map(|record| &record.readings).filter(|reading| reading.quantity == quantity);
    let (mut values, mut per_cpu) = (Vec::new(), Vec::new());
    for reading in readings {
        values.push(reading.value);
        per_cpu.extend(reading.per_cpu);
    }
    Column { value: median(&mut values), per_cpu: median(&mut per_cpu) }
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    ours.zip(theirs).filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs)
}

fn bound(rule: Rule, bound: f64) -> String {
    match rule {
        Rule::Times => format!("{bound}×"),
        Rule::Fraction => format!("≤ {bound}×"),
        Rule::AtLeast => format!("≥ {}", human(bound)),
        Rule::Limit => format!("≤ {bound}"),
    }
}

fn verdict(goal: &Goal, ours: f64, ratio: Option<f64>) -> &'static str {
    if goal.reached(goal.aim, ours, ratio) {
        "✔✔"
    } else if goal.reached(goal.must, ours, ratio) {
        "✔"
    } else {
        "✘"
    }
}

/// Three digits or so.
pub(crate) fn human(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.1}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Usage;
    use crate::report::Reading;

    fn record(side: Side, scenario: &str, per_cpu: f64, other_cores: f64) -> Record {
        let reading = Reading { quantity: Quantity::Messages, value: per_cpu * 2.0, per_cpu: Some(per_cpu) };
        let usage = Usage {
            seconds: 1.0,
            server_cpu_seconds: 1.0,
            generator_cores: 0.1,
            other_cores,
            stolen_cores: 0.0,
            resident_bytes: 1,
        };
        Record {
            scenario: scenario.to_owned(),
            side,
            repetition: 0,
            readings: vec![reading],
            usage: Some(usage),
            error: None,
        }
    }

    #[test]
    fn the_ratio_is_of_medians_per_cpu_second() {
        let ours = [6e6, 7e6, 90e6].map(|v| record(Side::Ours, "pub:128", v, 0.0));
        let theirs = [2e6, 1e6, 3e6].map(|v| record(Side::Theirs, "pub:128", v, 0.0));
        let text = render(&[ours, theirs].concat());
        let expected =
            "| pub:128 | messages/s | 14.00M | 4.00M | 7.00M | 2.00M | 3.50 | 3× | 5× | ✔ | 3+3 |\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn noisy_runs_are_left_out_when_enough_quiet_ones_are_there() {
        let runs = |side, quiet: f64| {
            [(quiet, 0.0), (quiet, 0.0), (quiet * 9.0, 1.0)]
                .map(|(v, other)| record(side, "pub:16", v, other))
        };
        let text = render(&[runs(Side::Ours, 500.0), runs(Side::Theirs, 100.0)].concat());
        assert!(text.contains("| 5.00 | 3× | 5× | ✔✔ | 3+3, 2 noisy |"), "{text}");
    }

    #[test]
    fn failed_runs_are_listed_and_don_t_count() {
        let mut failed = record(Side::Ours, "pub:16", 1.0, 0.0);
        failed.readings.clear();
        failed.error = Some("messages\nlost".to_owned());
        let text = render(&[failed, record(Side::Theirs, "pub:16", 100.0, 0.0)]);
        assert!(text.contains("|  | 200 |  | 100 |  | 3× | 5× |  | 0+1 |"), "{text}");
        assert!(text.contains("- pub:16 on ours side, repetition 1: not valid: messages / lost"), "{text}");
    }
}
