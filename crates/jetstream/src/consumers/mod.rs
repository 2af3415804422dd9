//! The consumers of one stream at work: found by name, told what happens to the stream, asked what they need.

mod advice;
mod api;
mod calls;
pub(crate) mod crew;
mod inbox;
mod mouth;
mod reader;
mod saved;
pub(crate) mod seat;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use broker::{Call, Letter, Message, Reception};
use parking_lot::{Mutex, RwLock};
use store::Filter;

use self::crew::Crew;
use self::inbox::Input;
use self::reader::{Past, Reader};
use self::seat::Seat;
use crate::account::Account;
use crate::advisory::Action;
use crate::api::{Answer, Request};
use crate::config::{Retention, Storage, StreamConfig};
use crate::consumer::ack::AckSubject;
use crate::consumer::config::{ConsumerConfig, Limits, StreamFacts};
use crate::consumer::{Consumer, Ledger, Parts, filter, start};
use crate::errors::ApiError;
use crate::stamp::Stamp;
use crate::stream::{Cleared, Consumers, Stream};

/// Saved states of consumers have names that begin with this.
const STATE: &str = "consumer.";

thread_local! {
    /// Set while this thread removes what its own consumer was done with: nobody waits for that.
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// The consumers of one stream.
pub(crate) struct Roster {
    stream: Weak<Stream>,
    crew: Arc<Crew>,
    /// Grows when messages went.
    removals: Arc<AtomicU64>,
    seats: RwLock<BTreeMap<Arc<str>, Arc<Seat>>>,
    /// What each of them is about.
    filters: RwLock<BTreeMap<Arc<str>, Filter>>,
    /// Held while consumers are made, changed or deleted.
    changing: Mutex<()>,
    me: Weak<Self>,
}

/// Makes the consumers of a stream that has just been created or recovered.
pub(crate) fn open(stream: &Arc<Stream>) -> Arc<dyn Consumers> {
    let hub = stream.account().and_then(|account| account.hub());
    let crew = hub.map(|hub| hub.crew.clone()).unwrap_or_default();
    let roster = Arc::new_cyclic(|me| Roster {
        stream: Arc::downgrade(stream),
        crew,
        removals: Arc::default(),
        seats: RwLock::default(),
        filters: RwLock::default(),
        changing: Mutex::default(),
        me: me.clone(),
    });
    roster.recover(stream);
    roster
}

pub(crate) use api::{refused, without_stream};

/// What a consumer is done with goes, where retention goes by that.
fn consumed(stream: &Stream, sequences: &[u64]) {
    OWN.set(true);
    stream.consumed(sequences);
    OWN.set(false);
}

/// What a consumer has to know of its stream.
fn facts(config: &StreamConfig) -> StreamFacts {
    StreamFacts {
        subjects: config.subjects.clone(),
        replicas: config.num_replicas.max(1),
        by_interest: config.by_interest(),
        workqueue: config.retention == Retention::WorkQueue,
        max_ack_pending: config.consumer_limits.max_ack_pending,
        inactive_threshold: config.consumer_limits.inactive_threshold,
    }
}

fn state_name(consumer: &str) -> String {
    format!("{STATE}{consumer}")
}

impl Roster {
    fn seat(&self, name: &str) -> Option<Arc<Seat>> {
        self.seats.read().get(name).cloned()
    }

    /// Everybody, by name.
    fn all(&self) -> Vec<Arc<Seat>> {
        self.seats.read().values().cloned().collect()
    }

    /// Those that are shown and counted.
    fn public(&self) -> Vec<Arc<Seat>> {
        self.seats.read().values().filter(|seat| !seat.direct).cloned().collect()
    }

    /// The bounds of the account and the server.
    fn limits(account: &Account) -> Limits {
        let Some(hub) = account.hub() else { return Limits::default() };
        let most = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        let bounds = [most(hub.settings.max_ack_pending), most(account.limits.max_ack_pending.unwrap_or(0))];
        Limits {
            max_ack_pending: bounds.into_iter().filter(|bound| *bound > 0).min().unwrap_or(0),
            max_request_batch: most(hub.settings.max_request_batch),
        }
    }

    /// Finds the consumers that were there when the server ended. One that can't be understood is left alone.
    fn recover(&self, stream: &Arc<Stream>) {
        for state in stream.log.states() {
            let Some(name) = state.strip_prefix(STATE) else { continue };
            let Some(found) = stream.log.state_of(&state) else { continue };
            match saved::decode(&found) {
                Ok((created, config, ledger)) => {
                    self.seat_new(stream, name.into(), config, created, ledger, true);
                }
                Err(error) => {
                    tracing::error!(stream = %stream.name, consumer = name, %error, "a consumer is left alone");
                }
            }
        }
        if stream.config().by_interest() {
            self.sweep(stream);
        }
    }

    /// Removes what was acknowledged before the server ended and had not been removed by then.
    fn sweep(&self, stream: &Stream) {
        let everything = stream.config().retention == Retention::Interest;
        let next = self.all().iter().map(|seat| seat.work.lock().consumer.ledger().next).max();
        let (mut from, last) = (0, next.unwrap_or(0).saturating_sub(1));
        while from <= last && last > 0 {
            let Ok(scan) = stream.log.scan(&Filter::all(), from, last, 1024, 1 << 20) else { return };
            let stays =
                |seq, subject: &[u8]| self.needs(seq, subject) || !(everything || self.wants(subject));
            let gone: Vec<u64> = scan
                .messages
                .iter()
                .filter(|message| !stays(message.seq, message.subject()))
                .map(|message| message.seq)
                .collect();
            if let Err(error) = stream.log.delete_many(&gone) {
                tracing::warn!(stream = %stream.name, %error, "acknowledged messages stay for now");
                return;
            }
            from = scan.next;
        }
    }

    /// Puts a consumer to work.
    fn seat_new(
        &self,
        stream: &Arc<Stream>,
        name: Arc<str>,
        config: ConsumerConfig,
        created: Stamp,
        ledger: Ledger,
        durable: bool,
    ) -> Arc<Seat> {
        let of_stream = stream.config();
        let parts = Parts {
            stream: stream.name.clone(),
            name: name.clone(),
            config,
            created,
            subjects: of_stream.subjects.clone(),
            by_interest: of_stream.by_interest(),
            ledger,
            durable,
            largest: largest(&of_stream),
        };
        let mut reader = Reader::new(stream.log.clone(), self.removals.clone());
        let consumer = Consumer::new(parts, &mut reader, stream.now().0, rand::random());
        self.filters.write().insert(name.clone(), consumer.filter().clone());
        let seat = Seat::new(stream, &self.crew, consumer, reader, durable, self.me.clone());
        self.seats.write().insert(name, seat.clone());
        if let Some(account) = stream.account() {
            seat.watch(&account, stream.now().0);
        }
        seat.wants_turn();
        seat
    }

    /// Takes a consumer out of everything.
    fn dismiss(&self, stream: &Stream, seat: &Arc<Seat>) {
        seat.close();
        self.seats.write().remove(&seat.name);
        self.filters.write().remove(&seat.name);
        let mut work = seat.work.lock();
        work.watch = None;
        seat.say_goodbye(&mut work, stream);
        if let Some(account) = stream.account().filter(|_| !seat.direct) {
            advice::changed(&account, &stream.name, &seat.name, Action::Delete);
        }
        if work.durable
            && let Err(error) = stream.log.remove_state(&state_name(&seat.name))
        {
            tracing::warn!(stream = %stream.name, consumer = %seat.name, %error, "a deleted consumer may come back");
        }
        drop(work);
        stream.interest_changed();
    }

    /// Nobody has used a consumer for so long that it goes.
    fn unused(&self, name: &str) {
        let Some(stream) = self.stream.upgrade() else { return };
        let _changing = self.changing.lock();
        if let Some(seat) = self.seat(name) {
            self.dismiss(&stream, &seat);
        }
    }

    /// Gives something to a consumer.
    fn give(&self, consumer: &str, input: Input<'_>) -> Reception {
        let (Some(seat), Some(stream)) = (self.seat(consumer), self.stream.upgrade()) else {
            return Reception::Absent;
        };
        let Some(account) = stream.account() else { return Reception::Absent };
        seat.give(&account, input);
        Reception::Taken
    }
}

/// The largest message a stream takes, in bytes.
fn largest(config: &StreamConfig) -> u64 {
    u64::try_from(config.max_msg_size).ok().filter(|max| *max > 0).unwrap_or(1 << 20)
}

impl Consumers for Roster {
    fn infos(&self) -> Vec<crate::consumer::info::ConsumerInfo> {
        self.public().iter().filter_map(|seat| seat.info()).collect()
    }

    fn stored(&self, _: u64) {
        for seat in self.seats.read().values() {
            seat.stored();
        }
    }

    fn removed(&self) {
        if OWN.get() {
            return;
        }
        self.removals.fetch_add(1, Ordering::AcqRel);
        let seats = self.seats.read();
        let Some(stream) = self.stream.upgrade().filter(|_| !seats.is_empty()) else { return };
        let now = stream.now().0;
        for seat in seats.values() {
            seat.removed(now);
        }
    }

    fn purged(&self, purge: &Cleared<'_>) {
        let (seats, filters) = (self.seats.read(), self.filters.read());
        for (name, seat) in seats.iter() {
            let next = match filters.get(name) {
                Some(filter) => concerned(filter, purge),
                None => Some(purge.first),
            };
            if let Some(next) = next {
                seat.purged.fetch_max(next, Ordering::AcqRel);
            }
        }
    }

    fn wants(&self, subject: &[u8]) -> bool {
        self.filters.read().values().any(|filter| filter.matches(subject))
    }

    fn needs(&self, sequence: u64, subject: &[u8]) -> bool {
        self.all().iter().any(|seat| seat.work.lock().consumer.needs(sequence, subject))
    }

    fn count(&self) -> usize {
        self.seats.read().values().filter(|seat| !seat.direct).count()
    }

    fn import(&self, consumer: crate::import::ForeignConsumer) -> Result<(), ApiError> {
        let Some(stream) = self.stream.upgrade() else { return Ok(()) };
        api::import(self, &stream, consumer)
    }

    fn check(&self, new: &StreamConfig) -> Result<(), ApiError> {
        api::fits_stream(self, new)
    }

    fn changed(&self, new: &StreamConfig) {
        for seat in self.all() {
            seat.stream_changed(new);
            let filter = seat.work.lock().consumer.filter().clone();
            self.filters.write().insert(seat.name.clone(), filter);
        }
    }

    fn stop_waiting(&self) {
        self.all().iter().for_each(|seat| seat.stop_waiting());
    }

    fn close(&self, removed: bool) {
        let Some(stream) = self.stream.upgrade() else { return };
        let seats = std::mem::take(&mut *self.seats.write());
        for seat in seats.values() {
            seat.close();
            let mut work = seat.work.lock();
            work.watch = None;
            if removed {
                seat.say_goodbye(&mut work, &stream);
            } else if work.durable {
                seat.save(&mut work, &stream);
            }
        }
    }

    fn next(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception {
        if message.reply.is_empty() || !subject::valid_subject(message.reply) {
            return Reception::Taken;
        }
        if crate::api::level_too_high(message.headers) {
            let headers = b"NATS/1.0 412 Required Api Level\r\n\r\n";
            call.answer(&Letter { subject: message.reply, headers, ..Letter::default() });
            return Reception::Taken;
        }
        self.give(consumer, Input::Pull { reply: message.reply, request: message.payload })
    }

    fn ack(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception {
        // As with nats-server: who asks for a confirmation is told that nobody is there.
        if self.seat(consumer).is_some_and(|seat| seat.acknowledges_nothing) {
            return Reception::Absent;
        }
        match AckSubject::parse(call.subject()) {
            Some(of) => {
                let reply = if subject::valid_subject(message.reply) { message.reply } else { b"" };
                self.give(consumer, Input::Ack { of, payload: message.payload, reply })
            }
            None => Reception::Absent,
        }
    }

    fn flow(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception {
        self.give(consumer, Input::Flow { subject: call.subject(), headers: message.headers })
    }

    fn api(&self, verb: &str, rest: &str, request: &Request) -> Answer {
        api::answer(self, verb, rest, request)
    }
}

/// From where a consumer of a filter goes on after a purge, if that concerns it. What else it was about is looked at
/// message by message.
fn concerned(filter: &Filter, purge: &Cleared<'_>) -> Option<u64> {
    let Some(pattern) = purge.pattern else { return Some(purge.first) };
    if filter.is_all() {
        return Some(purge.first);
    }
    // Of several patterns one may still have messages where the purged one has none: those are not passed over.
    if filter.patterns().all(|own| subject::covers(pattern, own)) {
        return Some(purge.next);
    }
    filter.patterns().any(|own| subject::covers(own, pattern)).then_some(purge.first)
}

/// Where a new consumer of a stream begins.
fn begin(stream: &Stream, config: &ConsumerConfig) -> Ledger {
    let of_stream = stream.config();
    let filter = filter(config.filters(), &of_stream.subjects);
    let past = Past { log: &stream.log, one_per_subject: of_stream.max_msgs_per_subject == 1 };
    start(config, &filter, &past)
}

/// Whether a consumer has a log of its own: it survives what its stream survives.
fn is_durable(stream: &StreamConfig, config: &ConsumerConfig) -> bool {
    stream.storage == Storage::File && !config.mem_storage && !config.direct
}
