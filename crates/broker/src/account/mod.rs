//! An account: a subject space of its own, with its interest index and the links that carry it on.

pub(crate) mod watch;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{RwLock, RwLockReadGuard};
use subject::Interest;

use watch::Watches;

use crate::conn::{Conn, Kind};
use crate::import::Responses;
use crate::mapper::SubjectMapper;
use crate::monitor::Past;
use crate::outbox::{Appended, Load};
use crate::subscription::Sub;
use crate::usage::Usages;

/// How long, in tenths of a second, other clusters may need to learn of a subscription.
const LATELY: u32 = 20;

/// Lock order: an account's index before a connection's subscription table before an outbox.
pub(crate) struct Account {
    pub(crate) name: Arc<str>,
    index: RwLock<Index>,
    /// Counts changes of interest and of rights: what was derived from an older one is derived anew.
    generation: AtomicU64,
    watches: Watches,
    /// When somebody here last subscribed, as [`crate::subscription::now`] counts.
    newest: AtomicU32,
    /// Counts changes of rights alone: they are followed within a read batch, too.
    rights: AtomicU64,
    /// The server's name and the largest message it takes, set when it makes the account.
    server: OnceLock<(Box<str>, usize)>,
    /// Who is counted, across connections.
    pub(crate) usages: Usages,
    /// The same count for all accounts that import from one another: what one derived may rest on another's interest.
    family: OnceLock<Arc<AtomicU64>>,
    /// What its connections that have ended came to.
    pub(crate) past: Past,
    /// Answers its services owe to other accounts.
    pub(crate) responses: Responses,
    /// Where messages go instead of where their publishers say; whether there is one is asked first.
    mapper: RwLock<Option<Arc<dyn SubjectMapper>>>,
    mapped: AtomicBool,
    /// `$LDS.<token>`: seen on our own link, it tells of a loop.
    pub(crate) loop_subject: Arc<str>,
}

pub(crate) struct Index {
    pub(crate) interest: Interest<Sub>,
    links: Vec<Arc<Conn>>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            index: RwLock::new(Index { interest: Interest::new(), links: Vec::new() }),
            generation: AtomicU64::new(1),
            watches: Watches::default(),
            newest: AtomicU32::new(0),
            rights: AtomicU64::new(0),
            server: OnceLock::new(),
            usages: Usages::default(),
            family: OnceLock::new(),
            past: Past::default(),
            responses: Responses::new(),
            mapper: RwLock::default(),
            mapped: AtomicBool::new(false),
            loop_subject: format!("$LDS.{}", crate::inbox::random_token(22)).into(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        let family = self.family.get().map_or(0, |family| family.load(Ordering::Acquire));
        self.generation.load(Ordering::Acquire).wrapping_add(family)
    }

