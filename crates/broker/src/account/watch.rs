//! Who wants to be told when interest in a subject changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Account;
use crate::subscription::Sub;

type Changed = Arc<dyn Fn() + Send + Sync>;
type BySubject = HashMap<Box<[u8]>, Vec<(u64, Changed)>, foldhash::fast::RandomState>;

/// The watches of one account.
#[derive(Default)]
pub(super) struct Watches {
    /// Saves the lock where nobody watches.
    count: AtomicUsize,
    next: AtomicU64,
    watched: Mutex<BySubject>,
}

impl Watches {
    /// Tells those whom a change of `subs` concerns. No lock is held while they are told.
    pub(super) fn tell(&self, subs: &[&Sub]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut concerned: Vec<Changed> = Vec::new();
        {
            let watched = self.watched.lock();
            for sub in subs {
                let pattern = sub.subject();
                if subject::has_wildcard(pattern) {
                    let matching = watched.iter().filter(|(subject, _)| subject::matches(pattern, subject));
                    concerned
                        .extend(matching.flat_map(|(_, list)| list.iter().map(|(_, told)| told.clone())));
                } else if let Some(list) = watched.get(pattern) {
                    concerned.extend(list.iter().map(|(_, told)| told.clone()));
                }
            }
        }
        concerned.iter().for_each(|changed| changed());
    }

    fn add(&self, subject: &[u8], changed: Changed) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.watched.lock().entry(subject.into()).or_default().push((id, changed));
        self.count.fetch_add(1, Ordering::Release);
        id
    }

    fn remove(&self, subject: &[u8], id: u64) {
        let mut watched = self.watched.lock();
        if let Some(list) = watched.get_mut(subject) {
            list.retain(|(known, _)| *known != id);
            if list.is_empty() {
                watched.remove(subject);
            }
            self.count.fetch_sub(1, Ordering::Release);
        }
    }
}

/// A watch on the interest in one subject; dropping it ends it.
pub struct InterestWatch {
    account: Arc<Account>,
    subject: Box<[u8]>,
    id: u64,
}

impl std::fmt::Debug for InterestWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InterestWatch").field("account", &self.account).finish_non_exhaustive()
    }
}

impl InterestWatch {
    pub(crate) fn new(account: Arc<Account>, subject: &[u8], changed: Changed) -> Self {
        let id = account.watches.add(subject, changed);
        Self { account, subject: subject.into(), id }
    }
}

impl Drop for InterestWatch {
    fn drop(&mut self) {
        self.account.watches.remove(&self.subject, self.id);
    }
}
