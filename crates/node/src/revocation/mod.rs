//! The revocations of a process: asked at login and about live sessions, kept on disk, fed by the admin API and by a
//! file operators edit.

mod admin;
mod file;
pub mod share;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daemon::audit::{Audit, Event, Kind};
use daemon::config::ConfigErrors;
use daemon::metrics::{Metrics, SampleKind};
use identity::policy::Facts;
use identity::revocation::{
    Entry, FILE_PREFIX, Journal, JournalError, Request, RequestError, RevocationError, Revocations,
};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fingerprint::Fingerprint;

/// How often the operators' file is looked at, and entries that have ended are forgotten.
const LOOK: Duration = Duration::from_millis(250);

/// `[revocation]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevocationConfig {
    /// Where revocations made over the admin API are kept. Without it they last until the process ends.
    pub store: Option<PathBuf>,
    /// A file operators edit; followed while the process runs.
    pub file: Option<PathBuf>,
    /// Entries there may be, the file's among them.
    pub max_entries: usize,
    /// A key all gateways on a bus share: what is revoked on one is revoked on all. Without it, on this one alone.
    pub share_key_file: Option<PathBuf>,
}

impl Default for RevocationConfig {
    fn default() -> Self {
        Self { store: None, file: None, max_entries: 100_000, share_key_file: None }
    }
}

impl RevocationConfig {
    /// Its paths, to be made relative to the configuration's folder.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.store, &mut self.file, &mut self.share_key_file].into_iter().flatten()
    }
}

/// Why revocations can't be had at the start.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// What was kept can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operators' file can't be used.
    #[error(transparent)]
    File(#[from] ConfigErrors),
}

