//! A stream: the handle its users hold, and what is behind it.

mod append;
mod commit;
mod compact;
mod fail;
mod home;
mod log;
mod query;
mod read;
mod remove;
mod sparse;
mod states;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::{Stopped, StoreError};
use crate::manifest::Manifest;
use crate::options::{Limits, StoreOptions, StreamOptions};
use crate::removal::Removals;
use crate::segment::SegmentFile;

pub use append::{Append, Appended};
pub(crate) use home::Home;
pub(crate) use log::{Erasure, Log, Target};
pub use query::{Point, State, SubjectCount, TooMany};
pub use read::Scan;
pub use remove::{Erase, Expired, Purge, Purged};
pub use states::SavedState;
pub(crate) use states::States;

/// How far a stream is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// All messages up to this sequence are as durable as the stream's [`Sync`](crate::Sync) demands.
    pub seq: u64,
    /// All changes up to this position are. Appends, removals and saved states all take positions; see
    /// [`Appended::position`].
    pub position: u64,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is not committed yet.
    Waits,
    /// It is committed.
    Committed,
    /// Writing failed: it never was.
    TakenBack(Stopped),
}

/// Told about the fate of what was appended. Called by the store's commit thread, one call for everything a sync
/// covered. What it does delays the next commit of all streams, so it should hand on, not work. It may call the
/// stream.
pub trait Listener: Send + Sync {
    /// Everything up to here is committed.
    fn committed(&self, upto: Committed);

    /// Writing failed. Nothing that was appended and not told as committed is stored; sequences after `last.seq` will
    /// be used again. Positions up to `last.position` are settled: what was not told as committed before failed. The
    /// stream takes no writes until [`Listener::resumed`].
    fn failed(&self, why: &Stopped, last: Committed);

    /// The stream takes writes again.
    fn resumed(&self) {}
}

/// A stream of messages. A cheap handle: clones are the same stream.
#[derive(Clone)]
pub struct Stream(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) store: StoreOptions,
    pub(crate) log: RwLock<Log>,
    pub(crate) metadata: Mutex<Arc<[u8]>>,
    pub(crate) listener: RwLock<Option<Arc<dyn Listener>>>,
    /// Where it lives, if on disk.
    pub(crate) home: Option<Home>,
    /// Files written without a sync so far.
    pub(crate) unsynced: Mutex<Vec<Arc<SegmentFile>>>,
    /// The thread that writes a snapshot of the index or compacts, if one does.
    pub(crate) background: Mutex<Option<JoinHandle<()>>>,
    /// Segment files that are to go, in this order.
    pub(crate) doomed: Mutex<VecDeque<PathBuf>>,
    /// What takes long gives up.
    pub(crate) closing: AtomicBool,
    /// For those who wait, see [`Stream::wait`].
    pub(crate) done: Mutex<Done>,
    pub(crate) waiters: Condvar,
}

/// Failures that are remembered for those who wait.
const FAILURES: usize = 1000;

/// What those who wait look at.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) committed: Committed,
    /// The changes that failures took back: those after the first position up to the second, and why.
    pub(crate) failed: VecDeque<(u64, u64, Stopped)>,
}

impl Stream {
    pub(crate) fn new(
        name: &str,
        log: Log,
        metadata: &[u8],
        store: StoreOptions,
        home: Option<Home>,
    ) -> Self {
        let done = Done { committed: log.committed, ..Done::default() };
        let stream = Self(Arc::new(Inner {
            name: name.to_owned(),
            store,
            log: RwLock::new(log),
            metadata: Mutex::new(metadata.into()),
            listener: RwLock::new(None),
            home,
            unsynced: Mutex::new(Vec::new()),
            background: Mutex::new(None),
            doomed: Mutex::new(VecDeque::new()),
            closing: AtomicBool::new(false),
            done: Mutex::new(done),
            waiters: Condvar::new(),
        }));
        stream.settle();
        stream
    }

    /// Writes down what recovery decided, and what the limits, applied again, take away.
    fn settle(&self) {
        let mut log = self.0.log.write();
        let mut owed = std::mem::take(&mut log.owed);
        log.index.enforce_all(&mut owed);
        let home = self.0.home.as_ref();
        if !owed.is_empty() && log.push_removals(home, &owed).is_ok() {
            self.0.changed(&mut log);
        }
        if !log.erasures.is_empty() {
            self.0.queue(&mut log);
        }
        if let Some(home) = home
            && log.has_sparse(self.0.store.compact_percent, home.keys.as_ref())
        {
            log.look_soon();
            self.0.queue(&mut log);
        }
    }

    /// Whether this is the same stream, not one of the same name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its name within the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its settings as they are now.
    #[must_use]
    pub fn options(&self) -> StreamOptions {
        self.0.log.read().options
    }

