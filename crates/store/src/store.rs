//! A store: all streams of one directory, and those in memory.
//!
//! The directory holds `LOCK`, which the process that has it open keeps locked and which names it, and `streams/` with
//! a directory for each stream. A stream is there when its directory has its final name: it is created and removed by
//! a rename.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::commit::Committer;
use crate::disk::{Disk, RealDisk};
use crate::error::StoreError;
use crate::manifest::Manifest;
use crate::options::{Storage, StoreOptions, StreamOptions};
use crate::problem::{Problem, Problems, Severity};
use crate::recover::{QUARANTINE, Recovery};
use crate::stream::{Home, Log, Stream};
use crate::synced::SyncTimes;
use crate::tail::TailCache;

/// What a directory is called while a stream comes or goes.
const NEW: &str = ".store-creating";
const GONE: &str = ".store-removed";

/// All streams of one directory, and those in memory. A cheap handle: clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    options: StoreOptions,
    streams: Mutex<BTreeMap<String, Stream>>,
    problems: Arc<Problems>,
    place: Option<Place>,
}

/// Where a store is.
struct Place {
    disk: Arc<dyn Disk>,
    streams: PathBuf,
    committer: Arc<Committer>,
    tails: Arc<TailCache>,
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

/// Bytes the streams of a store take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// On disk.
    pub file: u64,
    /// In memory, by messages of memory streams and by indexes.
    pub memory: u64,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |error| StoreError::Io { path, error }
}

/// Takes a store's directory for this process.
pub(crate) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Any + Send + Sync>, StoreError> {
    let path = dir.join("LOCK");
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            StoreError::Locked { dir: dir.into(), pid: error.to_string().trim().parse().ok() }
        }
        _ => StoreError::Io { path, error },
    })
}

