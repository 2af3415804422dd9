//! Committing: what gathered since the last time is written and synced in one go, then told.
//!
//! Done by the store's commit thread. The stream's lock is held to take what is to be written and to note that it is,
//! not in between. Files are written one after the other, each synced before the next is begun: a segment that is
//! there says that the one before it is complete.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::compact::Plan;
use super::log::{Erasure, Log};
use super::{Committed, Home, Inner, Stream};
use crate::data::Data;
use crate::error::Stopped;
use crate::index::Segment;
use crate::options::Sync;
use crate::record::{HEADER, Head, erased};
use crate::segment::{Content, SegmentFile};
use crate::snapshot;
use crate::tail::TailCache;

/// Bytes to be written to one file.
struct Job {
    file: Arc<SegmentFile>,
    at: u64,
    bytes: Bytes,
}

/// What one commit covers.
#[derive(Default)]
struct Round {
    jobs: Vec<Job>,
    upto: Committed,
    sync: bool,
    erasures: Vec<Erasure>,
    /// Files of saved states that another has replaced.
    old_states: Vec<(PathBuf, u64)>,
    /// The index as it is when this is written, if a snapshot is due.
    snapshot: Option<Vec<u8>>,
    compaction: Option<Plan>,
    /// The last of the segments at the front in which nothing is alive.
    dead: Option<u64>,
}

impl Stream {
    /// Commits what is waiting; whether there is more to sync later.
    pub(crate) fn commit(&self) -> bool {
        let Some(mut round) = self.gather() else { return false };
        if let Err((error, file)) = self.write_all(&round) {
            self.0.log.write().states.old.extend(round.old_states);
            self.fail(error, file);
            return false;
        }
        let dead = self.landed(&round);
        self.0.tell(|listener| listener.committed(round.upto));
        let unsynced = !round.sync;
        let (snapshot, compaction) = (round.snapshot.take(), round.compaction.take());
        if !dead.is_empty()
            || snapshot.is_some()
            || compaction.is_some()
            || !round.old_states.is_empty()
            || !round.erasures.is_empty()
        {
            if unsynced && self.sync().is_err() {
                return false;
            }
            self.discard_in_order(dead.iter().map(|file| file.path.clone()));
            round.old_states.iter().for_each(|(path, _)| self.discard(path));
            self.erase(&round.erasures);
        }
        if let Some(bytes) = snapshot {
            self.write_snapshot(bytes);
        } else if let Some(plan) = compaction {
            self.in_background("store-compact", move |stream| stream.compact(plan));
        }
        unsynced && matches!(self.options().sync, Sync::Interval(_))
    }

    /// Commits the files that a stopped stream is to go on in; whether that worked. What else there is to do, such as
    /// overwriting what was deleted, waits until the stream goes on.
    pub(crate) fn commit_new_files(&self) -> bool {
        let round = Round { sync: true, ..self.0.log.write().take_waiting(self.0.home.as_ref()) };
        match self.write_all(&round) {
            Ok(()) => {
                self.landed(&round);
                round.old_states.iter().for_each(|(path, _)| self.discard(path));
                true
            }
            Err((error, file)) => {
                self.0.log.write().states.old.extend(round.old_states);
                self.fail(error, file);
                false
            }
        }
    }

    fn write_all(&self, round: &Round) -> Result<(), (io::Error, PathBuf)> {
        round.jobs.iter().try_for_each(|job| self.write(job, round.sync))
    }

    /// Takes what is waiting, and what is to be done once it is written.
    fn gather(&self) -> Option<Round> {
        let mut log = self.0.log.write();
        log.queued = false;
        if log.stopped.is_some() {
            return None;
        }
        let mut round = log.take_waiting(self.0.home.as_ref());
        round.erasures = std::mem::take(&mut log.erasures);
        let others = log.index.segments.len().saturating_sub(1);
        let dead = log.index.segments.iter().take(others).take_while(|segment| segment.index.live() == 0);
        // A compaction must have removed the files it replaced before the new one may go: else they would come back.
        round.dead = dead.last().map(|segment| segment.id).filter(|_| !self.is_in_background());
        let idle = round.erasures.is_empty() && !self.is_in_background();
        let keys = self.0.home.as_ref().and_then(|home| home.keys.as_ref());
        // What goes at the front must not come back in a compacted file.
        if idle && round.dead.is_none() {
            round.compaction = log.plan_compaction(self.0.store.compact_percent, keys);
        }
        if idle && round.compaction.is_none() {
            let every = self.0.store.snapshot_every.max(4 * log.snapshot_bytes);
            round.snapshot = log.snapshot(every);
        }
        Some(round)
    }

