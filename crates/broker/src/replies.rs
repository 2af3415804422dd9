//! The answers a connection owes: subjects it was given as reply, which it may publish to for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use identity::ResponseLimit;
use parking_lot::Mutex;

use crate::conn::Conn;

/// How long an answer over a link may take where the rights set no time of their own.
const DEFAULT_TTL: Duration = Duration::from_secs(120);
/// No answer is owed longer: what is configured may be more than a clock can hold.
const LONGEST_TTL: Duration = Duration::from_secs(86_400 * 365);

struct Owed {
    until: Instant,
    /// Answers left; `u32::MAX` is no limit.
    left: u32,
    /// The link the request came over: the answer goes back there whatever interest is known.
    origin: Weak<Conn>,
    /// The subject to answer to over there, where it is not the one the requester was shown.
    routed: Option<Box<[u8]>>,
}

/// A bounded table of replies; the oldest is forgotten first.
pub(crate) struct Replies {
    /// Whether there ever was one: saves the lock of the many who owe nothing.
    any: AtomicBool,
    table: Mutex<Option<Box<Table>>>,
    max: usize,
}

#[derive(Default)]
struct Table {
    owed: HashMap<Box<[u8]>, Owed, foldhash::fast::RandomState>,
    order: VecDeque<Box<[u8]>>,
}

/// An answer that may be given.
pub(crate) struct Answer {
    /// The link to send it over, when the request came over one.
    pub(crate) origin: Option<Arc<Conn>>,
    /// The subject to answer to over the link, where it is another one.
    pub(crate) routed: Option<Box<[u8]>>,
    /// Whether the rights allow it by themselves (`allow_responses`).
    pub(crate) by_right: bool,
}

impl Replies {
    pub(crate) fn new(max: usize) -> Self {
        Self { any: AtomicBool::new(false), table: Mutex::new(None), max }
    }

    /// Notes that `reply` was delivered with a message from `origin`.
    pub(crate) fn note(
        &self,
        reply: &[u8],
        origin: Weak<Conn>,
        routed: Option<&[u8]>,
        limit: Option<ResponseLimit>,
        now: Instant,
    ) {
        let mut table = self.table.lock();
        let table = table.get_or_insert_default();
        self.any.store(true, Ordering::Release);
        table.forget_old(now, self.max);
        let ttl = limit.map_or(DEFAULT_TTL, |limit| limit.ttl.unwrap_or(LONGEST_TTL)).min(LONGEST_TTL);
        let left = limit.map_or(u32::MAX, |limit| limit.max.unwrap_or(u32::MAX));
        let key: Box<[u8]> = reply.into();
        table.order.push_back(key.clone());
        table.owed.insert(key, Owed { until: now + ttl, left, origin, routed: routed.map(Into::into) });
    }

    /// Whether an answer to `subject` is owed. It counts as given with [`Self::spend`].
    pub(crate) fn owed(
        &self,
        subject: &[u8],
        by_right: impl FnOnce() -> bool,
        now: Instant,
    ) -> Option<Answer> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut table = self.table.lock();
        let table = table.as_mut()?;
        let owed = table.owed.get(subject)?;
        if owed.until < now {
            table.owed.remove(subject);
            return None;
        }
        Some(Answer { origin: owed.origin.upgrade(), routed: owed.routed.clone(), by_right: by_right() })
    }

    /// Uses up one answer to `subject`.
    pub(crate) fn spend(&self, subject: &[u8]) {
        let mut table = self.table.lock();
        let Some(table) = table.as_mut() else { return };
        let Some(owed) = table.owed.get_mut(subject).filter(|owed| owed.left != u32::MAX) else { return };
        owed.left = owed.left.saturating_sub(1);
        if owed.left == 0 {
            table.owed.remove(subject);
        }
    }
}

impl Table {
    /// Drops what is over its time or over the bound; the order may hold keys already answered.
    fn forget_old(&mut self, now: Instant, max: usize) {
        while let Some(oldest) = self.order.front() {
            let over = self.owed.len() >= max || self.order.len() >= 4 * max;
            match self.owed.get(oldest) {
                Some(owed) if owed.until >= now && !over => break,
                Some(_) => {
                    self.owed.remove(oldest);
                }
                None => {}
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(replies: &Replies, subject: &[u8], now: Instant) -> Option<Answer> {
        let answer = replies.owed(subject, || true, now);
        replies.spend(subject);
        answer
    }

    fn limit(max: Option<u32>, ttl: Option<Duration>) -> Option<ResponseLimit> {
        Some(ResponseLimit { max, ttl })
    }

    #[test]
    fn answers_run_out() {
        let replies = Replies::new(10);
        let now = Instant::now();
        replies.note(b"r.1", Weak::new(), None, limit(Some(2), None), now);
        assert!(answer(&replies, b"r.2", now).is_none());
        assert!(answer(&replies, b"r.1", now).is_some());
        assert!(answer(&replies, b"r.1", now).is_some());
        assert!(answer(&replies, b"r.1", now).is_none());
    }

    #[test]
    fn answers_expire() {
        let replies = Replies::new(10);
        let now = Instant::now();
        replies.note(b"r.1", Weak::new(), None, limit(None, Some(Duration::from_secs(1))), now);
        assert!(answer(&replies, b"r.1", now + Duration::from_secs(2)).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let replies = Replies::new(3);
        let now = Instant::now();
        for i in 0..100 {
            replies.note(format!("r.{i}").as_bytes(), Weak::new(), None, limit(Some(1), None), now);
        }
        assert!(answer(&replies, b"r.0", now).is_none());
        assert!(answer(&replies, b"r.99", now).is_some());
        assert!(replies.table.lock().as_ref().unwrap().owed.len() <= 3);
        assert!(replies.table.lock().as_ref().unwrap().order.len() <= 12);
    }
}
