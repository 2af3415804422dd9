//! What the subscribers have received so far, shared with the publishers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Who gets a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Every subscriber.
    ToEach,
    /// One of the subscribers, as in a queue group.
    ToOne,
}

/// A counter on cache lines of its own, so that subscribers don't slow each other down.
#[repr(align(128))]
#[derive(Default)]
struct Slot(AtomicU64);

/// Message counts per subscriber, and the first thing that went wrong.
pub(crate) struct Progress {
    received: Vec<Slot>,
    ending: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<String>,
}

impl Progress {
    /// For so many subscribers.
    pub(crate) fn new(subscribers: usize) -> Self {
        Self {
            received: std::iter::repeat_with(Slot::default).take(subscribers).collect(),
            ending: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Subscriber number `subscriber` has received `messages` in all.
    pub(crate) fn update(&self, subscriber: usize, messages: u64) {
        if let Some(slot) = self.received.get(subscriber) {
            slot.0.store(messages, Ordering::Release);
        }
    }

    /// Published messages whose deliveries have all arrived.
    pub(crate) fn completed(&self, delivery: Delivery) -> u64 {
        let counts = self.received.iter().map(|slot| slot.0.load(Ordering::Acquire));
        match delivery {
            Delivery::ToEach => counts.min().unwrap_or(0),
            Delivery::ToOne => counts.sum(),
        }
    }

    /// Deliveries that have arrived, over all subscribers.
    pub(crate) fn deliveries(&self) -> u64 {
        self.completed(Delivery::ToOne)
    }

    /// From here on, broken connections are expected.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether [`Progress::end`] was called.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Notes what ended a subscriber; the first one counts.
    pub(crate) fn fail(&self, subscriber: usize, cause: &anyhow::Error) {
        if self.is_ending() {
            return;
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_empty() {
            *failure = format!("subscriber {subscriber}: {cause:#}");
        }
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Passes on what went wrong.
    ///
    /// # Errors
    /// When a subscriber failed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            bail!("{}", self.failure.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_counts_where_each_gets_all_and_the_sum_in_a_queue_group() {
        let progress = Progress::new(3);
        progress.update(0, 5);
        progress.update(1, 7);
        progress.update(2, 6);
        assert_eq!(progress.completed(Delivery::ToEach), 5);
        assert_eq!(progress.completed(Delivery::ToOne), 18);
    }

    #[test]
    fn the_first_failure_is_kept_and_none_at_the_end() {
        let progress = Progress::new(2);
        assert!(progress.check().is_ok());
        progress.fail(1, &anyhow::anyhow!("cut off"));
        progress.fail(0, &anyhow::anyhow!("later"));
        assert_eq!(progress.check().unwrap_err().to_string(), "subscriber 1: cut off");
        let progress = Progress::new(1);
        progress.end();
        progress.fail(0, &anyhow::anyhow!("expected"));
        assert!(progress.check().is_ok());
    }
}
