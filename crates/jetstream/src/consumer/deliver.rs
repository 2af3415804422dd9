//! Deliveries: the next message, and who gets it.

use super::ack::AckSubject;
use super::config::{AckPolicy, MILLISECOND, PriorityPolicy};
use super::ledger::Change;
use super::pin::Pin;
use super::requests::Gone;
use super::world::{Advisory, Handed, Log, Outlet, Stored, World};
use super::{Consumer, span, status};

/// Words for a message that went before it was acknowledged.
pub(super) const DELETED: &str = "Unacknowledged message was deleted";
const WRONG_PIN: &str = "Nats-Wrong-Pin-Id";

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It had what one turn may have; there may be more.
    More,
    /// The reader has much to read: once more when it had time to.
    Full,
    /// Nothing to do before something happens.
    Idle,
}

/// Whether a request goes with the pin.
enum Fits {
    Yes,
    /// And holds it from now on.
    NewPin,
    /// Another client holds it.
    NotNow,
    /// It named an old one and was ended.
    Never,
}

/// One delivery that was made.
struct Sent<'a> {
    message: &'a Stored<'a>,
    deliveries: u32,
    delivery: u64,
    size: usize,
}

/// How the attempt to deliver one message ended.
enum Step {
    Sent(usize),
    Full,
    /// Another attempt is worth it.
    Again,
    /// Nothing is left in the stream.
    End,
    /// Too many messages wait for their acknowledgement.
    Capped,
    /// Nobody takes it now.
    Wait,
}

