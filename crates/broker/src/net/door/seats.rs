//! A byte budget for connections that have not logged in: taken as seats, and given up by who sits longest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All seats.
#[derive(Debug)]
pub(crate) struct Seats {
    inner: Mutex<Inner>,
    freed: Notify,
    max: usize,
    /// Nobody is asked to leave sooner.
    grace: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    used: usize,
    /// By when they sat down; those that have left are dropped when they come to the front.
    taken: VecDeque<Arc<Place>>,
    left: usize,
}

#[derive(Debug)]
struct Place {
    bytes: usize,
    since: Instant,
    /// Left, or told to.
    gone: AtomicBool,
    told: Notify,
}

/// A seat; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    place: Arc<Place>,
}

impl Seats {
    pub(crate) fn new(max: usize, grace: Duration) -> Self {
        Self { inner: Mutex::default(), freed: Notify::new(), max, grace }
    }

    /// Takes a seat of so many bytes, as soon as there is one.
    pub(crate) async fn take(seats: &Arc<Self>, bytes: usize) -> Seat {
        loop {
            let freed = seats.freed.notified();
            let wait = match seats.try_take(bytes, Instant::now()) {
                Ok(place) => return Seat { seats: seats.clone(), place },
                Err(wait) => wait,
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A place now, perhaps somebody else's; otherwise how long until one may be had.
    fn try_take(&self, bytes: usize, now: Instant) -> Result<Arc<Place>, Duration> {
        let mut inner = self.inner.lock();
        while inner.used.saturating_add(bytes) > self.max && inner.used > 0 {
            let Some(front) = inner.taken.front() else { break };
            if !front.gone.load(Ordering::Acquire) {
                let sat = now.saturating_duration_since(front.since);
                if sat < self.grace {
                    return Err(self.grace - sat);
                }
                front.gone.store(true, Ordering::Release);
                front.told.notify_one();
                inner.used -= front.bytes;
            }
            inner.taken.pop_front();
        }
        let place = Arc::new(Place { bytes, since: now, gone: AtomicBool::new(false), told: Notify::new() });
        inner.used += bytes;
        inner.taken.push_back(place.clone());
        Ok(place)
    }

    fn leave(&self, place: &Place) {
        let mut inner = self.inner.lock();
        if !place.gone.swap(true, Ordering::AcqRel) {
            inner.used -= place.bytes;
        }
        inner.left += 1;
        if inner.left > 64 && inner.left * 2 > inner.taken.len() {
            inner.taken.retain(|place| !place.gone.load(Ordering::Acquire));
            inner.left = 0;
        }
        drop(inner);
        self.freed.notify_one();
    }

    pub(crate) fn used(&self) -> usize {
        self.inner.lock().used
    }
}

impl Seat {
    /// Ends when somebody else needs the seat.
    pub(crate) async fn wanted(&self) {
        self.place.told.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.leave(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(max: usize) -> Arc<Seats> {
        Arc::new(Seats::new(max, Duration::from_millis(100)))
    }

    #[tokio::test]
    async fn whoever_sits_longest_gives_up_its_seat_but_not_at_once() {
        let seats = seats(20);
        let first = Seats::take(&seats, 10).await;
        let second = Seats::take(&seats, 10).await;
        let start = Instant::now();
        let third = Seats::take(&seats, 10).await;
        assert!(start.elapsed() >= Duration::from_millis(100));
        first.wanted().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), second.wanted()).await.is_err());
        assert_eq!(seats.used(), 20);
        drop((first, second, third));
        assert_eq!(seats.used(), 0);
    }

    #[tokio::test]
    async fn a_seat_that_is_left_is_taken_at_once() {
        let seats = seats(10);
        let first = Seats::take(&seats, 10).await;
        let waiting = tokio::spawn({
            let seats = seats.clone();
            async move { Seats::take(&seats, 10).await }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        drop(first);
        drop(waiting.await.unwrap());
        assert!(start.elapsed() < Duration::from_millis(50));
    }

    #[tokio::test]
    async fn what_is_kept_about_seats_is_bounded_too() {
        let seats = seats(1_000_000);
        let keep = Seats::take(&seats, 1).await;
        for _ in 0..100_000 {
            drop(Seats::take(&seats, 1).await);
        }
        assert!(seats.inner.lock().taken.len() < 200);
        assert_eq!(seats.used(), 1);
        drop(keep);
    }
}
