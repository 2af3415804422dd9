//! The thread that writes: takes what has gathered, chains it, appends it with one sync.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Shared;
use super::chain::Head;
use super::config::AuditConfig;
use super::event::{Event, Kind};
use super::file::{LogFile, write_head};

/// Events written with one sync at most.
const BATCH: usize = 1_024;

/// How often counts (refusals, drops) are looked at while nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// An event on its way, with the time it happened.
pub(super) struct Queued {
    pub(super) at: OffsetDateTime,
    pub(super) event: Event,
}

impl Queued {
    pub(super) fn now(event: Event) -> Self {
        Self { at: OffsetDateTime::now_utc(), event }
    }
}

/// What the thread is told.
pub(super) enum Order {
    Write(Queued),
    /// Write what is there, then answer.
    Flush(std::sync::mpsc::SyncSender<()>),
    /// Write what is there, then end.
    Stop,
}

pub(super) struct Writer {
    pub(super) log: LogFile,
    pub(super) config: AuditConfig,
    pub(super) head_path: PathBuf,
    pub(super) shared: Arc<Shared>,
    pub(super) announced: Instant,
}

impl Writer {
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut batch: Vec<Queued> = Vec::new();
        let mut flushed = Vec::new();
        let mut ending = false;
        while !ending {
            match orders.recv_timeout(TICK) {
                Ok(first) => {
                    let more = std::iter::once(first).chain(orders.try_iter().take(BATCH - 1));
                    for order in more {
                        match order {
                            Order::Write(queued) => batch.push(queued),
                            Order::Flush(answer) => flushed.push(answer),
                            Order::Stop => ending = true,
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => ending = true,
            }
            let taken = batch.len() as u64;
            self.counts(&mut batch);
            if ending {
                batch.push(Queued::now(Event::new(Kind::Stopped)));
            }
            self.write(&mut batch, ending);
            self.shared.queued.fetch_sub(taken, Ordering::Relaxed);
            for answer in flushed.drain(..) {
                // Whoever asked may have stopped waiting.
                let _gone = answer.try_send(());
            }
            self.announce(ending);
        }
    }

    /// What was counted instead of being queued.
    fn counts(&self, batch: &mut Vec<Queued>) {
        let dropped = self.shared.dropped_unwritten.swap(0, Ordering::AcqRel);
        let dropped = (dropped > 0).then(|| Event::new(Kind::Dropped).with("count", dropped));
        let counted = self.shared.denials().take();
        batch.extend(dropped.into_iter().chain(counted).map(Queued::now));
    }

    /// Writes the batch, or keeps at it until the disk takes it. A process that ends tries once.
    fn write(&mut self, batch: &mut Vec<Queued>, ending: bool) {
        if batch.is_empty() {
            return;
        }
        let mut head = self.log.head;
        let mut lines = String::new();
        batch.iter().for_each(|queued| line(queued, &mut head, &mut lines));
        let mut told = false;
        loop {
            let outcome = self.log.mend().and_then(|()| self.log.append(&lines, head));
            let Err(error) = outcome else { break };
            self.shared.failing.store(true, Ordering::Release);
            if !told {
                tracing::error!(%error, waiting = batch.len(), "audit log can't be written, it is tried again");
                told = true;
            }
            if ending || self.shared.stopping.load(Ordering::Acquire) {
                tracing::error!(lost = batch.len(), "audit events are lost: the process ends");
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        if self.shared.failing.swap(false, Ordering::AcqRel) {
            tracing::info!("audit log is written again");
        }
        self.shared.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.shared.sequence.store(head.seq, Ordering::Relaxed);
        batch.clear();
        if let Err(error) = write_head(&self.head_path, head) {
            tracing::warn!(%error, "the audit log's head can't be written");
        }
        if let Err(error) = self.log.rotate(self.config.max_file.as_u64(), self.config.keep) {
            tracing::warn!(%error, "the audit log can't be put aside");
        }
    }

    /// Tells the ordinary log where the chain has got to.
    fn announce(&mut self, ending: bool) {
        let every = self.config.announce_head.duration();
        let due = !every.is_zero() && (ending || self.announced.elapsed() >= every);
        if due && self.log.head != Head::START {
            self.announced = Instant::now();
            tracing::info!(seq = self.log.head.seq, hash = %self.log.head.hash, "audit log head");
        }
    }
}

/// One event as a line.
pub(super) fn line(queued: &Queued, head: &mut Head, out: &mut String) {
    // A time within the years there are can be formatted.
    let time = Value::from(queued.at.format(&Rfc3339).unwrap_or_default());
    let kind = Value::from(queued.event.kind.name());
    let own = [("time", &time), ("event", &kind)];
    let reserved = |name: &str| ["seq", "time", "event", "prev", "hash"].contains(&name);
    let members = queued.event.members.iter().map(|(name, value)| (name.as_str(), value));
    head.append(own.into_iter().chain(members.filter(|(name, _)| !reserved(name))), out);
}
