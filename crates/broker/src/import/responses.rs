//! The answers an account owes to others: reply subjects of its own, and whom they stand for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{ResponseKind, ServiceTerms};
use crate::account::Account;
use crate::limits::Limits;

/// Requests of one account that may wait for an answer, for each that one connection may owe.
const TIMES: usize = 16;

/// A bounded table of answers owed; the oldest is forgotten first.
pub(crate) struct Responses {
    /// `_R_.<account>.`
    prefix: Box<str>,
    table: Mutex<Option<Box<Table>>>,
}

struct Table {
    owed: HashMap<Box<[u8]>, Owed, foldhash::fast::RandomState>,
    order: VecDeque<Box<[u8]>>,
    max: usize,
}

struct Owed {
    /// Whose reply it is, and what it is called there.
    into: Arc<Account>,
    reply: Box<[u8]>,
    kind: ResponseKind,
    threshold: Duration,
    until: Instant,
}

impl Responses {
    pub(crate) fn new() -> Self {
        let prefix = format!("_R_.{}.", crate::inbox::random_token(6));
        Self { prefix: prefix.into(), table: Mutex::new(None) }
    }

    /// Begins to keep answers; `false` when it has begun before.
    pub(super) fn begin(&self, limits: &Limits) -> bool {
        let mut table = self.table.lock();
        let first = table.is_none();
        table.get_or_insert_with(|| {
            let max = limits.max_pending_replies.saturating_mul(TIMES).max(1);
            Box::new(Table { owed: HashMap::default(), order: VecDeque::new(), max })
        });
        first
    }

    /// What answers are published to.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// A reply subject that stands for `reply` in the account `into`.
    pub(super) fn note(
        &self,
        into: &Arc<Account>,
        reply: &[u8],
        terms: &ServiceTerms,
        now: Instant,
    ) -> Vec<u8> {
        let name = [self.prefix.as_bytes(), crate::inbox::random_token(22).as_bytes()].concat();
        let owed = Owed {
            into: into.clone(),
            reply: reply.into(),
            kind: terms.responses,
            threshold: terms.threshold,
            until: now + terms.threshold,
        };
        if let Some(table) = self.table.lock().as_mut() {
            table.forget_old(now);
            table.order.push_back(name.as_slice().into());
            table.owed.insert(name.as_slice().into(), owed);
        }
        name
    }

    /// Forgets a request that reached nobody.
    pub(super) fn forget(&self, name: &[u8]) {
        if let Some(table) = self.table.lock().as_mut() {
            table.owed.remove(name);
        }
    }

    /// Whom an answer is for.
    pub(super) fn wanted(&self, name: &[u8]) -> Option<(Arc<Account>, Vec<u8>)> {
        let table = self.table.lock();
        let owed = table.as_ref()?.owed.get(name)?;
        Some((owed.into.clone(), owed.reply.to_vec()))
    }

    /// How many of `answers`, of which `empty` says whether they are, may go back now. What they end is forgotten.
    pub(crate) fn take(&self, name: &[u8], empty: impl Iterator<Item = bool>, now: Instant) -> usize {
        let mut table = self.table.lock();
        let Some(table) = table.as_mut() else { return 0 };
        let Some(owed) = table.owed.get_mut(name) else { return 0 };
        if owed.until < now {
            table.owed.remove(name);
            return 0;
        }
        owed.until = now + owed.threshold;
        if owed.kind == ResponseKind::Single {
            table.owed.remove(name);
            return 1;
        }
        let mut taken = 0;
        for empty in empty {
            taken += 1;
            if empty {
                table.owed.remove(name);
                break;
            }
        }
        taken
    }
}

impl Table {
    fn forget_old(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let over = self.owed.len() >= self.max || self.order.len() >= 4 * self.max;
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

    fn account() -> Arc<Account> {
        Arc::new(Account::new("A"))
    }

    #[test]
    fn one_answer_and_no_more() {
        let (of, asker, now) = (account(), account(), Instant::now());
        assert!(of.responses.begin(&Limits::default()) && !of.responses.begin(&Limits::default()));
        let name = of.responses.note(&asker, b"_INBOX.1", &ServiceTerms::default(), now);
        assert_eq!(of.responses.wanted(&name).unwrap().1, b"_INBOX.1");
        assert_eq!(of.responses.take(&name, [false, false].into_iter(), now), 1);
        assert_eq!(of.responses.take(&name, [false].into_iter(), now), 0);
        assert!(of.responses.wanted(&name).is_none());
    }

    #[test]
    fn many_answers_until_an_empty_one() {
        let (of, asker, now) = (account(), account(), Instant::now());
        of.responses.begin(&Limits::default());
        let terms = ServiceTerms { responses: ResponseKind::Many, ..ServiceTerms::default() };
        let name = of.responses.note(&asker, b"r", &terms, now);
        assert_eq!(of.responses.take(&name, [false, false].into_iter(), now), 2);
        assert_eq!(of.responses.take(&name, [false, true, false].into_iter(), now), 2);
        assert_eq!(of.responses.take(&name, [false].into_iter(), now), 0);
    }

    #[test]
    fn time_runs_out_and_the_table_is_bounded() {
        let (of, asker, now) = (account(), account(), Instant::now());
        let limits = Limits { max_pending_replies: 1, ..Limits::default() };
        of.responses.begin(&limits);
        let first = of.responses.note(&asker, b"r", &ServiceTerms::default(), now);
        let late = now + Duration::from_secs(121);
        assert_eq!(of.responses.take(&first, [false].into_iter(), late), 0);
        let names: Vec<_> =
            (0..100).map(|_| of.responses.note(&asker, b"r", &ServiceTerms::default(), now)).collect();
        assert_eq!(names.iter().filter(|name| of.responses.wanted(name).is_some()).count(), TIMES);
    }
}
