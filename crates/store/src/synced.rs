//! How long it took to make things durable, counted for operators.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of the classes, in microseconds; what takes longer is in one of its own.
const BOUNDS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// Counts as they are.
#[derive(Debug, Default)]
pub(crate) struct SyncClock {
    classes: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// How often the disk was asked to make something durable, by how long that took. One time covers all that was waiting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncTimes {
    /// Upper bound of each class, and how many are in it; the last class has no bound.
    pub classes: Vec<(Option<Duration>, u64)>,
    /// All of them together.
    pub total: Duration,
}

impl SyncTimes {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum()
    }
}

impl SyncClock {
    /// Does `sync` and takes its time, also of one that fails.
    pub(crate) fn time(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let begun = Instant::now();
        let outcome = sync();
        self.note(begun.elapsed());
        outcome
    }

    fn note(&self, took: Duration) {
        let class = BOUNDS.partition_point(|bound| Duration::from_micros(*bound) < took);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> SyncTimes {
        let bounds = BOUNDS.iter().map(|bound| Some(Duration::from_micros(*bound))).chain([None]);
        let counts = self.classes.iter().map(|count| count.load(Ordering::Relaxed));
        SyncTimes {
            classes: bounds.zip(counts).collect(),
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_its_class() {
        let clock = SyncClock::default();
        for micros in [0, 50, 51, 1_000, 5_000_000, 5_000_001] {
            clock.note(Duration::from_micros(micros));
        }
        clock.time(|| Err(io::ErrorKind::Other.into())).unwrap_err();
        let times = clock.read();
        let of = |micros: Option<u64>| {
            let bound = micros.map(Duration::from_micros);
            times.classes.iter().find(|(known, _)| *known == bound).unwrap().1
        };
        assert!(of(Some(50)) >= 2 && of(Some(100)) >= 1 && of(Some(1_000)) >= 1);
        assert_eq!((of(Some(5_000_000)), of(None), times.count()), (1, 1, 7));
        assert!(times.total >= Duration::from_micros(10_001_102));
    }
}
