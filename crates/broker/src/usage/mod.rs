//! What one identity uses, across all of its connections: connections, subscriptions, messages and bytes a second.
//!
//! Only identities with such a quota are counted. Each connection asks once per read batch what is left and says once
//! what it took, so that a message costs no more than a comparison. Over its rate a publisher is not read from until
//! the rate allows it again; only one that stays over it for too long is refused.

mod rate;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use identity::{Grant, Quotas};
use parking_lot::Mutex;

use rate::Rate;

/// Entries of the table before those of identities that are gone are looked for.
const PURGE_FROM: usize = 64;

/// One identity's use.
#[derive(Debug)]
pub(crate) struct Usage {
    connections: AtomicU32,
    pub(crate) subscriptions: AtomicU32,
    rate: Mutex<Rate>,
    /// How often a connection was held back.
    pub(crate) held: AtomicU64,
    /// Messages refused after it had been held back for too long.
    pub(crate) refused: AtomicU64,
}

/// What may still be published in a read batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Allowance {
    pub(crate) const UNLIMITED: Self = Self { messages: u64::MAX, bytes: u64::MAX };

    /// Takes one message; `false` when nothing is left. The last one may be larger than what is left: what was taken
    /// too much is given back in time.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        if self.messages == 0 || self.bytes == 0 {
            return false;
        }
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        true
    }
}

impl Usage {
    fn new(now: Instant) -> Self {
        Self {
            connections: AtomicU32::new(0),
            subscriptions: AtomicU32::new(0),
            rate: Mutex::new(Rate::new(now)),
            held: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// One connection more; their number is the answer.
    pub(crate) fn connect(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// One connection less.
    pub(crate) fn disconnect(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }

    /// What may be published now; with nothing left, when there is something again.
    pub(crate) fn allow(&self, quotas: &Quotas, now: Instant) -> Result<Allowance, Instant> {
        self.rate.lock().allow(quotas, now)
    }

    /// Takes what was published.
    pub(crate) fn spend(&self, messages: u64, bytes: u64) {
        self.rate.lock().spend(messages, bytes);
    }
}

/// The identities of an account that are counted.
#[derive(Debug, Default)]
pub(crate) struct Usages {
    table: Mutex<HashMap<Box<str>, Weak<Usage>>>,
}

impl Usages {
    /// The use of who holds `grant`; `None` where nothing is to be counted.
    pub(crate) fn of(&self, grant: &Grant, now: Instant) -> Option<Arc<Usage>> {
        is_counted(&grant.quotas).then(|| self.entry(&key(grant), now))
    }

    fn entry(&self, key: &str, now: Instant) -> Arc<Usage> {
        let mut table = self.table.lock();
        if let Some(known) = table.get(key).and_then(Weak::upgrade) {
            return known;
        }
        if table.len() >= PURGE_FROM && table.len() == table.capacity() {
            table.retain(|_, usage| usage.strong_count() > 0);
        }
        let fresh = Arc::new(Usage::new(now));
        table.insert(key.into(), Arc::downgrade(&fresh));
        fresh
    }
}

fn is_counted(quotas: &Quotas) -> bool {
    quotas.connections.is_some() || quotas.subscriptions.is_some() || is_metered(quotas)
}

/// Whether what is published is counted by time.
pub(crate) fn is_metered(quotas: &Quotas) -> bool {
    quotas.messages_per_second.is_some() || quotas.bytes_per_second.is_some()
}

/// Who it is: the same subject of another issuer is somebody else.
fn key(grant: &Grant) -> String {
    match &grant.provenance {
        Some(origin) => format!("{}\n{}", origin.issuer, origin.subject),
        None => format!("\n{}", grant.identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_for_one_subject_of_one_issuer_while_somebody_uses_it() {
        let usages = Usages::default();
        let now = Instant::now();
        let mut grant = Grant::unrestricted("alice");
        assert!(usages.of(&grant, now).is_none());
        grant.quotas.connections = Some(2);
        let first = usages.of(&grant, now).unwrap();
        assert!(Arc::ptr_eq(&first, &usages.of(&grant, now).unwrap()));
        let origin = |issuer: &str| {
            Some(identity::Provenance { subject: "alice".into(), issuer: issuer.into(), auth_time: 1 })
        };
        grant.provenance = origin("https://a");
        let a = usages.of(&grant, now).unwrap();
        grant.provenance = origin("https://b");
        assert!(!Arc::ptr_eq(&a, &usages.of(&grant, now).unwrap()));
    }

    #[test]
    fn the_table_forgets_who_is_gone() {
        let usages = Usages::default();
        let mut grant = Grant::unrestricted("x");
        grant.quotas.connections = Some(1);
        for number in 0..100_000 {
            grant.identity = format!("user-{number}").into();
            drop(usages.of(&grant, Instant::now()));
        }
        assert!(usages.table.lock().len() < 1_000);
    }
}