    fn write(&self, job: &Job, sync: bool) -> Result<(), (io::Error, PathBuf)> {
        let Some(home) = &self.0.home else { return Ok(()) };
        let failed = |error| (error, job.file.path.clone());
        let is_new = job.file.file().is_none();
        if is_new {
            job.file.created(home.disk.create(&job.file.path).map_err(failed)?);
        }
        let Some(file) = job.file.file() else { return Ok(()) };
        if sync && !is_new {
            job.file.reserve(job.at + job.bytes.len() as u64);
        }
        file.write_at(&job.bytes, job.at).map_err(failed)?;
        if sync {
            home.committer.clock.time(|| file.sync()).map_err(failed)?;
        } else {
            let mut unsynced = self.0.unsynced.lock();
            if !unsynced.iter().any(|known| Arc::ptr_eq(known, &job.file)) {
                unsynced.push(Arc::clone(&job.file));
            }
        }
        if is_new {
            home.disk.sync_dir(&home.dir).map_err(failed)?;
        }
        Ok(())
    }

    /// Notes that the round is written; which segments can go now.
    fn landed(&self, round: &Round) -> Vec<Arc<SegmentFile>> {
        let mut log = self.0.log.write();
        let busy = log.index.segments.iter().rev().take_while(|segment| is_busy(segment)).count();
        let first = log.index.segments.len() - busy;
        for segment in log.index.segments.iter_mut().skip(first) {
            if let Data::File(data) = &mut segment.data {
                data.landed();
            }
        }
        if let Some(data) = &mut log.states.data {
            data.landed();
        }
        if let Some(home) = &self.0.home {
            log.keep_tail(&home.tails, round);
        }
        log.committed = round.upto;
        // What died since is not committed as dead yet: it waits for the next round.
        let dead = round.dead.map_or_else(Vec::new, |upto| log.take_dead(upto));
        drop(log);
        self.0.done.lock().committed = round.upto;
        self.0.waiters.notify_all();
        dead
    }

    /// Syncs what was written without a sync.
    pub(crate) fn sync(&self) -> Result<(), ()> {
        let files = std::mem::take(&mut *self.0.unsynced.lock());
        for file in files {
            let (Some(open), Some(home)) = (file.file(), &self.0.home) else { continue };
            if let Err(error) = home.committer.clock.time(|| open.sync()) {
                self.fail(error, file.path.clone());
                return Err(());
            }
        }
        Ok(())
    }

    /// Makes everything durable and takes no more writes. The commit thread has ended.
    pub(crate) fn shut_down(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.commit();
        let synced = self.sync().is_ok();
        self.finish_background();
        if let Some(home) = self.0.home.as_ref().filter(|_| synced) {
            let bytes = {
                let mut log = self.0.log.write();
                if log.stopped.is_none() { log.snapshot(0) } else { None }
            };
            // Without it the next start reads the log.
            bytes.into_iter().for_each(|bytes| drop(snapshot::write(home, bytes)));
        }
        self.close();
    }

    fn write_snapshot(&self, bytes: Vec<u8>) {
        self.in_background("store-snapshot", move |stream| {
            if let Some(home) = &stream.0.home {
                // Without it the next start reads more of the log.
                drop(snapshot::write(home, bytes));
            }
        });
    }

