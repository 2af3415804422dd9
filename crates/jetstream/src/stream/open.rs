//! How a stream comes to be, is changed, and goes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::settle::{Failures, Watcher};
use super::{Mappings, Stream, acks, ingest, schedule, usage};
use crate::account::Account;
use crate::config::{self, Discard, PersistMode, Storage, StreamConfig, SubjectMapping};
use crate::errors::{self as e, ApiError};
use crate::hub::Hub;
use crate::stamp::Stamp;

/// What the store keeps with a stream.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// Of this form.
    version: u32,
    account: String,
    /// Nanoseconds since 1970.
    created: i64,
    config: StreamConfig,
}

const VERSION: u32 = 1;

/// What makes a stream.
#[derive(Debug)]
pub(crate) struct NewStream {
    /// A checked configuration with its defaults.
    pub(crate) config: StreamConfig,
    pub(crate) created: Stamp,
}

/// The name of a stream within the store. Stream names have no dots, so it can be taken apart again.
fn store_name(account: &str, stream: &str) -> String {
    format!("{account}.{stream}")
}

fn bound(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

/// The store's settings for a configuration.
fn options(config: &StreamConfig, hub: &Hub) -> Result<store::StreamOptions, ApiError> {
    let mut options = match config.storage {
        Storage::File => store::StreamOptions::file(),
        Storage::Memory => store::StreamOptions::memory(),
    };
    let said = config::sync_of(&config.metadata)?;
    options.sync = match config.persist_mode {
        PersistMode::Async if said.is_none() => store::Sync::None,
        _ => said.unwrap_or(hub.settings.sync),
    };
    options.limits = store::Limits {
        max_messages: bound(config.max_msgs),
        max_bytes: bound(config.max_bytes),
        max_age: bound(config.max_age).map(std::time::Duration::from_nanos),
        max_per_subject: bound(config.max_msgs_per_subject),
        discard: match config.discard {
            Discard::Old => store::Discard::Old,
            Discard::New => store::Discard::New,
        },
        discard_new_per_subject: config.discard_new_per_subject,
    };
    Ok(options)
}

fn saved(account: &str, created: Stamp, config: &StreamConfig) -> Vec<u8> {
    let saved =
        Saved { version: VERSION, account: account.to_owned(), created: created.0, config: config.clone() };
    serde_json::to_vec(&saved).unwrap_or_default()
}

fn mappings(config: &StreamConfig) -> Mappings {
    let compile = |src: &str, dest: &str| SubjectMapping::new(src, dest).ok();
    Mappings {
        transform: config.subject_transform.as_ref().and_then(|pair| compile(&pair.src, &pair.dest)),
        republish: config.republish.as_ref().and_then(|pair| compile(&pair.src, &pair.dest)),
    }
}

impl Stream {
    /// Creates a stream in the store and opens it. Nobody is told yet.
    pub(crate) fn create(
        hub: &Arc<Hub>,
        account: &Arc<Account>,
        new: NewStream,
    ) -> Result<Arc<Self>, ApiError> {
        let options = options(&new.config, hub)?;
        let text = saved(&account.name, new.created, &new.config);
        let log = hub
            .store
            .create(&store_name(&account.name, &new.config.name), options, &text)
            .map_err(|error| e::STREAM_CREATE.with(error))?;
        if new.config.first_seq > 1 && new.config.mirror.is_none() {
            let begun =
                log.skip_to(new.config.first_seq - 1).map_err(|error| e::STREAM_CREATE.with(error))?;
            // Who made the stream is not told before: after a crash it begins where it was asked to.
            log.wait_for(begun).map_err(|error| e::STREAM_CREATE.with(error))?;
        }
        Ok(Self::open(hub, account, log, new))
    }

    /// Opens a stream that the store has found. `None`, and a word in the log, when it can't be understood.
    pub(crate) fn recover(hub: &Arc<Hub>, log: store::Stream) -> Option<(Arc<Account>, Arc<Self>)> {
        let saved: Saved = match serde_json::from_slice(&log.metadata()) {
            Ok(saved) => saved,
            Err(error) => {
                tracing::error!(stream = log.name(), %error, "a stored stream is left alone: its configuration can't be read");
                return None;
            }
        };
        if saved.version > VERSION {
            tracing::error!(stream = log.name(), "a stored stream is left alone: a later release wrote it");
            return None;
        }
        let Some(account) = hub.open_account(&saved.account) else {
            tracing::error!(stream = log.name(), account = %saved.account, "a stored stream is left alone: its account has no JetStream");
            return None;
        };
        let new = NewStream { config: saved.config, created: Stamp(saved.created) };
        let stream = Self::open(hub, &account, log, new);
        Some((account, stream))
    }

    fn open(hub: &Arc<Hub>, account: &Arc<Account>, log: store::Stream, new: NewStream) -> Arc<Self> {
        let NewStream { config, created } = new;
        let name: Arc<str> = config.name.as_str().into();
        let stream = Arc::new_cyclic(|me: &Weak<Self>| Self {
            acks: acks::AckWriter::new(&name, hub.settings.domain.as_deref()),
            port: hub.server.handler(&account.name, &format!("stream {name}"), me.clone()),
            name,
            created,
            account: Arc::downgrade(account),
            counted: usage::Counted::new(hub, account, config.storage),
            mappings: RwLock::new(mappings(&config)),
            config: RwLock::new(Arc::new(config)),
            consumers: OnceLock::new(),
            ingest: Mutex::new(ingest::Ingest::default()),
            schedules: Mutex::new(schedule::Schedules::default()),
            closed: AtomicBool::new(false),
            news: AtomicBool::new(false),
            went: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            failures: Failures::default(),
            sending: Mutex::new(()),
            expiry: AtomicI64::new(0),
            copies: Mutex::default(),
            wake: Arc::default(),
            copying: AtomicBool::new(false),
            copied_by: Mutex::default(),
            log,
        });
        stream.log.set_listener(Arc::new(Watcher::of(&stream)));
        stream.note_usage();
        stream
    }

    /// Makes it part of its account: consumers, subjects, timers.
    pub(crate) fn enter(self: &Arc<Self>, account: &Arc<Account>) {
        account.add_stream(self);
        drop(self.consumers.set(crate::consumers::open(self)));
        if self.config().allow_msg_schedules {
            self.find_schedules();
        }
        self.subscribe(&[], &self.config().subjects);
        if let Some(hub) = account.hub() {
            hub.timers.notify_one();
        }
        self.start_copying();
    }

    fn subscribe(&self, old: &[String], new: &[String]) {
        for subject in old.iter().filter(|subject| !new.contains(subject)) {
            self.port.unsubscribe(subject.as_bytes(), None);
        }
        for subject in new.iter().filter(|subject| !old.contains(subject)) {
            if let Err(error) = self.port.subscribe(subject.as_bytes(), None) {
                tracing::error!(stream = %self.name, subject, %error, "a subject is not stored");
            }
        }
    }

    /// Changes the configuration, which was checked.
    pub(crate) fn change(self: &Arc<Self>, new: StreamConfig) -> Result<(), ApiError> {
        let (Some(account), old) = (self.account(), self.config()) else { return Ok(()) };
        let Some(hub) = account.hub() else { return Ok(()) };
        let options = options(&new, &hub)?;
        self.log
            .update(options, &saved(&account.name, self.created, &new))
            .map_err(|error| e::STREAM_UPDATE.with(error))?;
        *self.mappings.write() = mappings(&new);
        *self.config.write() = Arc::new(new);
        let new = self.config();
        self.subscribe(&old.subjects, &new.subjects);
        if let Some(consumers) = self.consumers() {
            consumers.changed(&new);
        }
        if new.retention != old.retention {
            self.interest_changed();
        }
        self.messages_went();
        self.note_usage();
        self.expiry.store(0, Ordering::Release);
        hub.timers.notify_one();
        if old.mirror != new.mirror || old.sources != new.sources {
            self.start_copying();
        }
        Ok(())
    }

    /// Takes it out of everything. `removed`: with everything that is stored.
    pub(crate) fn close(&self, removed: bool) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.subscribe(&self.config().subjects, &[]);
        if let Some(consumers) = self.consumers.get() {
            consumers.close(removed);
        }
        self.abandon_batches();
        self.copies.lock().clear();
        self.wake.notify_one();
        let Some(account) = self.account() else { return };
        if removed {
            let Some(hub) = account.hub() else { return };
            if let Err(error) = hub.store.remove(&store_name(&account.name, &self.name)) {
                tracing::error!(stream = %self.name, %error, "the stream is gone, its files are not");
            }
            self.forget_usage();
        }
    }
}