    /// Makes every connection of the account take its routing decisions anew.
    pub(crate) fn invalidate(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(family) = self.family.get() {
            family.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Makes this one of the accounts whose changes concern each other.
    pub(crate) fn join(&self, family: &Arc<AtomicU64>) {
        self.family.get_or_init(|| family.clone());
        self.invalidate();
    }

    /// Where messages go instead of where their publishers say.
    pub(crate) fn mapper(&self) -> Option<Arc<dyn SubjectMapper>> {
        if self.mapped.load(Ordering::Acquire) { self.mapper.read().clone() } else { None }
    }

    pub(crate) fn set_mapper(&self, mapper: Option<Arc<dyn SubjectMapper>>) {
        let mut held = self.mapper.write();
        self.mapped.store(mapper.is_some(), Ordering::Release);
        *held = mapper;
    }

    /// Says which server it is an account of.
    pub(crate) fn belongs_to(&self, server: &str, max_payload: usize) {
        self.server.get_or_init(|| (server.into(), max_payload));
    }

    pub(crate) fn server_name(&self) -> &str {
        self.server.get().map_or("", |(name, _)| name)
    }

    /// The largest message, headers included.
    pub(crate) fn max_payload(&self) -> usize {
        self.server.get().map_or(usize::MAX, |(_, max)| *max)
    }

    /// How often somebody's rights were replaced.
    pub(crate) fn rights(&self) -> u64 {
        self.rights.load(Ordering::Acquire)
    }

    /// Somebody's rights were replaced.
    pub(crate) fn rights_changed(&self) {
        self.invalidate();
        self.rights.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read()
    }

    /// Adds a subscription and announces it on the links that carry it.
    pub(crate) fn subscribe(&self, sub: &Sub) {
        if sub.conn.link().is_none() {
            self.newest.store(sub.born, Ordering::Relaxed);
        }
        self.change(|index, told| {
            index.interest.insert(sub.clone());
            tell(&self.name, &index.links, sub, true, told);
        });
        self.watches.tell(&[sub]);
    }

    /// Removes subscriptions and withdraws them from the links.
    pub(crate) fn unsubscribe(&self, subs: &[Sub]) {
        if subs.is_empty() {
            return;
        }
        self.change(|index, told| {
            for sub in subs {
                if index.interest.remove(sub) {
                    tell(&self.name, &index.links, sub, false, told);
                }
            }
        });
        self.watches.tell(&subs.iter().collect::<Vec<_>>());
    }

    /// Puts one subscription in the place of another without a moment with neither or both.
    pub(crate) fn replace(&self, old: &Sub, new: &Sub) {
        self.change(|index, told| {
            index.interest.insert(new.clone());
            tell(&self.name, &index.links, new, true, told);
            if index.interest.remove(old) {
                tell(&self.name, &index.links, old, false, told);
            }
        });
        self.watches.tell(&[old, new]);
    }

    /// Adds a link: it is told all present interest now and every change from now on.
    pub(crate) fn attach_link(&self, conn: &Arc<Conn>) {
        self.change(|index, told| {
            if index.links.iter().any(|known| Arc::ptr_eq(known, conn)) {
                return;
            }
            index.links.push(conn.clone());
            let Some(link) = conn.link() else { return };
            if conn.append(Load::default(), |out| link.interest_begins(&self.name, out)) == Appended::Flush {
                told.push(conn.clone());
            }
            let this = std::slice::from_ref(conn);
            index.interest.for_each(|sub| tell(&self.name, this, sub, true, told));
            if conn.append(Load::default(), |out| link.interest_ends(&self.name, out)) == Appended::Flush {
                told.push(conn.clone());
            }
        });
    }

    /// Whether somebody here subscribed to `subject` so short a time ago that other clusters may not know of it.
    pub(crate) fn was_wanted_lately(&self, subject: &[u8]) -> bool {
        let lately = |at: u32| crate::subscription::now().saturating_sub(at) <= LATELY;
        if !lately(self.newest.load(Ordering::Relaxed)) {
            return false;
        }
        let fresh = |sub: &Sub| sub.conn.link().is_none() && lately(sub.born);
        let mut found = false;
        self.index().interest.matches(subject, |members| {
            found = found || members.plain().iter().any(fresh);
        });
        found
    }

    pub(crate) fn detach_link(&self, conn: &Arc<Conn>) {
        self.change(|index, _| index.links.retain(|known| !Arc::ptr_eq(known, conn)));
    }

    /// Changes the index under its lock; who was told something is flushed after it is released.
    fn change(&self, change: impl FnOnce(&mut Index, &mut Vec<Arc<Conn>>)) {
        let mut told = Vec::new();
        {
            let mut index = self.index.write();
            change(&mut index, &mut told);
            self.invalidate();
        }
        for conn in told {
            conn.flush();
        }
    }

    /// Whether anybody but `own` would get what is published to `subject`.
    pub(crate) fn has_interest(&self, subject: &[u8], own: &Arc<Conn>) -> bool {
        self.has_interest_of(subject, |sub| !Arc::ptr_eq(&sub.conn, own))
    }

    /// As [`Self::has_interest`], for a subject nobody has asked for an answer to. That another server's clients have
    /// inboxes at all does not say that this one is listened to: there, only a subscription to it by name counts.
    pub(crate) fn is_awaited(&self, subject: &[u8], own: &Arc<Conn>) -> bool {
        self.has_interest_of(subject, |sub| {
            let whole_space = sub.conn.link().is_some() && crate::inbox::is_whole_space(sub.subject());
            !whole_space && !Arc::ptr_eq(&sub.conn, own)
        })
    }

    fn has_interest_of(&self, subject: &[u8], counts: impl Fn(&Sub) -> bool) -> bool {
        let counts = |sub: &Sub| !matches!(sub.conn.kind, Kind::Gate) && counts(sub);
        let mut found = false;
        self.index().interest.matches(subject, |members| {
            found = found
                || members.plain().iter().any(counts)
                || members.queues().any(|(_, subs)| subs.iter().any(counts));
        });
        found
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.index().interest.len()
    }
}

fn tell(account: &str, links: &[Arc<Conn>], sub: &Sub, added: bool, told: &mut Vec<Arc<Conn>>) {
    for conn in links {
        let Some(link) = conn.link() else { continue };
        if Arc::ptr_eq(conn, &sub.conn) || !link.wants(sub) {
            continue;
        }
        if conn.append(Load::default(), |out| link.local_changed(account, sub, added, out)) == Appended::Flush
        {
            told.push(conn.clone());
        }
    }
}
