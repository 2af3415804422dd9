//! Readiness: the process is ready when none of its named guards says otherwise.
//!
//! Each part that must work before traffic may come takes a [`Guard`] and opens it when it does, closes it when it
//! stops doing so. `/readyz` lists the closed ones with their reasons, and beside them *notes*: what is not as it should be
//! and no reason to send traffic elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What is still in the way: the name of the guard and its reason.
pub type Held = (String, String);

#[derive(Debug)]
struct State {
    guards: watch::Sender<BTreeMap<u64, Entry>>,
    notes: Mutex<BTreeMap<String, String>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Why the process is not ready; `None` while the guard is open.
    reason: Option<Cow<'static, str>>,
}

/// The readiness of one process; clones share it. Ready while no guard is closed, so take guards before serving.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<State>);

impl Readiness {
    /// No guards yet.
    #[must_use]
    pub fn new() -> Self {
        let guards = watch::Sender::new(BTreeMap::new());
        Self(Arc::new(State { guards, notes: Mutex::default(), next: AtomicU64::new(0) }))
    }

    /// A closed guard: the process is not ready until it is opened or dropped.
    #[must_use = "dropping the guard opens it"]
    pub fn guard(&self, name: impl Into<String>) -> Guard {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { name: name.into(), reason: Some(Cow::Borrowed("starting")) };
        self.0.guards.send_modify(|guards| {
            guards.insert(id, entry);
        });
        Guard { readiness: self.clone(), id }
    }

    /// Whether the process is ready, and what is in the way, in the order the guards were taken.
    #[must_use]
    pub fn state(&self) -> (bool, Vec<Held>) {
        let guards = self.0.guards.borrow();
        let held: Vec<_> = guards
            .values()
            .filter_map(|entry| Some((entry.name.clone(), entry.reason.as_ref()?.to_string())))
            .collect();
        (held.is_empty(), held)
    }

    /// Notes something under a name, or with `None` that it is well again. It is shown on `/readyz`: no secrets.
    pub fn note(&self, name: &str, what: Option<String>) {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => drop(notes.insert(name.to_owned(), what)),
            None => drop(notes.remove(name)),
        }
    }

    /// What is noted, by name.
    #[must_use]
    pub fn notes(&self) -> Vec<Held> {
        let notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().map(|(name, what)| (name.clone(), what.clone())).collect()
    }

    /// True while no guard is closed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        all_open(&self.0.guards.borrow())
    }

    /// Waits until no guard is closed.
    pub async fn wait_ready(&self) {
        let mut changes = self.0.guards.subscribe();
        // The sender lives in `self`: waiting can't fail.
        drop(changes.wait_for(all_open).await);
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

fn all_open(guards: &BTreeMap<u64, Entry>) -> bool {
    guards.values().all(|entry| entry.reason.is_none())
}

/// One thing that must work for the process to be ready. Dropping it takes it out of the count.
#[derive(Debug)]
pub struct Guard {
    readiness: Readiness,
    id: u64,
}

impl Guard {
    /// Opens the guard: this part works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// Closes the guard; `reason` is shown on `/readyz`, so it holds no secret.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<Cow<'static, str>>) {
        self.readiness.0.guards.send_if_modified(|guards| match guards.get_mut(&self.id) {
            Some(entry) if entry.reason != reason => {
                entry.reason = reason;
                true
            }
            _ => false,
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.readiness.0.guards.send_modify(|guards| {
            guards.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn held(pairs: &[(&str, &str)]) -> Vec<Held> {
        pairs.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect()
    }

    #[test]
    fn guards_open_and_close() {
        let readiness = Readiness::new();
        assert_eq!(readiness.state(), (true, Vec::new()));
        let link = readiness.guard("link");
        let probe = readiness.guard("probe");
        assert_eq!(readiness.state(), (false, held(&[("link", "starting"), ("probe", "starting")])));
        link.ready();
        assert_eq!(readiness.state(), (false, held(&[("probe", "starting")])));
        drop(probe);
        assert_eq!(readiness.state(), (true, Vec::new()));
        link.not_ready("connection lost");
        assert_eq!(readiness.state(), (false, held(&[("link", "connection lost")])));
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_note_is_shown_and_holds_nothing_up() {
        let readiness = Readiness::new();
        readiness.note("configuration", Some("refused".into()));
        assert_eq!(readiness.notes(), held(&[("configuration", "refused")]));
        assert!(readiness.is_ready());
        readiness.note("configuration", None);
        assert!(readiness.notes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_last_guard_opens() {
        let readiness = Readiness::new();
        readiness.wait_ready().await;
        let guard = readiness.guard("link");
        let early = tokio::time::timeout(Duration::from_secs(60), readiness.wait_ready()).await;
        assert!(early.is_err());
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait_ready().await }
        });
        tokio::task::yield_now().await;
        guard.ready();
        waiting.await.unwrap();
    }
}
