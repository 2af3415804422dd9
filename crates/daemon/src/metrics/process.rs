//! What the system knows of this process, read from `/proc` (see proc(5)) at each scrape, under the names Prometheus
//! libraries share. A value that can't be read is left out.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::registry::Registry;

use super::sampled::Sampled;
use super::{Sample, SampleKind};

/// Registers the four metrics of every process.
pub(super) fn register(registry: &mut Registry) {
    let mut add = |name, help, kind, value: fn() -> Option<f64>| {
        let sample =
            Box::new(move || value().map(|value| (Vec::new(), value)).into_iter().collect::<Vec<Sample>>());
        registry.register_collector(Box::new(Sampled { name, help, kind, labels: &[], sample }));
    };
    add("process_resident_memory_bytes", "Resident memory in bytes", SampleKind::Gauge, resident_bytes);
    add("process_cpu_seconds", "User and system CPU time in seconds", SampleKind::Counter, cpu_seconds);
    add("process_open_fds", "Open file descriptors", SampleKind::Gauge, open_descriptors);
    add("process_start_time_seconds", "Start, in seconds since 1970 UTC", SampleKind::Gauge, start_seconds);
}

/// Resident memory of this process, in bytes; `None` where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<f64> {
    Some(stat_field(24)? * parameter(SysconfVar::PAGE_SIZE)?)
}

/// Processor time used by this process, in seconds.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    Some((stat_field(14)? + stat_field(15)?) / parameter(SysconfVar::CLK_TCK)?)
}

fn open_descriptors() -> Option<f64> {
    // The listing itself holds one.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn start_seconds() -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(22)? / parameter(SysconfVar::CLK_TCK)?)
}

/// A field of `/proc/self/stat`, counted from 1 as its manual does; from 3 on.
fn stat_field(number: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn parameter(name: SysconfVar) -> Option<f64> {
    sysconf(name).ok().flatten().map(|value| value as f64)
}
