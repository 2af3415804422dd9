//! The commit thread: one a store. It writes and syncs what gathers in the streams, and while it does, more gathers;
//! so the cost of a sync is shared by all who wait for it, and one who waits alone waits for one sync.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::options::Sync;
use crate::stream::Stream;
use crate::synced::SyncClock;

/// The queue of streams that have something to write, and the thread that works it off.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) clock: SyncClock,
}

#[derive(Debug, Default)]
struct Queue {
    streams: Vec<Stream>,
    stop: bool,
}

/// What the thread has to do at a later time.
#[derive(Default)]
struct Later {
    syncs: Vec<(Instant, Stream)>,
    retries: Vec<(Instant, Stream)>,
}

impl Committer {
    /// Starts the thread.
    pub(crate) fn start(retry_after: Duration) -> std::io::Result<Arc<Self>> {
        let committer = Arc::new(Self::default());
        let own = Arc::clone(&committer);
        let run = move || own.run(retry_after);
        let thread = std::thread::Builder::new().name("store-commit".into()).spawn(run)?;
        *committer.thread.lock() = Some(thread);
        Ok(committer)
    }

    /// There is something to write in a stream.
    pub(crate) fn push(&self, stream: Stream) {
        let mut queue = self.queue.lock();
        queue.streams.push(stream);
        if queue.streams.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// Lets the thread finish what is queued, and waits for its end.
    pub(crate) fn stop(&self) {
        self.queue.lock().stop = true;
        self.wake.notify_one();
        let thread = self.thread.lock().take();
        // The last handle of a store may be dropped by the thread itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _panicked = thread.join();
        }
    }

    fn run(&self, retry_after: Duration) {
        let mut later = Later::default();
        while let Some(streams) = self.wait(later.next()) {
            for stream in streams {
                let sync_later = stream.commit();
                if let (true, Sync::Interval(interval)) = (sync_later, stream.options().sync) {
                    add(&mut later.syncs, stream.clone(), interval);
                }
                if stream.can_resume() {
                    add(&mut later.retries, stream, retry_after);
                }
            }
            let now = Instant::now();
            for stream in due(&mut later.syncs, now) {
                if stream.sync().is_err() {
                    add(&mut later.retries, stream, retry_after);
                }
            }
            for stream in due(&mut later.retries, now) {
                if !stream.resume() && stream.can_resume() {
                    add(&mut later.retries, stream, retry_after);
                }
            }
        }
    }

    /// The streams that have something to write; empty at `until`, `None` when it is time to end.
    fn wait(&self, until: Option<Instant>) -> Option<Vec<Stream>> {
        let mut queue = self.queue.lock();
        while queue.streams.is_empty() && !queue.stop {
            match until {
                Some(until) if self.wake.wait_until(&mut queue, until).timed_out() => return Some(Vec::new()),
                Some(_) => {}
                None => self.wake.wait(&mut queue),
            }
        }
        if queue.streams.is_empty() { None } else { Some(std::mem::take(&mut queue.streams)) }
    }
}

impl Later {
    fn next(&self) -> Option<Instant> {
        self.syncs.iter().chain(&self.retries).map(|(at, _)| *at).min()
    }
}

fn add(list: &mut Vec<(Instant, Stream)>, stream: Stream, after: Duration) {
    if !list.iter().any(|(_, known)| known.is(&stream)) {
        list.push((Instant::now() + after, stream));
    }
}

fn due(list: &mut Vec<(Instant, Stream)>, now: Instant) -> Vec<Stream> {
    let (due, rest) = std::mem::take(list).into_iter().partition(|(at, _)| *at <= now);
    *list = rest;
    let due: Vec<_> = due;
    due.into_iter().map(|(_, stream)| stream).collect()
}
