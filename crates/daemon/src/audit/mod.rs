//! The audit log: one line per decision about who may do what, in a chain that shows any line removed or altered.
//!
//! [`Audit::record`] puts an event in a bounded queue and returns; a thread of its own writes and syncs. What happens
//! when the disk can't keep up is configured ([`OnFull`]). Refusals above a rate are counted, so that an attack does
//! not fill the disk. [`verify`] finds out whether a log is whole.
//!
//! Written down is who, from where, by whose word, and what was decided: never a token, a password or a key.

mod chain;
mod config;
mod denials;
mod event;
mod file;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::denials::Denials;
use self::file::LogFile;
use self::writer::{Order, Queued, Writer};
use crate::metrics::{Metrics, SampleKind};

pub use self::chain::{Hash, Head};
pub use self::config::{AuditConfig, OnFull, head_beside};
pub use self::event::{Event, Kind, MAX_MEMBERS, MAX_TEXT};
pub use self::verify::{Verified, VerifyError, verify};

/// How long the end of the process waits for what is queued.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Why an audit log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file can't be opened, or is not the log it should be.
    #[error("audit log {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("audit thread: {0}")]
    Thread(#[source] io::Error),
}

/// An event could not be taken, and the configuration says to refuse what it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log can't keep up")]
pub struct AuditFull;

/// Where events go. Clones share one log; without a file, events go nowhere.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Handle>>);

#[derive(Debug)]
struct Handle {
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
    on_full: OnFull,
    started: Instant,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    denials: Mutex<Denials>,
    /// Events dropped since this was last written down.
    dropped_unwritten: AtomicU64,
    /// Events dropped in all.
    dropped: AtomicU64,
    written: AtomicU64,
    queued: AtomicU64,
    sequence: AtomicU64,
    /// The disk does not take what is written.
    failing: AtomicBool,
    /// The process ends: the disk is tried once more, not for ever.
    stopping: AtomicBool,
}

