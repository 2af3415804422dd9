//! A consumer at work: what came for it, its turns, its log.
//!
//! Publishers' tasks put acknowledgements and requests into its inbox and say that it wants a turn; the crew (see
//! [`super::crew`]) gives it one when it comes to it. Nobody but its turn and the API touches the consumer itself.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use broker::{InterestWatch, Letter, Outlet as BrokerOutlet, Sent};
use parking_lot::Mutex;
use store::Fate as Written;

use super::crew::Crew;
use super::inbox::{Inbox, Input};
use super::mouth::Mouth;
use super::reader::Reader;
use super::{Roster, saved, state_name};
use crate::account::Account;
use crate::consumer::config::AckPolicy;
use crate::consumer::{Consumer, Fate, Progress, World};
use crate::stream::Stream;

/// Messages of one turn: then others have theirs.
const TURN_MESSAGES: usize = 256;
/// Bytes of one turn.
const TURN_BYTES: usize = 192 * 1024;
/// A reader that is full is tried again after this, in nanoseconds.
const FULL_PAUSE: i64 = 3_000_000;
/// A journal nobody waits for is written after this, in nanoseconds.
const WRITE_AFTER: i64 = 50_000_000;
/// A journal is written when it has so many bytes.
const WRITE_AT: usize = 32 * 1024;
/// Messages that went are looked for no oftener than this, in nanoseconds.
const RECHECK_AFTER: i64 = 250_000_000;
/// What was added to a saved state before it is replaced by a snapshot, in bytes; more for larger snapshots.
const ADDED: usize = 64 * 1024;
/// Bytes in the inbox above which publishers are held.
const HOLD_AT: usize = 64 * 1024;

/// Whether a seat waits for a turn.
mod state {
    pub(super) const IDLE: u8 = 0;
    pub(super) const READY: u8 = 1;
    pub(super) const RUNNING: u8 = 2;
    /// Running, and wants another turn after.
    pub(super) const AGAIN: u8 = 3;
}

/// A consumer at work.
pub(crate) struct Seat {
    pub(crate) name: Arc<str>,
    roster: Weak<Roster>,
    pub(super) stream: Weak<Stream>,
    /// Not shown, not counted: another server copies a stream with it.
    pub(super) direct: bool,
    /// What it delivers is done with as it is sent: nobody listens to acknowledgements. Never changes.
    pub(super) acknowledges_nothing: bool,
    crew: Arc<Crew>,
    inbox: Mutex<Inbox>,
    /// Bytes that were declared held.
    held: AtomicU64,
    state: AtomicU8,
    closed: AtomicBool,
    /// Who listens on the deliver subject may have changed.
    pub(super) interest: AtomicBool,
    /// Where to go on after a purge; 0 when there was none.
    pub(super) purged: AtomicU64,
    /// When the crew's clock wakes it.
    pub(super) armed: AtomicI64,
    /// Something waits for an acknowledgement.
    unacknowledged: AtomicBool,
    recheck_at: AtomicI64,
    pub(super) work: Mutex<Work>,
}

/// What only one thread touches at a time.
pub(super) struct Work {
    pub(super) consumer: Consumer,
    pub(super) reader: Reader,
    /// Keeps a push consumer told of who listens.
    pub(super) watch: Option<InterestWatch>,
    /// Whether it has a log of its own.
    pub(super) durable: bool,
    /// Confirmations that wait for the disk, by the position they wait for.
    confirmations: Vec<(u64, Box<[u8]>)>,
    /// Confirmations whose journal is not written yet.
    pub(super) unsaved: Vec<Box<[u8]>>,
    /// Where the last write stands.
    pub(super) saved: u64,
    /// A write failed: what is on disk lacks steps, so the whole is written next.
    torn: bool,
    block: Vec<u8>,
    write_at: Option<i64>,
    retry_at: Option<i64>,
    removals: u64,
    scratch: Inbox,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to do.
    More,
    /// Nothing for now.
    Done,
    /// Nobody has used the consumer for so long that it goes.
    Unused,
}

impl Seat {
    pub(super) fn new(
        stream: &Arc<Stream>,
        crew: &Arc<Crew>,
        consumer: Consumer,
        reader: Reader,
        durable: bool,
        roster: Weak<Roster>,
    ) -> Arc<Self> {
        Arc::new(Self {
            roster,
            name: consumer.name().clone(),
            stream: Arc::downgrade(stream),
            direct: consumer.config().direct,
            acknowledges_nothing: consumer.config().ack_policy == AckPolicy::None,
            crew: crew.clone(),
            inbox: Mutex::default(),
            held: AtomicU64::new(0),
            state: AtomicU8::new(state::IDLE),
            closed: AtomicBool::new(false),
            interest: AtomicBool::new(false),
            purged: AtomicU64::new(0),
            armed: AtomicI64::new(i64::MAX),
            unacknowledged: AtomicBool::new(!consumer.ledger().pending.is_empty()),
            recheck_at: AtomicI64::new(0),
            work: Mutex::new(Work {
                consumer,
                removals: reader.removals(),
                reader,
                watch: None,
                durable,
                confirmations: Vec::new(),
                unsaved: Vec::new(),
                saved: 0,
                torn: false,
                block: Vec::new(),
                write_at: None,
                retry_at: None,
                scratch: Inbox::default(),
            }),
        })
    }

