//! How busy the whole machine is, from `/proc/stat`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::process::TICK;

/// CPU time used on all cores together since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MachineClock {
    /// User, nice, system, irq and softirq time.
    pub(crate) busy: Duration,
    /// Time the hypervisor gave to someone else while we wanted to run.
    pub(crate) stolen: Duration,
}

impl MachineClock {
    /// Reads the counters.
    ///
    /// # Errors
    /// When `/proc/stat` is missing or has an unknown shape.
    pub(crate) fn read() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        Self::parse(&stat).ok_or_else(|| anyhow!("/proc/stat: unexpected first line"))
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else { return None };
        let busy = [user, nice, system, irq, softirq].map(|n| TICK.saturating_mul(n)).iter().sum();
        Some(Self { busy, stolen: TICK.saturating_mul(steal) })
    }

    /// Cores used (busy and stolen together) per second between `earlier` and now.
    fn cores_since(self, earlier: Self, elapsed: Duration) -> f64 {
        let used = self.busy.saturating_sub(earlier.busy) + self.stolen.saturating_sub(earlier.stolen);
        used.as_secs_f64() / elapsed.as_secs_f64()
    }
}

/// Waits until fewer than `limit` cores are in use, at most `patience`; says how many are.
///
/// # Errors
/// When `/proc/stat` can't be read.
pub(crate) fn wait_until_quiet(limit: f64, patience: Duration) -> Result<f64> {
    const SAMPLE: Duration = Duration::from_millis(200);
    let begun = Instant::now();
    loop {
        let (before, at) = (MachineClock::read()?, Instant::now());
        thread::sleep(SAMPLE);
        let cores = MachineClock::read()?.cores_since(before, at.elapsed());
        if cores < limit || begun.elapsed() >= patience {
            return Ok(cores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_split_into_busy_and_stolen() {
        let clock = MachineClock::parse("cpu  100 10 50 9999 7 1 2 30 0 0\ncpu0 1 1\n").unwrap();
        assert_eq!(clock.busy, Duration::from_millis(1_630));
        assert_eq!(clock.stolen, Duration::from_millis(300));
        assert_eq!(MachineClock::parse("cpu  1 2 3\n"), None);
    }

    #[test]
    fn used_cores_are_per_second() {
        let at = |busy| MachineClock { busy: Duration::from_secs(busy), stolen: Duration::from_secs(1) };
        assert!((at(7).cores_since(at(4), Duration::from_secs(2)) - 1.5).abs() < 1e-9);
    }
}