    /// What the user of the store keeps with the stream.
    #[must_use]
    pub fn metadata(&self) -> Arc<[u8]> {
        Arc::clone(&self.0.metadata.lock())
    }

    /// Changes settings and metadata together; they are on disk when this returns. New limits apply at once.
    /// `storage` stays as it was.
    ///
    /// # Errors
    /// The disk; then everything is as before.
    pub fn update(&self, options: StreamOptions, metadata: &[u8]) -> Result<Purged, StoreError> {
        // Held throughout: two updates must not write their manifests in one order and take effect in the other.
        let mut current = self.0.metadata.lock();
        let options = StreamOptions { storage: self.options().storage, ..options };
        if let Some(home) = &self.0.home {
            let manifest =
                Manifest { id: home.id, name: self.0.name.clone(), options, metadata: metadata.to_vec() };
            manifest.write(&*home.disk, &home.dir, home.keys.as_ref())?;
        }
        *current = metadata.into();
        let mut log = self.0.log.write();
        log.options = options;
        log.index.limits = options.limits;
        let mut removals = Removals::default();
        log.index.enforce_all(&mut removals);
        Ok(self.removed(&mut log, &removals)?)
    }

    /// Changes the limits alone, see [`Stream::update`].
    ///
    /// # Errors
    /// The disk; then everything is as before.
    pub fn set_limits(&self, limits: Limits) -> Result<Purged, StoreError> {
        let options = StreamOptions { limits, ..self.options() };
        self.update(options, &self.metadata())
    }

    /// Who is told about commits from now on.
    pub fn set_listener(&self, listener: Arc<dyn Listener>) {
        *self.0.listener.write() = Some(listener);
    }

    /// How far it is committed. In memory, everything always is.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.0.log.read().committed
    }

    /// Up to which position changes are committed, for who waits for single ones: not beyond what was taken back because
    /// writing failed, as long as nothing after it is committed.
    #[must_use]
    pub fn durable(&self) -> u64 {
        let position = self.committed().position;
        match self.taken_back() {
            Some((from, upto)) if position <= upto + 1 => position.min(from),
            _ => position,
        }
    }

    /// The changes that were taken back when writing last failed: above the first position, up to the second.
    #[must_use]
    pub fn taken_back(&self) -> Option<(u64, u64)> {
        self.0.done.lock().failed.back().map(|(from, upto, _)| (*from, *upto))
    }

    /// What became of a change. Unlike [`Stream::durable`] it is right about every failure that is remembered, also
    /// after the stream went on.
    #[must_use]
    pub fn fate(&self, position: u64) -> Fate {
        if self.0.home.is_none() {
            return Fate::Committed;
        }
        let done = self.0.done.lock();
        match done.failed(position) {
            Some(why) => Fate::TakenBack(why),
            None if position <= done.committed.position => Fate::Committed,
            None => Fate::Waits,
        }
    }

    /// Waits until everything changed so far is committed. What failed before the call is not told: use
    /// [`Stream::wait_for`] for that. For tests and imports, not for async code.
    ///
    /// # Errors
    /// Why the stream takes no writes; what was changed last is taken back.
    pub fn wait(&self) -> Result<Committed, Stopped> {
        let position = self.0.log.read().position;
        self.wait_for(position)
    }

    /// Waits until the change that has this position is committed. For tests and imports, not for async code.
    ///
    /// # Errors
    /// Why it failed; it is taken back.
    pub fn wait_for(&self, position: u64) -> Result<Committed, Stopped> {
        let mut done = self.0.done.lock();
        loop {
            if let Some(why) = done.failed(position) {
                return Err(why);
            }
            if done.committed.position >= position || self.0.home.is_none() {
                return Ok(done.committed);
            }
            self.0.waiters.wait(&mut done);
        }
    }

    /// Why it takes no writes at the moment, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.log.read().stopped.clone()
    }

    /// Takes no more writes; those who wait are told.
    pub(crate) fn close(&self) {
        let why = Stopped::Closed { stream: self.0.name.clone() };
        let last = {
            let mut log = self.0.log.write();
            log.stopped = Some(why.clone());
            log.position
        };
        let mut done = self.0.done.lock();
        let from = done.committed.position;
        if from < last {
            done.fail(from, last, why);
        }
        self.0.waiters.notify_all();
    }
}

impl Done {
    /// Why a change was taken back, if it was.
    fn failed(&self, position: u64) -> Option<Stopped> {
        let failed = self.failed.iter().find(|(from, upto, _)| *from < position && position <= *upto);
        failed.map(|(_, _, why)| why.clone())
    }

    pub(crate) fn fail(&mut self, from: u64, upto: u64, why: Stopped) {
        if self.failed.len() >= FAILURES {
            self.failed.pop_front();
        }
        self.failed.push_back((from, upto, why));
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.0.name).finish_non_exhaustive()
    }
}