impl Consumer {
    /// Delivers up to `messages` messages or about `bytes` bytes.
    pub fn deliver<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        messages: usize,
        bytes: usize,
    ) -> Progress {
        self.turn = false;
        world.log.expect(self.wanted(messages));
        self.count_backlog(world.log);
        let (mut sent, mut size) = (0, 0);
        let mut capped = false;
        while self.may_deliver(world.now) {
            if sent >= messages || size >= bytes {
                self.turn = true;
                return Progress::More;
            }
            match self.one(world) {
                Step::Sent(bytes) => {
                    sent += 1;
                    size += bytes;
                }
                Step::Full => {
                    self.turn = true;
                    return Progress::Full;
                }
                Step::Again => {}
                Step::End => {
                    self.caught_up(world.log);
                    break;
                }
                Step::Capped => {
                    capped = true;
                    break;
                }
                Step::Wait => break,
            }
        }
        if self.pace.replay_through.is_some_and(|through| self.ledger.next > through) {
            self.pace.replay_through = None;
        }
        // Requests that end when there is nothing are not ended only because too much waits.
        self.look_at_pulls(world.out, world.now, !capped, Gone::Stay);
        Progress::Idle
    }

    /// How many messages those who wait would take, up to `most`.
    fn wanted(&self, most: usize) -> usize {
        if self.config.is_push() {
            return most;
        }
        let left = self.pulls.iter().map(|pull| usize::try_from(pull.left.max(1)).unwrap_or(most));
        left.take(most).fold(0, usize::saturating_add).min(most)
    }

    /// Whether somebody could be given a message now.
    fn may_deliver(&self, now: i64) -> bool {
        if self.is_paused(now) {
            return false;
        }
        if self.config.is_push() {
            return self.push.active && !self.push.flow.as_ref().is_some_and(super::flow::Flow::is_closed);
        }
        !self.pulls.is_empty()
    }

    fn one<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) -> Step {
        let World { log, out, now, random } = world;
        while let Some(sequence) = self.again.front().copied() {
            if !self.ledger.pending.get(sequence).is_some_and(|entry| entry.queued) {
                self.again.pop_front();
                continue;
            }
            let Some(message) = log.get(sequence) else {
                self.again.pop_front();
                self.give_up(*out, sequence, DELETED);
                continue;
            };
            let deliveries = self.ledger.deliveries(sequence) + 1;
            let step = self.send(&message, deliveries, *out, *now, random);
            if matches!(step, Step::Sent(_) | Step::Full) {
                self.again.pop_front();
            }
            return step;
        }
        if self.config.unacknowledged().is_some_and(|max| self.ledger.pending.len() >= max) {
            return Step::Capped;
        }
        while let Some(sequence) = self.ledger.listed.front().copied() {
            if let Some(message) = log.get(sequence) {
                return self.send(&message, 1, *out, *now, random);
            }
            self.ledger.listed.pop_front();
            self.backlog.count = self.backlog.count.saturating_sub(1);
        }
        match log.next(self.ledger.next, &self.filter) {
            Some(message) => self.send(&message, 1, *out, *now, random),
            None => Step::End,
        }
    }

    /// Gives a message to whoever is next.
    fn send(
        &mut self,
        stored: &Stored<'_>,
        deliveries: u32,
        out: &mut impl Outlet,
        now: i64,
        random: &mut dyn FnMut() -> u64,
    ) -> Step {
        if let Some(due) = self.held_until(stored, now) {
            self.pace.due = Some(due);
            return Step::Wait;
        }
        let fresh = deliveries == 1;
        let delivery = self.ledger.delivered.consumer + 1;
        let ack = AckSubject { deliveries: u64::from(deliveries), sequence: stored.sequence, delivery };
        let left = self.backlog.count.saturating_sub(u64::from(fresh));
        let reply_len = self.acks.write(ack, stored.time, left).len();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut message = *stored;
        if self.config.headers_only {
            let size = stored.payload.len().to_string();
            status::add_header(&mut scratch, stored.headers, "Nats-Msg-Size", size.as_bytes());
            message = Stored { headers: &scratch, payload: b"", ..message };
        }
        let size = message.subject.len() + reply_len + message.headers.len() + message.payload.len();
        let step = if self.config.is_push() {
            self.push_out(&message, out)
        } else if self.choose(size, out, now, random) {
            self.answer_pull(&message, out, now)
        } else {
            Step::Wait
        };
        self.scratch = scratch;
        if matches!(step, Step::Sent(_) | Step::Full) {
            let sent = Sent { message: stored, deliveries, delivery, size };
            self.note_delivery(&sent, out, now, random);
        }
        step
    }

    fn push_out(&mut self, message: &Stored<'_>, out: &mut impl Outlet) -> Step {
        let to = self.config.deliver_subject.as_bytes();
        match out.message(to, self.acks.last(), message) {
            Handed::Taken => Step::Sent(message.payload.len() + message.headers.len()),
            Handed::Full => Step::Full,
            Handed::Nobody => {
                self.push.active = false;
                Step::Wait
            }
        }
    }

    /// Gives a message to the request at the head, which was chosen for it.
    fn answer_pull(&mut self, message: &Stored<'_>, out: &mut impl Outlet, now: i64) -> Step {
        let policy = self.prioritizes();
        let mut message = *message;
        let mut pinned = Vec::new();
        if policy == PriorityPolicy::PinnedClient {
            let pin = self.pin.as_ref().map_or("", |pin| &pin.id);
            status::add_header(&mut pinned, message.headers, "Nats-Pin-Id", pin.as_bytes());
            message.headers = &pinned;
        }
        let Some(pull) = self.pulls.head() else { return Step::Wait };
        let handed = out.message(&pull.reply, self.acks.last(), &message);
        if handed == Handed::Nobody {
            self.pulls.pop();
            return Step::Again;
        }
        let bytes = pull.bytes;
        let done = (bytes > 0 && pull.left <= 1).then(|| pull.reply.clone());
        self.pulls.served(now, policy);
        if let Some(reply) = done {
            out.status(&reply, b"", &status::ended(409, "Batch Completed", 0, bytes));
        }
        if handed == Handed::Full {
            Step::Full
        } else {
            Step::Sent(message.payload.len() + message.headers.len())
        }
    }

    /// Moves the request that gets a message of `size` bytes to the head. Ends those that can't have it.
    fn choose(
        &mut self,
        size: usize,
        out: &mut impl Outlet,
        now: i64,
        random: &mut dyn FnMut() -> u64,
    ) -> bool {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let policy = self.prioritizes();
        let mut passed = 0;
        while passed < self.pulls.len() {
            let unacknowledged = i64::try_from(self.ledger.pending.len()).unwrap_or(i64::MAX);
            let backlog = i64::try_from(self.backlog.count).unwrap_or(i64::MAX);
            let Some(pull) = self.pulls.head() else { return false };
            if pull.is_over(now) {
                out.status(&pull.reply, b"", &status::ended(408, "Request Timeout", pull.left, pull.bytes));
                self.pulls.pop();
                continue;
            }
            let mut assigned = false;
            if policy == PriorityPolicy::PinnedClient {
                match self.fits_pin(out, now, random) {
                    Fits::Yes => {}
                    Fits::NewPin => assigned = true,
                    Fits::NotNow => {
                        self.pulls.rotate();
                        passed += 1;
                        continue;
                    }
                    Fits::Never => continue,
                }
            }
            let Some(pull) = self.pulls.head() else { return false };
            if policy == PriorityPolicy::Overflow
                && let Some(group) = &pull.group
            {
                let bounded = group.min_pending > 0 || group.min_ack_pending > 0;
                let enough = (group.min_pending > 0 && group.min_pending <= backlog)
                    || (group.min_ack_pending > 0 && group.min_ack_pending <= unacknowledged);
                if bounded && !enough {
                    self.pulls.rotate();
                    passed += 1;
                    continue;
                }
            }
            if pull.bytes > 0 {
                if size > pull.bytes {
                    let words = status::ended(409, "Message Size Exceeds MaxBytes", pull.left, pull.bytes);
                    out.status(&pull.reply, b"", &words);
                    self.pulls.pop();
                    if assigned {
                        self.pin = None;
                    }
                    continue;
                }
                pull.bytes -= size;
                if pull.bytes == 0 {
                    pull.left = 1;
                }
            }
            return true;
        }
        false
    }

    /// Whether the request at the head may be served, where one client is pinned.
    fn fits_pin(&mut self, out: &mut impl Outlet, now: i64, random: &mut dyn FnMut() -> u64) -> Fits {
        let Some(pull) = self.pulls.head() else { return Fits::Never };
        match (&self.pin, pull.pin()) {
            (Some(pin), held) if pin.id == held => Fits::Yes,
            (Some(_), "") => Fits::NotNow,
            (None, "") => {
                let Some(group) = pull.group.as_mut().filter(|group| !group.name.is_empty()) else {
                    return Fits::Yes;
                };
                let pin = Pin::new(&group.name, self.config.pinned_ttl, now, random);
                group.pin.clone_from(&pin.id);
                out.advise(Advisory::Pinned { group: pin.group.clone(), pin: pin.id.clone() });
                self.pin = Some(pin);
                Fits::NewPin
            }
            _ => {
                out.status(&pull.reply, b"", &status::ended(423, WRONG_PIN, pull.left, pull.bytes));
                self.pulls.pop();
                Fits::Never
            }
        }
    }

    fn note_delivery(
        &mut self,
        sent: &Sent<'_>,
        out: &mut impl Outlet,
        now: i64,
        random: &mut dyn FnMut() -> u64,
    ) {
        let (sequence, delivery) = (sent.message.sequence, sent.delivery);
        if sent.deliveries == 1 {
            self.backlog.count = self.backlog.count.saturating_sub(1);
            self.step(Change::Delivered { sequence, delivery, since: now });
        } else {
            self.step(Change::Redelivered { sequence, delivery, since: now });
        }
        self.last_delivery = Some(now);
        if self.acks_matter() {
            self.check_by(now.saturating_add(self.config.wait_for_ack(sent.deliveries)));
        } else if self.by_interest {
            out.done(sequence);
        }
        self.pace.due = None;
        self.pace.last_time = sent.message.time;
        if self.pace.rate > 0 {
            self.pace.used_until =
                self.pace.used_until.max(now).saturating_add(span(sent.size as u64, self.pace.rate));
        }
        if self.config.is_push() {
            self.push.beat_at = self.beat_after(now);
            self.control_flow(sent.size, out, random);
        } else if self.threshold > 0 {
            self.used_at = now;
        }
    }

    fn control_flow(&mut self, size: usize, out: &mut impl Outlet, random: &mut dyn FnMut() -> u64) {
        let capped = self.config.unacknowledged().is_some_and(|max| self.ledger.pending.len() >= max);
        let full = self.config.ack_policy == AckPolicy::FlowControl && capped;
        let Some(flow) = &mut self.push.flow else { return };
        if flow.sent(size, full) {
            let reply = flow.ask(random());
            out.status(self.config.deliver_subject.as_bytes(), reply, status::FLOW_CONTROL);
        }
    }

    /// Until when a message has to be held back: for the rate, or for the pause it was published after.
    fn held_until(&mut self, message: &Stored<'_>, now: i64) -> Option<i64> {
        if let Some(due) = self.pace.due {
            return (due > now).then_some(due);
        }
        if self.pace.replay_through.is_some() && self.pace.last_time > 0 {
            let pause = message.time.saturating_sub(self.pace.last_time);
            if pause > MILLISECOND {
                return Some(now.saturating_add(pause));
            }
        }
        let rate_due = self.pace.used_until.saturating_sub(self.pace.burst);
        (self.pace.rate > 0 && rate_due > now).then_some(rate_due)
    }

    /// Brings the number of messages to deliver up to date.
    pub(super) fn count_backlog(&mut self, log: &mut impl Log) {
        let (last, next) = (log.last(), self.ledger.next);
        if !self.backlog.known {
            self.backlog.count = self.ledger.listed.len() as u64 + log.count(next, &self.filter);
        } else if last > self.backlog.through {
            self.backlog.count += log.count(next.max(self.backlog.through + 1), &self.filter);
        }
        self.backlog.known = true;
        self.backlog.through = last;
    }

    /// All messages there are were looked at.
    fn caught_up(&mut self, log: &impl Log) {
        // Only up to where was counted: what came since has not been looked at for sure.
        self.ledger.next = self.ledger.next.max(self.backlog.through.min(log.last()) + 1);
        self.backlog.count = 0;
    }
}