    /// Puts something into the inbox. The crew is told when the publisher's read batch is done.
    pub(super) fn give(self: &Arc<Self>, account: &Account, input: Input<'_>) {
        let bytes = {
            let mut inbox = self.inbox.lock();
            inbox.push(input);
            inbox.bytes()
        };
        let held = self.held.load(Ordering::Relaxed);
        if bytes > HOLD_AT && (bytes as u64) > held + HOLD_AT as u64 {
            self.held.fetch_add(HOLD_AT as u64, Ordering::Relaxed);
            account.port.hold(HOLD_AT);
        }
        self.wants_turn();
    }

    /// Sees to it that it gets a turn.
    pub(super) fn wants_turn(self: &Arc<Self>) {
        let next = |state| match state {
            state::IDLE => Some(state::READY),
            state::RUNNING => Some(state::AGAIN),
            _ => None,
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(state::IDLE) {
            self.crew.put(self.clone());
        }
    }

    /// The stream has new messages.
    pub(super) fn stored(self: &Arc<Self>) {
        // Who holds the lock looks at what is there anyway, or is told so by the state.
        let wants =
            self.work.try_lock().is_none_or(|mut work| work.consumer.stored() || work.waits_for_disk());
        if wants {
            self.wants_turn();
        }
    }

    /// Messages went from the stream.
    pub(super) fn removed(self: &Arc<Self>, now: i64) {
        if self.purged.load(Ordering::Acquire) > 0 {
            self.recheck_at.store(0, Ordering::Release);
            self.wants_turn();
        }
        if !self.unacknowledged.load(Ordering::Acquire) {
            return;
        }
        let at = self.recheck_at.load(Ordering::Acquire);
        if at <= now { self.wants_turn() } else { self.crew.arm(self, at) }
    }

    /// Where to go on after a purge, if there was one since the last look.
    pub(super) fn was_purged(&self) -> Option<u64> {
        Some(self.purged.swap(0, Ordering::AcqRel)).filter(|next| *next > 0)
    }

    /// It is deleted, or its stream closes: no more turns.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A turn, given by the crew.
    pub(crate) fn run(self: &Arc<Self>, outlets: &mut super::crew::Outlets) {
        self.state.store(state::RUNNING, Ordering::Release);
        let turn = self.turn(outlets);
        if turn == Turn::Unused
            && let Some(roster) = self.roster.upgrade()
        {
            roster.unused(&self.name);
        }
        let again = turn == Turn::More
            || self
                .state
                .compare_exchange(state::RUNNING, state::IDLE, Ordering::AcqRel, Ordering::Acquire)
                .is_err();
        if again && !self.is_closed() {
            self.state.store(state::READY, Ordering::Release);
            self.crew.put(self.clone());
        }
    }

    fn turn(self: &Arc<Self>, outlets: &mut super::crew::Outlets) -> Turn {
        let Some(stream) = self.stream.upgrade().filter(|_| !self.is_closed()) else { return Turn::Done };
        let Some(account) = stream.account() else { return Turn::Done };
        let Some(outlet) = outlets.of(&account) else { return Turn::Done };
        let now = stream.now().0;
        let mut done = Vec::new();
        let turn = {
            let mut work = self.work.lock();
            let mut scratch = std::mem::take(&mut work.scratch);
            std::mem::swap(&mut *self.inbox.lock(), &mut scratch);
            let held = self.held.swap(0, Ordering::Relaxed);
            if held > 0 {
                account.port.release(usize::try_from(held).unwrap_or(0));
            }
            work.reader.begin();
            let turn = self.work_off(&mut work, &account, outlet, &scratch, now, &mut done);
            scratch.clear();
            work.scratch = scratch;
            self.write(&mut work, &stream, outlet, now);
            self.unacknowledged.store(!work.consumer.ledger().pending.is_empty(), Ordering::Release);
            self.arm(&work, now);
            turn
        };
        outlet.flush();
        // Outside of the lock: other consumers of the stream are asked whether they need the messages.
        if !done.is_empty() {
            super::consumed(&stream, &done);
        }
        turn
    }

    fn work_off(
        &self,
        work: &mut Work,
        account: &Arc<Account>,
        outlet: &mut BrokerOutlet,
        inputs: &Inbox,
        now: i64,
        done: &mut Vec<u64>,
    ) -> Turn {
        let Work { consumer, reader, unsaved, removals, retry_at, .. } = work;
        let stream = consumer.stream().clone();
        let went = reader.removals();
        if self.interest.swap(false, Ordering::AcqRel) {
            let listens = account.port.is_awaited(consumer.config().deliver_subject.as_bytes());
            consumer.interest_changed(listens, now);
        }
        let mut random = rand::random::<u64>;
        let mut mouth =
            Mouth { account, outlet, stream: &stream, consumer: &self.name, confirmations: unsaved, done };
        let mut world = World { log: reader, out: &mut mouth, now, random: &mut random };
        for input in inputs.iter() {
            match input {
                Input::Ack { of, payload, reply } => consumer.acknowledge(&mut world, of, payload, reply),
                Input::Pull { reply, request } => consumer.request(&mut world, reply, request),
                Input::Flow { subject, headers } => consumer.flow_answered(&mut world, subject, headers),
            }
        }
        if *removals != went && self.recheck_at.load(Ordering::Acquire) <= now {
            self.recheck_at.store(now + RECHECK_AFTER, Ordering::Release);
            *removals = went;
            consumer.recheck(&mut world, self.was_purged());
        }
        if consumer.wake_at(now).is_some_and(|at| at <= now) && consumer.tick(&mut world) == Fate::Goes {
            return Turn::Unused;
        }
        *retry_at = None;
        if !consumer.wants_turn() {
            return Turn::Done;
        }
        let progress = consumer.deliver(&mut world, TURN_MESSAGES, TURN_BYTES);
        let full = mouth.outlet.flush() == Sent::Full;
        match progress {
            Progress::Idle => {
                reader.rest();
                Turn::Done
            }
            Progress::More | Progress::Full if full => {
                *retry_at = Some(now + FULL_PAUSE);
                Turn::Done
            }
            Progress::More | Progress::Full => Turn::More,
        }
    }

    /// Writes the journal when it is time, and sends confirmations of what is durable.
    fn write(&self, work: &mut Work, stream: &Stream, outlet: &mut BrokerOutlet, now: i64) {
        if !work.durable {
            let confirmed = std::mem::take(&mut work.unsaved);
            confirmed.iter().for_each(|reply| confirm(outlet, reply));
            return;
        }
        let due = work.write_at.is_some_and(|at| at <= now);
        match work.consumer.unwritten() {
            _ if !work.unsaved.is_empty() || (due && work.torn) => self.save(work, stream),
            Some(bytes) if due || bytes >= WRITE_AT => self.save(work, stream),
            Some(_) if work.write_at.is_none() => work.write_at = Some(now + WRITE_AFTER),
            _ => {}
        }
        let Work { confirmations, unsaved, .. } = work;
        confirmations.retain_mut(|(position, reply)| match stream.log.fate(*position) {
            Written::Waits => true,
            Written::Committed => {
                confirm(outlet, reply);
                false
            }
            // It was not written after all: the whole is, when writing works again, and then confirmed.
            Written::TakenBack(_) => {
                unsaved.push(std::mem::take(reply));
                false
            }
        });
        work.torn |= matches!(stream.log.fate(work.saved), Written::TakenBack(_));
        if (work.torn || !work.unsaved.is_empty()) && work.write_at.is_none() {
            work.write_at = Some(now + 20 * WRITE_AFTER);
        }
    }

    /// Writes what there is to write. What can't be written stays, and so do the confirmations.
    pub(super) fn save(&self, work: &mut Work, stream: &Stream) {
        work.write_at = None;
        let state = state_name(&self.name);
        let mut block = std::mem::take(&mut work.block);
        work.consumer.take_journal(&mut block);
        let (snapshot, added) = stream.log.state_size(&state);
        // Steps that were taken back are missing from what is added now: then the whole is written.
        let before = work.saved;
        let lacks = || matches!(stream.log.fate(before), Written::TakenBack(_));
        work.torn |= lacks();
        let written = if work.torn || added > ADDED.max(4 * snapshot) {
            stream.log.put_state(&state, &work.snapshot())
        } else if block.is_empty() {
            Ok(work.saved)
        } else {
            stream.log.add_state(&state, &block)
        };
        block.clear();
        work.block = block;
        match written {
            Ok(position) => {
                work.torn = !work.torn && lacks();
                work.saved = position;
                work.confirmations.extend(work.unsaved.drain(..).map(|reply| (position, reply)));
            }
            Err(error) => {
                let consumer = &self.name;
                tracing::warn!(stream = %stream.name, %consumer, %error, "a consumer's state is not saved for now");
                work.torn = true;
                work.write_at = Some(stream.now().0 + 20 * WRITE_AFTER);
            }
        }
    }

    fn arm(self: &Arc<Self>, work: &Work, now: i64) {
        let recheck = (work.removals != work.reader.removals() && !work.consumer.ledger().pending.is_empty())
            .then(|| self.recheck_at.load(Ordering::Acquire));
        let wakes = [work.consumer.wake_at(now), work.write_at, work.retry_at, recheck];
        if let Some(at) = wakes.into_iter().flatten().min() {
            self.crew.arm(self, at);
        }
    }
}

impl Work {
    /// The whole consumer, as it is saved.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        saved::encode(self.consumer.created(), self.consumer.config(), self.consumer.ledger())
    }

    fn waits_for_disk(&self) -> bool {
        !self.confirmations.is_empty()
    }
}

fn confirm(outlet: &mut BrokerOutlet, reply: &[u8]) {
    // Who asked and is gone misses nothing.
    outlet.push(&Letter { subject: reply, ..Letter::default() });
}