/// Why something was not revoked, or not lifted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The entry can't be taken, or there is none.
    #[error(transparent)]
    Refused(#[from] RevocationError),
    /// The entry stands in the operators' file: it is lifted there.
    #[error("`{0}` stands in the revocation file; take it out there")]
    InFile(String),
    /// It could not be written down.
    #[error(transparent)]
    Disk(#[from] JournalError),
}

/// What came of a revocation.
#[derive(Debug)]
pub struct Revoked {
    /// The entry, in force now.
    pub entry: Entry,
    /// Why it will not outlive the process, if it won't.
    pub not_durable: Option<String>,
}

/// The revocations of a process.
#[derive(Debug)]
pub struct Plane {
    store: RwLock<Revocations>,
    /// Held while something is changed: what is written is in the order of what is in force.
    journal: Mutex<Option<Journal>>,
    changes: watch::Sender<u64>,
    file: Option<PathBuf>,
    /// The file as it was when it was last read, or tried.
    seen: Mutex<Fingerprint>,
    file_refused: AtomicU64,
    audit: Audit,
}

impl Plane {
    /// Reads what was kept and the operators' file. Reads files.
    ///
    /// # Errors
    /// [`PlaneError`]: nothing is to be served without knowing what has been revoked.
    pub fn open(config: &RevocationConfig, audit: Audit) -> Result<Arc<Self>, PlaneError> {
        let mut store = Revocations::new(config.max_entries);
        let now = unix_now();
        let journal = config.store.as_ref().map(|path| Journal::open(path, &mut store, now)).transpose()?;
        let plane = Self {
            store: RwLock::new(store),
            journal: Mutex::new(journal),
            changes: watch::Sender::new(0),
            file: config.file.clone(),
            // Looked at before it is read: a change in between is seen as one later on.
            seen: Mutex::new(Fingerprint::of(config.file.as_deref())),
            file_refused: AtomicU64::new(0),
            audit,
        };
        plane.read_file()?;
        Ok(Arc::new(plane))
    }

    /// The entry in force that the facts meet, if any. Cheap enough for every login; waits for no disk.
    #[must_use]
    pub fn check(&self, facts: &Facts<'_>) -> Option<Arc<Entry>> {
        self.entries().check(facts, unix_now())
    }

    /// Hears of every change; what it hears is a count of no meaning.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Revokes in the name of `by`. In force when it returns, and on the disk unless the answer says otherwise: a
    /// disk that is full must not keep anybody in.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing is revoked then.
    pub fn revoke(&self, request: &Request, by: &str) -> Result<Revoked, ChangeError> {
        let entry = request.entry(new_id(), by, unix_now())?;
        self.take(entry)
    }

    /// Takes an entry that was made elsewhere, such as on another gateway. Taking it twice changes nothing.
    ///
    /// # Errors
    /// As [`Plane::revoke`].
    pub fn take(&self, entry: Entry) -> Result<Revoked, ChangeError> {
        let mut journal = self.journal();
        let now = unix_now();
        let changed = self.entries_mut(|store| store.merge(entry.clone(), now))?;
        let entry = self.entries().get(&entry.id).map_or(entry, |known| Entry::clone(known));
        let mut not_durable = None;
        if changed {
            not_durable = match journal.as_mut().map(|journal| journal.append(std::slice::from_ref(&entry))) {
                Some(Ok(())) => None,
                Some(Err(error)) => {
                    tracing::error!(%error, id = entry.id, "a revocation is in force, but could not be written down");
                    Some(error.to_string())
                }
                None => Some("no `store` is configured in [revocation]".to_owned()),
            };
            self.tidy(journal.as_mut());
            drop(journal);
            self.tell(&entry);
            self.changed();
        }
        Ok(Revoked { entry, not_durable })
    }

    /// Takes a revocation back, in the name of `by`.
    ///
    /// # Errors
    /// [`ChangeError`]; the revocation stays in force then.
    pub fn lift(&self, id: &str, by: &str) -> Result<Entry, ChangeError> {
        if id.starts_with(FILE_PREFIX) {
            return Err(ChangeError::InFile(id.to_owned()));
        }
        let mut journal = self.journal();
        let now = unix_now();
        let lifted = self.entries().lifted(id, now)?;
        if let Some(journal) = journal.as_mut() {
            // Written first: what is lifted here and comes back at the next start would be a surprise.
            journal.append(std::slice::from_ref(&lifted))?;
        }
        self.entries_mut(|store| store.merge(lifted.clone(), now))?;
        self.tidy(journal.as_mut());
        drop(journal);
        let event =
            Event::new(Kind::RevocationLifted).with("id", id).with("target", lifted.target.to_string());
        self.audit.note(event.with("by", by));
        self.changed();
        Ok(lifted)
    }

    /// The entries in force, in the order of their making.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Entry>> {
        let now = unix_now();
        let mut entries: Vec<_> =
            self.entries().iter().filter(|entry| entry.in_force(now)).cloned().collect();
        entries.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        entries
    }

    /// What other gateways should know: everything but the file's entries, lifted ones among them.
    #[must_use]
    pub fn shared(&self) -> Vec<Arc<Entry>> {
        let now = unix_now();
        let own = |entry: &&Arc<Entry>| !entry.id.starts_with(FILE_PREFIX) && !entry.over(now);
        self.entries().iter().filter(own).cloned().collect()
    }

    /// Follows the operators' file and forgets what has ended, until `stop` says true or its sender is gone.
    pub async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => {}
            }
            let plane = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || plane.look()).await {
                tracing::error!(%error, "looking at the revocation file failed");
            }
        }
    }

    fn look(&self) {
        self.entries_mut(|store| store.expire(unix_now()));
        let now = Fingerprint::of(self.file.as_deref());
        let before = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), now);
        if now != before {
            match self.read_file() {
                Ok(true) => tracing::info!("revocation file read again"),
                Ok(false) => {}
                Err(error) => {
                    self.file_refused.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "revocation file refused, its old entries stay in force");
                    self.audit.note(
                        Event::new(Kind::PolicyRefused).reason("revocation_file").detail(&error.to_string()),
                    );
                }
            }
        }
    }

    /// Reads the operators' file; `true` when something changed by it.
    fn read_file(&self) -> Result<bool, ConfigErrors> {
        let Some(path) = &self.file else { return Ok(false) };
        let now = unix_now();
        let entries = file::read(path, now)?;
        let _journal = self.journal();
        let before = self.list();
        let changed = self.entries_mut(|store| store.replace(FILE_PREFIX, entries, now));
        let changed = changed.map_err(|error| {
            ConfigErrors::from(daemon::config::ConfigError::file(
                path.display().to_string(),
                error.to_string(),
            ))
        })?;
        if changed {
            let after = self.list();
            let only_in = |a: &[Arc<Entry>], b: &[Arc<Entry>]| -> Vec<Arc<Entry>> {
                a.iter().filter(|entry| !b.iter().any(|other| other.id == entry.id)).cloned().collect()
            };
            only_in(&after, &before).iter().for_each(|entry| self.tell(entry));
            for entry in only_in(&before, &after) {
                let event = Event::new(Kind::RevocationLifted).with("id", entry.id.as_str());
                self.audit.note(event.with("target", entry.target.to_string()).with("by", "file"));
            }
            self.changed();
        }
        Ok(changed)
    }

    /// Its figures.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let plane = Arc::clone(self);
        #[allow(clippy::cast_precision_loss)]
        metrics.register_value("revocations", "Revocations remembered.", SampleKind::Gauge, move || {
            plane.entries().len() as f64
        });
        let plane = Arc::clone(self);
        #[allow(clippy::cast_precision_loss)]
        metrics.register_value(
            "revocation_file_refused",
            "Changes of the revocation file that could not be used.",
            SampleKind::Counter,
            move || plane.file_refused.load(Ordering::Relaxed) as f64,
        );
    }

    fn tidy(&self, journal: Option<&mut Journal>) {
        let Some(journal) = journal else { return };
        if let Err(error) = journal.tidy(&self.entries()) {
            tracing::warn!(%error, "the file of revocations can't be written anew, it goes on as it is");
        }
    }

    fn tell(&self, entry: &Entry) {
        let event = Event::new(Kind::Revoked)
            .with("id", entry.id.as_str())
            .with("target", entry.target.to_string())
            .with("by", entry.by.as_str())
            .with_some("expires_at", entry.expires_at)
            .reason(&entry.reason);
        self.audit.note(event);
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn entries(&self) -> RwLockReadGuard<'_, Revocations> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut<T>(&self, change: impl FnOnce(&mut Revocations) -> T) -> T {
        change(&mut self.store.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name no other entry has, here or elsewhere.
fn new_id() -> String {
    rand::rng().sample_iter(Alphanumeric).take(22).map(char::from).collect()
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
