//! What the API and the stream do with a consumer between its turns.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mouth::Mouth;
use super::seat::{Seat, Work};
use super::{largest, state_name};
use crate::account::Account;
use crate::config::StreamConfig;
use crate::consumer::config::ConsumerConfig;
use crate::consumer::info::ConsumerInfo;
use crate::consumer::{Advisory, Consumer, World, errors};
use crate::errors::ApiError;
use crate::stream::Stream;

impl Seat {
    /// What the API tells of it.
    pub(super) fn info(&self) -> Option<ConsumerInfo> {
        let stream = self.stream.upgrade()?;
        let mut work = self.work.lock();
        self.with(&mut work, &stream, |consumer, world| {
            consumer.recheck(world, self.was_purged());
            consumer.info(world)
        })
    }

    /// Calls the consumer, with what it says going out at once.
    fn with<T>(
        &self,
        work: &mut Work,
        stream: &Stream,
        call: impl FnOnce(&mut Consumer, &mut World<'_, super::reader::Reader, Mouth<'_>>) -> T,
    ) -> Option<T> {
        let account = stream.account()?;
        let mut outlet = account.port.outlet();
        let mut done = Vec::new();
        work.reader.begin();
        let mut mouth = Mouth {
            account: &account,
            outlet: &mut outlet,
            stream: &stream.name,
            consumer: &self.name,
            confirmations: &mut work.unsaved,
            done: &mut done,
        };
        let mut random = rand::random::<u64>;
        let mut world =
            World { log: &mut work.reader, out: &mut mouth, now: stream.now().0, random: &mut random };
        Some(call(&mut work.consumer, &mut world))
    }

    /// Takes a new configuration, which was checked, and saves it.
    ///
    /// # Errors
    /// The disk; then everything is as before.
    pub(super) fn update(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        config: ConsumerConfig,
    ) -> Result<(), ApiError> {
        let of_stream = stream.config();
        let moved = {
            let mut work = self.work.lock();
            let moved = work.consumer.config().deliver_subject != config.deliver_subject;
            self.with(&mut work, stream, |consumer, world| {
                consumer.update(world, config, &of_stream.subjects, largest(&of_stream));
            });
            work.reader.forget();
            moved
        };
        if moved && let Some(account) = stream.account() {
            self.watch(&account, stream.now().0);
        }
        self.save_new(stream).map_err(|error| {
            ApiError::new(500, 10104, format!("error creating store for consumer: {error}"))
        })?;
        self.wants_turn();
        Ok(())
    }

    /// Saves the whole of it, and waits until it is durable.
    pub(super) fn save_new(&self, stream: &Stream) -> Result<(), store::Stopped> {
        {
            let mut work = self.work.lock();
            if !work.durable {
                return Ok(());
            }
            let mut written = Vec::new();
            work.consumer.take_journal(&mut written);
            let snapshot = work.snapshot();
            work.saved = stream.log.put_state(&state_name(&self.name), &snapshot)?;
        }
        stream.log.wait().map(|_| ())
    }

    /// Begins anew; returns where.
    ///
    /// # Errors
    /// What its configuration says against it.
    pub(super) fn reset(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        sequence: u64,
        at: Option<u64>,
    ) -> Result<u64, ApiError> {
        let reset = {
            let mut work = self.work.lock();
            let reset = work.consumer.reset(sequence, at);
            work.reader.forget();
            reset
        };
        let next = reset.map_err(|why| ApiError::new(400, 10204, format!("invalid reset: {why}")))?;
        self.save_new(stream).map_err(|error| {
            ApiError::new(500, 10104, format!("error creating store for consumer: {error}"))
        })?;
        stream.interest_changed();
        self.wants_turn();
        Ok(next)
    }

    /// Ends the pin of a group.
    pub(super) fn unpin(self: &Arc<Self>, group: &str) {
        if let Some(stream) = self.stream.upgrade() {
            let mut work = self.work.lock();
            self.with(&mut work, &stream, |consumer, world| consumer.unpin(world.out, group));
        }
        self.wants_turn();
    }

    /// Tells that a new consumer is paused.
    pub(super) fn tell_pause(&self, account: &Account) {
        let work = self.work.lock();
        let Some(until) = work.consumer.config().pause_until else { return };
        let paused = work.consumer.is_paused(self.stream.upgrade().map_or(i64::MAX, |stream| stream.now().0));
        if paused {
            let advisory = Advisory::Pause { until: Some(until.0), paused };
            super::advice::tell(account, work.consumer.stream(), &self.name, advisory);
        }
    }

    /// Keeps a push consumer told of who listens on its deliver subject.
    pub(super) fn watch(self: &Arc<Self>, account: &Arc<Account>, now: i64) {
        let mut work = self.work.lock();
        work.watch = None;
        if !work.consumer.config().is_push() {
            return;
        }
        let subject = work.consumer.config().deliver_subject.clone();
        let seat = Arc::downgrade(self);
        let changed = move || {
            if let Some(seat) = seat.upgrade() {
                seat.interest.store(true, Ordering::Release);
                seat.wants_turn();
            }
        };
        work.watch = Some(account.port.watch(subject.as_bytes(), Arc::new(changed)));
        let listens = account.port.is_awaited(subject.as_bytes());
        work.consumer.interest_changed(listens, now);
    }

    /// The stream has another configuration.
    pub(super) fn stream_changed(self: &Arc<Self>, new: &StreamConfig) {
        let mut work = self.work.lock();
        work.consumer.stream_changed(&new.subjects, new.by_interest());
        work.reader.forget();
        drop(work);
        self.wants_turn();
    }

    /// The server stops: tells those who wait.
    pub(super) fn stop_waiting(&self) {
        if let Some(stream) = self.stream.upgrade() {
            let mut work = self.work.lock();
            self.with(&mut work, &stream, |consumer, world| consumer.stop_waiting(world.out));
        }
    }

    /// The consumer is deleted: tells those who wait.
    pub(super) fn say_goodbye(&self, work: &mut Work, stream: &Stream) {
        self.with(work, stream, |consumer, world| consumer.end(world.out));
    }
}

/// The consumer is not there, or no longer.
pub(super) fn not_found<T>() -> Result<T, ApiError> {
    errors::refuse(errors::NOT_FOUND)
}