    /// Does what may take long in a thread of its own: commits don't wait for it.
    fn in_background(&self, name: &str, work: impl FnOnce(&Self) + Send + 'static) {
        self.finish_background();
        let stream = self.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&stream));
        *self.0.background.lock() = thread.ok();
    }

    fn is_in_background(&self) -> bool {
        self.0.background.lock().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn finish_background(&self) {
        let thread = self.0.background.lock().take();
        thread.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// Removes segments nobody needs any more, each only when those before it are gone: a segment at the front that
    /// stayed would bring back messages whose removal is written in one that went, and one that a compaction replaced
    /// would come back when what replaced it went. Whether all are gone.
    pub(super) fn discard_in_order(&self, paths: impl Iterator<Item = PathBuf>) -> bool {
        let Some(home) = &self.0.home else { return true };
        let mut doomed = self.0.doomed.lock();
        doomed.extend(paths);
        while let Some(path) = doomed.front() {
            match home.disk.remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return false,
                _gone => drop(doomed.pop_front()),
            }
        }
        true
    }

    /// Removes a file nobody needs any more. Should it stay, the next start removes it.
    fn discard(&self, path: &Path) {
        if let Some(home) = &self.0.home {
            let _stays = home.disk.remove_file(path);
            let _index = home.disk.remove_file(&path.with_extension("idx"));
        }
    }

    /// Overwrites messages whose deletion is committed.
    fn erase(&self, erasures: &[Erasure]) {
        for erasure in erasures {
            let Some(file) = erasure.file.file() else { continue };
            let overwrite = || -> io::Result<()> {
                let mut head = [0; HEADER];
                file.read_at(&mut head, erasure.offset)?;
                let flags = Head::read(&head, 0).map_or(0, |head| head.flags);
                let record = erased(erasure.seq, flags, erasure.length as usize, erasure.file.seed);
                file.write_at(&record, erasure.offset)?;
                file.sync()
            };
            if let Err(error) = overwrite() {
                self.fail(error, erasure.file.path.clone());
                return;
            }
        }
    }
}

fn is_busy(segment: &Segment<Data>) -> bool {
    matches!(&segment.data, Data::File(data) if data.flying.is_some() || !data.pending.is_empty())
}

impl Inner {
    /// Calls the listener, if there is one.
    pub(crate) fn tell(&self, say: impl FnOnce(&dyn super::Listener)) {
        let listener = self.listener.read().clone();
        if let Some(listener) = listener {
            say(&*listener);
        }
    }

    /// What to call an I/O error.
    pub(crate) fn why(&self, error: io::Error, file: PathBuf) -> Stopped {
        let stream = self.name.clone();
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Stopped::DiskFull { stream, file }
        } else {
            Stopped::Io { stream, file, error: Arc::new(error) }
        }
    }
}

impl Log {
    /// Takes what is to be written.
    fn take_waiting(&mut self, home: Option<&Home>) -> Round {
        self.push_made_room(home);
        let old_states = self.states.rewrite_if_due(home);
        let mut jobs = Vec::new();
        let busy = self.index.segments.iter().rev().take_while(|segment| is_busy(segment)).count();
        let first = self.index.segments.len() - busy;
        for segment in self.index.segments.iter_mut().skip(first) {
            let Data::File(data) = &mut segment.data else { continue };
            if let Some((at, bytes)) = data.take() {
                jobs.push(Job { file: Arc::clone(&data.file), at, bytes });
            }
        }
        if let Some(data) = &mut self.states.data
            && let Some((at, bytes)) = data.take()
        {
            jobs.push(Job { file: Arc::clone(&data.file), at, bytes });
        }
        self.since_snapshot += jobs.iter().map(|job| job.bytes.len() as u64).sum::<u64>();
        let upto = Committed { seq: self.index.last_seq, position: self.position };
        Round { jobs, upto, sync: self.options.sync == Sync::Commit, old_states, ..Round::default() }
    }

    /// Keeps what was written for those who read it soon.
    fn keep_tail(&mut self, cache: &TailCache, round: &Round) {
        for job in round.jobs.iter().filter(|job| job.file.header.content == Content::Messages) {
            self.tail.add(cache, &job.file, job.at, &job.bytes);
        }
        if !round.erasures.is_empty() {
            self.tail.forget(cache);
        }
    }

    /// Bytes in files, as far as they are part of the log.
    pub(crate) fn file_bytes(&self) -> u64 {
        let segments: u64 = self.index.segments.iter().map(|segment| segment.data.end()).sum();
        segments + self.states.data.as_ref().map_or(0, crate::data::FileData::end)
    }
}
