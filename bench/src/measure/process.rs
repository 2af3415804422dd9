//! CPU time and resident memory of a process, read from `/proc/PID`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

/// Length of one clock tick in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux architecture we run on.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How far the two clocks below may drift apart before the exact one is no longer believed.
const TOLERANCE: Duration = Duration::from_millis(30);

/// A reading of both CPU clocks of a process, user and system time together.
///
/// `/proc/PID/task/*/schedstat` counts nanoseconds, but forgets threads that have ended;
/// `/proc/PID/stat` remembers them, in ticks of 10 ms. [`CpuClock::since`] combines the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuClock {
    threads: Duration,
    ticks: Duration,
}

impl CpuClock {
    /// Reads both clocks of process `pid`.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn read(pid: u32) -> Result<Self> {
        Self::read_dir(Path::new(&format!("/proc/{pid}")))
    }

    /// Reads both clocks of this process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub(crate) fn read_own() -> Result<Self> {
        Self::read_dir(Path::new("/proc/self"))
    }

    fn read_dir(dir: &Path) -> Result<Self> {
        let stat = fs::read_to_string(dir.join("stat"))
            .with_context(|| format!("{}: the process is gone", dir.display()))?;
        let ticks = ticks_in_stat(&stat).ok_or_else(|| anyhow!("{}: unexpected stat line", dir.display()))?;
        let tasks = fs::read_dir(dir.join("task"))?;
        // A thread may end between the listing and the reading: it is then skipped.
        let nanos = tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        Ok(Self { threads: Duration::from_nanos(nanos), ticks: TICK.saturating_mul(ticks) })
    }

    /// CPU time spent between `earlier` and this reading.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let exact = self.threads.saturating_sub(earlier.threads);
        let coarse = self.ticks.saturating_sub(earlier.ticks);
        if exact + TOLERANCE < coarse { coarse } else { exact }
    }
}

/// `utime + stime` in ticks: the 12th and 13th field after the parenthesised command name.
fn ticks_in_stat(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user.saturating_add(system))
}

/// Resident memory of process `pid` in bytes (`VmRSS`; kernel socket buffers are not in it).
///
/// # Errors
/// When the process is gone.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    resident_in_status(&status).ok_or_else(|| anyhow!("process {pid} shows no VmRSS: it has ended"))
}

fn resident_in_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0 20 0 1";
        assert_eq!(ticks_in_stat(stat), Some(154));
    }

    #[test]
    fn resident_memory_is_given_in_bytes() {
        assert_eq!(resident_in_status("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2048 * 1024));
        assert_eq!(resident_in_status("Name:\tx\n"), None);
    }

    #[test]
    fn the_coarse_clock_wins_when_threads_have_ended() {
        let at = |threads, ticks| CpuClock {
            threads: Duration::from_millis(threads),
            ticks: Duration::from_millis(ticks),
        };
        assert_eq!(at(1_005, 1_000).since(at(1_000, 990)), Duration::from_millis(5));
        assert_eq!(at(1_005, 2_000).since(at(1_000, 1_000)), Duration::from_secs(1));
        assert_eq!(at(10, 2_000).since(at(1_000, 1_000)), Duration::from_secs(1));
    }

    #[test]
    fn the_own_clock_moves_on() {
        let before = CpuClock::read_own().unwrap();
        let mut x = 1_u64;
        while CpuClock::read_own().unwrap().since(before).is_zero() {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
    }
}