impl Shared {
    fn denials(&self) -> MutexGuard<'_, Denials> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit {
    /// A log that goes nowhere.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Opens the log and starts its thread; without a `file`, [`Audit::none`]. The chain goes on where it ended.
    /// `program` is written down with the start.
    ///
    /// # Errors
    /// The file can't be opened, or its end is not that of an audit log: then somebody has to look at it.
    pub fn open(config: &AuditConfig, program: &str) -> Result<Self, AuditError> {
        let Some(path) = &config.file else { return Ok(Self::none()) };
        let failed = |source| AuditError::File { path: path.clone(), source };
        let (log, damage) = LogFile::open(path).map_err(failed)?;
        let head_path = config.head_path(path);
        let recorded = file::read_head(&head_path).map_err(failed)?;
        let shared = Arc::new(Shared {
            denials: Mutex::new(Denials::new(config.denials_per_second)),
            dropped_unwritten: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            written: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            sequence: AtomicU64::new(log.head.seq),
            failing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let (orders, taken) = sync_channel(config.queue.max(1));
        let head = log.head;
        let writer = Writer {
            log,
            config: config.clone(),
            head_path,
            shared: Arc::clone(&shared),
            announced: Instant::now(),
        };
        let builder = thread::Builder::new().name("audit".to_owned());
        let thread = builder.spawn(move || writer.run(&taken)).map_err(AuditError::Thread)?;
        let handle = Handle {
            orders,
            shared,
            on_full: config.on_full,
            started: Instant::now(),
            thread: Mutex::new(Some(thread)),
        };
        let audit = Self(Some(Arc::new(handle)));
        audit.note(Event::new(Kind::Started).with("program", program).with("pid", std::process::id()));
        audit.tell_damage(&damage, head, recorded);
        Ok(audit)
    }

    /// Writes down what was wrong with the log when it was opened.
    fn tell_damage(&self, damage: &file::Damage, head: Head, recorded: Option<Head>) {
        if damage.torn > 0 {
            let kept = damage.kept_in.as_ref().map(|path| path.display().to_string());
            tracing::warn!(bytes = damage.torn, "the audit log's last line was not complete");
            let event = Event::new(Kind::Recovered).reason("torn_line").with("bytes", damage.torn);
            self.note(event.with_some("kept_in", kept));
        }
        let Some(recorded) = recorded else { return };
        let differs = recorded.seq == head.seq && recorded.hash != head.hash;
        if recorded.seq > head.seq || differs {
            tracing::error!(
                head = recorded.seq,
                last = head.seq,
                "the audit log does not reach its recorded head: lines are missing or were exchanged"
            );
            let event = Event::new(Kind::Recovered).reason("head_missing").with("head_seq", recorded.seq);
            self.note(event.with("head_hash", recorded.hash.to_string()).with("last_seq", head.seq));
        }
    }

    /// Whether anything is written.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Takes down an event without waiting. Refusals above the configured rate are counted instead.
    ///
    /// # Errors
    /// [`AuditFull`] when the event could not be taken, or the disk takes nothing, and the configuration says to
    /// refuse then: whoever asks must not let happen what the event is about.
    pub fn record(&self, event: Event) -> Result<(), AuditFull> {
        let Some(handle) = &self.0 else { return Ok(()) };
        handle.record(event)
    }

    /// Takes down what has happened already and can't be refused. What can't be taken is counted.
    pub fn note(&self, event: Event) {
        if let Some(handle) = &self.0
            && !handle.counts(&event)
            && handle.queue(event).is_err()
        {
            handle.drop_one();
        }
    }

    /// Waits until everything recorded before is on the disk; `false` when that took longer than `patience`.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(handle) = &self.0 else { return true };
        let (answer, answered) = sync_channel(1);
        let end = Instant::now() + patience;
        let mut order = Order::Flush(answer);
        loop {
            match handle.orders.try_send(order) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < end => {
                    order = back;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return false,
            }
        }
        answered.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
    }

    /// Writes what is queued and ends the thread; for the end of the process. Events recorded later are counted as
    /// dropped.
    pub fn close(&self) {
        let Some(handle) = &self.0 else { return };
        let Some(thread) = handle.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let flushed = self.flush(STOP_WITHIN);
        handle.shared.stopping.store(true, Ordering::Release);
        // A full queue means the thread hangs on the disk; then it is left behind.
        if flushed && handle.orders.try_send(Order::Stop).is_ok() {
            drop(thread.join());
        }
    }

    /// Its figures.
    pub fn register(&self, metrics: &Metrics) {
        let Some(handle) = &self.0 else { return };
        type Figure = (&'static str, &'static str, SampleKind, fn(&Shared) -> u64);
        const FIGURES: [Figure; 5] = [
            ("audit_written", "Audit lines written.", SampleKind::Counter, |s| {
                s.written.load(Ordering::Relaxed)
            }),
            ("audit_dropped", "Audit events that could not be taken.", SampleKind::Counter, |s| {
                s.dropped.load(Ordering::Relaxed)
            }),
            ("audit_sequence", "Number of the last audit line.", SampleKind::Gauge, |s| {
                s.sequence.load(Ordering::Relaxed)
            }),
            ("audit_queued", "Audit events not yet written.", SampleKind::Gauge, |s| {
                s.queued.load(Ordering::Relaxed)
            }),
            ("audit_failing", "1 while the audit log can't be written.", SampleKind::Gauge, |s| {
                u64::from(s.failing.load(Ordering::Relaxed))
            }),
        ];
        for (name, help, kind, figure) in FIGURES {
            let shared = Arc::clone(&handle.shared);
            #[allow(clippy::cast_precision_loss)]
            metrics.register_value(name, help, kind, move || figure(&shared) as f64);
        }
    }
}

impl Handle {
    fn record(&self, event: Event) -> Result<(), AuditFull> {
        if self.counts(&event) {
            return Ok(());
        }
        let refuse = self.on_full == OnFull::Refuse;
        // With a failing disk the queue would only fill up with what was let in without a record.
        if refuse && self.shared.failing.load(Ordering::Acquire) {
            self.drop_one();
            return Err(AuditFull);
        }
        match self.queue(event) {
            Ok(()) => Ok(()),
            Err(AuditFull) => {
                self.drop_one();
                if refuse { Err(AuditFull) } else { Ok(()) }
            }
        }
    }

    /// Whether the event is a refusal above the rate: then it has been counted, and that is all.
    fn counts(&self, event: &Event) -> bool {
        let refusal = matches!(event.kind, Kind::Denied | Kind::RenewalDenied | Kind::AdminDenied);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        refusal && !self.shared.denials().admits(event, now)
    }

    fn queue(&self, event: Event) -> Result<(), AuditFull> {
        // Counted before it is sent: the thread takes it off again when it is written.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        self.orders.try_send(Order::Write(Queued::now(event))).map_err(|_| {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            AuditFull
        })
    }

    fn drop_one(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        self.shared.dropped_unwritten.fetch_add(1, Ordering::AcqRel);
    }
}