impl Store {
    /// Opens the store in a directory, which is created if need be, with all streams in it. One process at a time
    /// can have it open. A stream that can't be opened is left alone and listed among the [problems](Self::problems);
    /// the others serve.
    ///
    /// # Errors
    /// Another process has it, or the directory can't be used.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(io_error(dir))?;
        Self::open_on(Arc::new(RealDisk), dir, options)
    }

    /// [`Store::open`] on a given disk, where the directory's parent exists.
    ///
    /// # Errors
    /// Another process has it, or the directory can't be used.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        disk.create_dir(dir).map_err(io_error(dir))?;
        let lock = lock(&*disk, dir)?;
        let streams = dir.join("streams");
        disk.create_dir(&streams).map_err(io_error(&streams))?;
        disk.sync_dir(dir).map_err(io_error(dir))?;
        let committer = Committer::start(options.retry_after).map_err(io_error(dir))?;
        let tails = Arc::new(TailCache::new(options.tail_bytes));
        let place = Place { disk, streams, committer, tails, lock: Mutex::new(Some(lock)) };
        let store = Self(Arc::new(Shared {
            options,
            streams: Mutex::new(BTreeMap::new()),
            problems: Arc::new(Problems::default()),
            place: Some(place),
        }));
        store.0.open_streams()?;
        Ok(store)
    }

    /// A store without a directory, for streams in memory.
    #[must_use]
    pub fn in_memory(options: StoreOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            streams: Mutex::new(BTreeMap::new()),
            problems: Arc::new(Problems::default()),
            place: None,
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
        let home = match options.storage {
            Storage::Memory => None,
            Storage::File => Some(self.0.create_home(name, options, metadata)?),
        };
        let stream = Stream::new(name, Log::new(options), metadata, self.0.options.clone(), home);
        streams.insert(name.to_owned(), stream.clone());
        Ok(stream)
    }

    /// Removes a stream with everything in it, for good, once this returns. Handles of it that are still held answer
    /// with what they had in memory; appends fail.
    ///
    /// # Errors
    /// There is none, or the disk fails; then the stream is still there.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut streams = self.0.streams.lock();
        let stream = streams.get(name).ok_or_else(|| StoreError::Unknown(name.to_owned()))?;
        if let (Some(place), Some(home)) = (&self.0.place, &stream.0.home) {
            let gone = with_suffix(&home.dir, GONE);
            place.disk.rename(&home.dir, &gone).map_err(io_error(&home.dir))?;
            stream.close();
            place.disk.sync_dir(&place.streams).map_err(io_error(&place.streams))?;
            remove_tree(&*place.disk, &gone);
        } else {
            stream.close();
        }
        streams.remove(name);
        self.0.problems.forget(name);
        Ok(())
    }

    /// What is wrong with what is stored: damage found, streams that could not be opened, files that don't belong
    /// here. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.0.problems.list()
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

    /// How long it took to make messages durable.
    #[must_use]
    pub fn sync_times(&self) -> SyncTimes {
        self.0.place.as_ref().map(|place| place.committer.clock.read()).unwrap_or_default()
    }

    /// Commits what is waiting, writes what makes the next start fast, and gives the directory back. Streams that are
    /// still held take no more writes. Dropping the last handle does the same.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn close(&self) {
        let Some(place) = &self.place else { return };
        let Some(lock) = place.lock.lock().take() else { return };
        place.committer.stop();
        for stream in self.streams.lock().values() {
            stream.shut_down();
        }
        drop(lock);
    }

    /// Opens all streams of the directory.
    fn open_streams(&self) -> Result<(), StoreError> {
        let Some(place) = &self.place else { return Ok(()) };
        for name in place.disk.list(&place.streams).map_err(io_error(&place.streams))? {
            let dir = place.streams.join(&name);
            if name.ends_with(GONE) || name.ends_with(NEW) {
                // Its removal was durable, or its creation was not answered.
                remove_tree(&*place.disk, &dir);
                continue;
            }
            if !place.disk.is_dir(&dir) {
                self.report(
                    Severity::Notice,
                    &dir,
                    "this file is not part of the store; it is left alone".into(),
                );
                continue;
            }
            match self.open_stream(place, dir.clone()) {
                Ok(stream) => {
                    self.streams.lock().insert(stream.name().to_owned(), stream);
                }
                Err(error) => {
                    self.report(
                        Severity::Damage,
                        &dir,
                        format!("this stream is left alone and not served: {error}"),
                    );
                }
            }
        }
        Ok(())
    }

    fn report(&self, severity: Severity, path: &Path, what: String) {
        let path = path.to_path_buf();
        self.problems.add(Problem { severity, stream: None, path, offset: None, sequences: None, what });
    }

    fn open_stream(&self, place: &Place, dir: PathBuf) -> Result<Stream, StoreError> {
        let manifest = Manifest::read(&*place.disk, &dir, self.options.keys.as_ref())?;
        if self.streams.lock().contains_key(&manifest.name) {
            return Err(StoreError::Exists(manifest.name));
        }
        let home = self.home(place, dir, manifest.id);
        let log = Recovery::new(&home, &manifest.name, manifest.options, None).run()?;
        Ok(Stream::new(&manifest.name, log, &manifest.metadata, self.options.clone(), Some(home)))
    }

    fn home(&self, place: &Place, dir: PathBuf, id: [u8; 16]) -> Home {
        Home {
            dir,
            disk: Arc::clone(&place.disk),
            id,
            keys: self.options.keys.clone(),
            committer: Arc::clone(&place.committer),
            problems: Arc::clone(&self.problems),
            tails: Arc::clone(&place.tails),
        }
    }

    /// Makes the directory of a new stream.
    fn create_home(&self, name: &str, options: StreamOptions, metadata: &[u8]) -> Result<Home, StoreError> {
        let place = self.place.as_ref().ok_or(StoreError::NoDirectory)?;
        let dir = place.streams.join(dir_name(name));
        if place.disk.is_dir(&dir) {
            // A stream that could not be opened has this name.
            return Err(StoreError::Exists(name.to_owned()));
        }
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| io_error(&dir)(io::Error::other("no randomness")))?;
        let new = with_suffix(&dir, NEW);
        remove_tree(&*place.disk, &new);
        place.disk.create_dir(&new).map_err(io_error(&new))?;
        let manifest = Manifest { id, name: name.to_owned(), options, metadata: metadata.to_vec() };
        manifest.write(&*place.disk, &new, self.options.keys.as_ref())?;
        place.disk.rename(&new, &dir).map_err(io_error(&dir))?;
        place.disk.sync_dir(&place.streams).map_err(io_error(&place.streams))?;
        Ok(self.home(place, dir, id))
    }
}

fn with_suffix(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The directory of a stream: its name where that is plain, percent-encoded elsewhere, cut where it is long.
fn dir_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.len() > 180 {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        out.truncate(140);
        out.push('+');
        digest.as_ref().iter().take(16).for_each(|byte| out.push_str(&format!("{byte:02x}")));
    }
    out
}

/// Removes what is left of a stream. What can't be removed is tried again at the next start.
fn remove_tree(disk: &dyn Disk, dir: &Path) {
    let Ok(names) = disk.list(dir) else { return };
    for name in names {
        let path = dir.join(&name);
        if name == QUARANTINE && disk.is_dir(&path) {
            remove_tree(disk, &path);
        } else {
            let _stays = disk.remove_file(&path);
        }
    }
    let _stays = disk.remove_dir(dir);
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("streams", &self.0.streams.lock().len()).finish_non_exhaustive()
    }
}
