//! What all connections of a server together may have queued, in bytes and in messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Server-wide account of queued data. Updated once per batch, not per message.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicUsize,
    messages: AtomicUsize,
    max_bytes: usize,
    max_messages: usize,
    /// How many wakers wait below; saves the lock where nobody does.
    waiting: AtomicUsize,
    waiters: Mutex<Vec<Waker>>,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize, max_messages: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            max_bytes,
            max_messages,
            waiting: AtomicUsize::new(0),
            waiters: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn add(&self, bytes: usize, messages: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }

    /// Gives back what was written or thrown away, and wakes who waited for room.
    pub(crate) fn release(&self, bytes: usize, messages: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.messages.fetch_sub(messages, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 && !self.is_over() {
            let woken = {
                let mut waiters = self.waiters.lock();
                self.waiting.store(0, Ordering::SeqCst);
                std::mem::take(&mut *waiters)
            };
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether publishers are to be held back.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) > self.max_bytes
            || self.messages.load(Ordering::SeqCst) > self.max_messages
    }

    /// True when there is room; otherwise `waker` is called once there may be.
    pub(crate) fn has_room_or_wait(&self, waker: &Waker) -> bool {
        if !self.is_over() {
            return true;
        }
        let mut waiters = self.waiters.lock();
        if !waiters.iter().any(|known| known.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        // Room may have come between the first look and the registration.
        !self.is_over()
    }

    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.bytes.load(Ordering::SeqCst), self.messages.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_by_messages_or_bytes_and_back() {
        let budget = Budget::new(100, 2);
        budget.add(10, 3);
        assert!(budget.is_over());
        budget.release(0, 1);
        assert!(!budget.is_over());
        budget.add(200, 0);
        assert!(budget.is_over());
        assert!(!budget.has_room_or_wait(Waker::noop()));
        budget.release(205, 2);
        assert!(budget.has_room_or_wait(Waker::noop()));
        assert_eq!(budget.queued(), (5, 0));
    }
}
