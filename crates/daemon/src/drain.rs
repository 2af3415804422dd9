//! Drain: ending a process without ending its work half-way.
//!
//! Whoever has work that must be finished holds a [`Watcher`]; holding it *is* the work in progress. [`Drain::start`]
//! tells all of them, waits until the last is dropped, and after a deadline tells them that time is up.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long watchers that were told the deadline has passed get to drop what they hold.
const FORCED_GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Running,
    Draining,
    Forced,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DrainOutcome {
    /// All work was finished in time.
    Graceful,
    /// The deadline passed first; so many watchers were held at that moment.
    Forced(usize),
}

impl DrainOutcome {
    /// True when the deadline passed before all work was finished.
    #[must_use]
    pub fn is_forced(self) -> bool {
        matches!(self, Self::Forced(_))
    }
}

/// Starts the drain; one per process (or per part of it that is drained on its own).
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    work: mpsc::Sender<()>,
    finished: mpsc::Receiver<()>,
}

impl Drain {
    /// A drain nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        let (work, finished) = mpsc::channel(1);
        Self { phase: watch::Sender::new(Phase::Running), work, finished }
    }

    /// A watcher: a piece of work the drain waits for.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher { phase: self.phase.subscribe(), _work: self.work.clone() }
    }

    /// Tells all watchers to finish, waits until none is left or `deadline` has passed, then tells those that are
    /// left to stop at once and gives them a second to do so.
    pub async fn start(self, deadline: Duration) -> DrainOutcome {
        let Self { phase, work, mut finished } = self;
        drop(work);
        phase.send_replace(Phase::Draining);
        // Nothing is ever sent: `recv` returns when the last watcher is dropped.
        if timeout(deadline, finished.recv()).await.is_ok() {
            return DrainOutcome::Graceful;
        }
        let left = finished.sender_strong_count();
        phase.send_replace(Phase::Forced);
        drop(timeout(FORCED_GRACE, finished.recv()).await);
        DrainOutcome::Forced(left)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// Work in progress that a drain waits for, and the way to hear of it. Clones are more work.
///
/// When the [`Drain`] is dropped without being started, waiting ends too: nobody would wait for the work any more.
#[derive(Clone, Debug)]
pub struct Watcher {
    phase: watch::Receiver<Phase>,
    _work: mpsc::Sender<()>,
}

impl Watcher {
    /// Waits until the drain starts: take nothing new, finish what there is, then drop the watcher.
    pub async fn signaled(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the deadline of the drain has passed: stop at once.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    /// True once the drain has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining || self.phase.has_changed().is_err()
    }

    async fn reached(&self, wanted: Phase) {
        let mut phase = self.phase.clone();
        // An error means that the drain is gone, which ends waiting as well.
        drop(phase.wait_for(|phase| *phase >= wanted).await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::{Instant, sleep};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn without_work_it_is_over_at_once() {
        let begun = Instant::now();
        assert_eq!(Drain::new().start(DEADLINE).await, DrainOutcome::Graceful);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_work_and_its_clones() {
        let drain = Drain::new();
        let listener = drain.watcher();
        let connection = listener.clone();
        let done = Arc::new(AtomicBool::new(false));
        assert!(!connection.is_draining());
        tokio::spawn(async move {
            listener.signaled().await;
            drop(listener);
        });
        tokio::spawn({
            let done = Arc::clone(&done);
            async move {
                connection.signaled().await;
                assert!(connection.is_draining());
                sleep(Duration::from_secs(7)).await;
                done.store(true, Ordering::Relaxed);
            }
        });
        let begun = Instant::now();
        let outcome = drain.start(DEADLINE).await;
        assert_eq!(outcome, DrainOutcome::Graceful);
        assert!(!outcome.is_forced());
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_deadline_it_is_forced() {
        let drain = Drain::new();
        let obedient = drain.watcher();
        let stubborn = drain.watcher();
        let told = tokio::spawn(async move { obedient.forced().await });
        let begun = Instant::now();
        let outcome = drain.start(DEADLINE).await;
        assert_eq!(outcome, DrainOutcome::Forced(2));
        assert!(outcome.is_forced());
        assert_eq!(begun.elapsed(), DEADLINE + FORCED_GRACE);
        told.await.unwrap();
        drop(stubborn);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_is_gone_ends_waiting() {
        let drain = Drain::new();
        let watcher = drain.watcher();
        drop(drain);
        watcher.signaled().await;
        watcher.forced().await;
        assert!(watcher.is_draining());
    }
}
