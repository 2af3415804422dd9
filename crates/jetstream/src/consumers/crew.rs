//! Who gives consumers their turns: a queue of those that want one, and a clock for those that want one later.
//!
//! The tasks that work both off are in [`crate::run`]. Consumers take turns: one that has much to do is put at the
//! end of the queue again.

use std::cmp::Ordering as Order;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use broker::Outlet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::seat::Seat;
use crate::account::Account;

/// The queue and the clock.
#[derive(Default)]
pub(crate) struct Crew {
    ready: Mutex<VecDeque<Arc<Seat>>>,
    /// There is something in the queue.
    pub(crate) called: Notify,
    alarms: Mutex<BinaryHeap<Alarm>>,
    /// There is an earlier alarm.
    pub(crate) wound: Notify,
}

/// Somebody who wants a turn later.
struct Alarm {
    at: i64,
    seat: Weak<Seat>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Order {
        other.at.cmp(&self.at)
    }
}

impl Crew {
    /// Puts a consumer at the end of the queue.
    pub(super) fn put(&self, seat: Arc<Seat>) {
        self.ready.lock().push_back(seat);
        self.called.notify_one();
    }

    /// The next one that wants a turn. Calls another hand if there are more.
    pub(crate) fn next(&self) -> Option<Arc<Seat>> {
        let (seat, more) = {
            let mut ready = self.ready.lock();
            (ready.pop_front(), !ready.is_empty())
        };
        if more {
            self.called.notify_one();
        }
        seat
    }

    /// Sees to it that a consumer gets a turn at `at`, or earlier.
    pub(super) fn arm(&self, seat: &Arc<Seat>, at: i64) {
        if seat.armed.fetch_min(at, Ordering::AcqRel) <= at {
            return;
        }
        let earliest = {
            let mut alarms = self.alarms.lock();
            let earliest = alarms.peek().is_none_or(|first| at < first.at);
            alarms.push(Alarm { at, seat: Arc::downgrade(seat) });
            earliest
        };
        if earliest {
            self.wound.notify_one();
        }
    }

    /// Calls those whose time has come; when the next one is.
    pub(crate) fn ring(&self, now: i64) -> Option<i64> {
        loop {
            let alarm = {
                let mut alarms = self.alarms.lock();
                let next = alarms.peek().map(|alarm| alarm.at);
                if next.is_none_or(|at| at > now) {
                    return next;
                }
                alarms.pop()
            };
            let Some(Alarm { at, seat }) = alarm else { continue };
            let Some(seat) = seat.upgrade() else { continue };
            // One that was armed for earlier since then has had its turn.
            if seat.armed.compare_exchange(at, i64::MAX, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                seat.wants_turn();
            }
        }
    }
}

/// Ways out of one hand, one an account.
#[derive(Default)]
pub(crate) struct Outlets {
    by_account: Vec<(Weak<Account>, Outlet)>,
}

impl Outlets {
    pub(super) fn of(&mut self, account: &Arc<Account>) -> Option<&mut Outlet> {
        let known =
            self.by_account.iter().position(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(account)));
        let at = match known {
            Some(at) => at,
            None => {
                self.by_account.retain(|(known, _)| known.strong_count() > 0);
                self.by_account.push((Arc::downgrade(account), account.port.outlet()));
                self.by_account.len() - 1
            }
        };
        self.by_account.get_mut(at).map(|(_, outlet)| outlet)
    }
}
