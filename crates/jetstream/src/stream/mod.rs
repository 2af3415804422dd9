//! One stream: its configuration, its log, what comes in and what goes out.

mod acks;
mod batch;
mod check;
mod copied;
mod counter;
mod cron;
mod decimal;
mod dedupe;
mod expiry;
mod fast;
pub(crate) mod headers;
pub(crate) mod hooks;
pub(crate) mod info;
mod ingest;
mod open;
pub(crate) mod republish;
mod retain;
mod schedule;
mod settle;
mod ttl;
mod usage;
mod zone;
pub(crate) use ttl::expires;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use broker::HandlerPort;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

pub(crate) use acks::Due;
pub use hooks::{Cleared, Consumers};
pub(crate) use ingest::Ingest;
pub(crate) use open::NewStream;

use crate::account::Account;
use crate::advisory::Abandoned;
use crate::config::{StreamConfig, SubjectMapping};
use crate::stamp::Stamp;

/// A stream.
pub struct Stream {
    /// Its name.
    pub name: Arc<str>,
    /// Its log. Consumers read it up to [`Stream::readable`].
    pub log: store::Stream,
    /// When it was created.
    pub created: Stamp,
    pub(crate) account: Weak<Account>,
    config: RwLock<Arc<StreamConfig>>,
    mappings: RwLock<Mappings>,
    consumers: OnceLock<Arc<dyn Consumers>>,
    /// Where its subjects are subscribed to.
    pub(crate) port: HandlerPort,
    acks: acks::AckWriter,
    pub(crate) ingest: Mutex<Ingest>,
    pub(crate) schedules: Mutex<schedule::Schedules>,
    closed: AtomicBool,
    /// Messages were stored that consumers have not been told of.
    news: AtomicBool,
    /// Messages made room for others, and consumers have not been told.
    went: AtomicBool,
    /// It waits in the hub's queue of streams with something committed.
    queued: AtomicBool,
    /// What the store took back and those who wait have not been told.
    failures: settle::Failures,
    /// Held while acknowledgements are sent: they leave in the order of their messages.
    sending: Mutex<()>,
    /// When to look for what has expired, ns since 1970; `i64::MAX` for never.
    expiry: AtomicI64,
    /// Bytes of it that are counted in the account's usage.
    counted: usage::Counted,
    /// Mirror and sources: what is known of the origins.
    pub(crate) copies: Mutex<Vec<crate::copy::State>>,
    /// Wakes the task that copies; wakes those that copy from here.
    wake: Arc<tokio::sync::Notify>,
    copying: AtomicBool,
    copied_by: Mutex<Vec<Arc<tokio::sync::Notify>>>,
}

/// Compiled from the configuration.
#[derive(Debug, Default)]
struct Mappings {
    transform: Option<SubjectMapping>,
    republish: Option<SubjectMapping>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Stream {
    /// Its configuration as it is now.
    #[must_use]
    pub fn config(&self) -> Arc<StreamConfig> {
        self.config.read().clone()
    }

    /// Its consumers.
    #[must_use]
    pub fn consumers(&self) -> Option<&Arc<dyn Consumers>> {
        self.consumers.get()
    }

    /// The account it is in; `None` while everything ends.
    #[must_use]
    pub fn account(&self) -> Option<Arc<Account>> {
        self.account.upgrade()
    }

    /// The last sequence that may be shown to consumers: everything up to it is as durable as the stream promises.
    #[must_use]
    pub fn readable(&self) -> u64 {
        self.log.committed().seq
    }

    /// Whether it takes and gives no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The time of the clock on the wall.
    pub(crate) fn now(&self) -> Stamp {
        Stamp::of(std::time::SystemTime::now())
    }

    fn transform(&self) -> parking_lot::MappedRwLockReadGuard<'_, Option<SubjectMapping>> {
        RwLockReadGuard::map(self.mappings.read(), |mappings| &mappings.transform)
    }

    fn republishing(&self) -> parking_lot::MappedRwLockReadGuard<'_, Option<SubjectMapping>> {
        RwLockReadGuard::map(self.mappings.read(), |mappings| &mappings.republish)
    }

    /// Messages were stored. If they are safe already, consumers may have them when the read batch is done.
    fn has_news(&self, durable: bool) {
        if durable {
            self.news.store(true, Ordering::Release);
        }
    }

    /// Messages made room for others: consumers count anew when the read batch is done.
    fn made_room(&self) {
        self.went.store(true, Ordering::Release);
    }

    /// Tells consumers up to where they may read, and that messages went.
    pub(crate) fn tell_consumers(&self) {
        if self.went.load(Ordering::Acquire) && self.went.swap(false, Ordering::AcqRel) {
            self.messages_went();
        }
        if !self.news.load(Ordering::Acquire) || !self.news.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Some(consumers) = self.consumers.get() {
            consumers.stored(self.readable());
        }
        self.wake_copies();
    }

    /// Messages went: consumers count anew.
    pub(crate) fn messages_went(&self) {
        if let Some(consumers) = self.consumers.get() {
            consumers.removed();
        }
    }

    fn settings<T>(&self, get: impl FnOnce(&crate::Settings) -> T) -> Option<T> {
        Some(get(&self.account()?.hub()?.settings))
    }

    fn max_message_ids(&self) -> usize {
        self.settings(|settings| settings.max_message_ids).unwrap_or(1)
    }

    fn max_batch_size(&self) -> usize {
        self.settings(|settings| settings.max_batch_size).unwrap_or(1)
    }

    /// Whether one more batch may be opened beside `open` others of this stream; it is counted then.
    fn may_open_batch(&self, open: usize) -> bool {
        let Some(hub) = self.account().and_then(|account| account.hub()) else { return false };
        let (of_stream, of_all) = hub.settings.max_batches;
        !self.is_closed() && open < of_stream && batch::count_one(&hub.totals.batches, of_all)
    }

    fn batch_closed(&self, count: usize) {
        if let Some(hub) = self.account().and_then(|account| account.hub()) {
            hub.totals.batches.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Gives up every open batch: the stream is going.
    fn abandon_batches(&self) {
        let (batches, fast) = {
            let mut ingest = self.ingest.lock();
            (ingest.batches.clear(), ingest.fast.clear())
        };
        self.batch_closed(batches);
        self.fast_batches_closed(fast);
    }

    fn batch_abandoned(&self, batch: &str, why: Abandoned) {
        if let Some(account) = self.account() {
            account.advise_batch(&self.name, batch, why);
        }
    }
}
