//! A stream: the handle its users hold, and what is behind it.

mod append;
mod query;
mod read;
mod remove;
mod states;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::data::Data;
use crate::error::{ReadError, Stopped, StoreError};
use crate::index::Index;
use crate::options::{Limits, StoreOptions, StreamOptions};

pub use append::{Append, Appended};
pub use query::{Point, State, SubjectCount, TooMany};
pub use read::Scan;
pub use remove::{Erase, Expired, Purge, Purged};
pub use states::SavedState;

/// How far a stream is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// All messages up to this sequence are as durable as the stream's [`Sync`](crate::Sync) demands.
    pub seq: u64,
    /// All changes up to this position are. Appends, removals and saved states all take positions; see
    /// [`Appended::position`].
    pub position: u64,
}

/// Told about the fate of what was appended. Called by the store's commit thread, one call for everything a sync
/// covered. What it does delays the next commit of all streams, so it should hand on, not work. It may call the
/// stream.
pub trait Listener: Send + Sync {
    /// Everything up to here is committed.
    fn committed(&self, upto: Committed);

    /// Writing failed. Nothing after `last` is stored; sequences after `last.seq` will be used again. The stream takes
    /// no writes until [`Listener::resumed`].
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
}

/// What the lock of a stream protects.
pub(crate) struct Log {
    pub(crate) options: StreamOptions,
    pub(crate) index: Index<Data>,
    pub(crate) states: states::States,
    /// Changes so far.
    pub(crate) position: u64,
    pub(crate) committed: Committed,
    pub(crate) stopped: Option<Stopped>,
    /// Time of the message at `index.first_seq`, once somebody asked.
    pub(crate) first_time: Option<(u64, u64)>,
}

impl Stream {
    pub(crate) fn in_memory(
        name: &str,
        options: StreamOptions,
        metadata: &[u8],
        store: StoreOptions,
    ) -> Self {
        let log = Log {
            options,
            index: Index::new(options.storage, options.limits),
            states: states::States::default(),
            position: 0,
            committed: Committed::default(),
            stopped: None,
            first_time: None,
        };
        Self(Arc::new(Inner {
            name: name.to_owned(),
            store,
            log: RwLock::new(log),
            metadata: Mutex::new(metadata.into()),
            listener: RwLock::new(None),
        }))
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
        *self.0.metadata.lock() = metadata.into();
        let mut log = self.0.log.write();
        log.options = StreamOptions { storage: log.options.storage, ..options };
        Ok(self.apply_limits(&mut log, options.limits))
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

    /// Waits until everything appended so far is committed. For tests and imports, not for async code.
    ///
    /// # Errors
    /// Why the stream takes no writes.
    pub fn wait(&self) -> Result<Committed, Stopped> {
        Ok(self.committed())
    }

    /// Why it takes no writes at the moment, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.log.read().stopped.clone()
    }

    pub(crate) fn close(&self) {
        let mut log = self.0.log.write();
        log.stopped = Some(Stopped::Closed { stream: self.0.name.clone() });
    }

    /// Notes a change; in memory it is committed at once.
    pub(crate) fn changed(log: &mut Log) -> u64 {
        log.position += 1;
        log.committed = Committed { seq: log.index.last_seq, position: log.position };
        log.position
    }

    pub(crate) fn damaged(&self, seq: u64) -> ReadError {
        ReadError::Damaged { seq, file: self.0.name.clone().into(), offset: 0 }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.0.name).finish_non_exhaustive()
    }
}
