//! What happens by the clock: waits that are over, signs of life, pins, pauses, consumers nobody uses.

use super::config::{MILLISECOND, SECOND};
use super::deliver::DELETED;
use super::ledger::Change;
use super::requests::Gone;
use super::world::{Advisory, Log, Outlet, World};
use super::{Consumer, status};

/// What a look at the clock led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The consumer stays.
    Stays,
    /// Nobody has used it for so long that it goes.
    Goes,
}

/// Waits are looked at no oftener than this: what ends together is found together.
const GRAIN: i64 = MILLISECOND;
/// Messages that may be looked through in a millisecond on average.
const PER_GRAIN: usize = 1_000;

impl Consumer {
    /// When [`Self::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self, now: i64) -> Option<i64> {
        let pause = self.config.pause_until.map(|until| until.0).filter(|until| *until > now);
        let beat = self.push.beat_at.filter(|_| self.push.active);
        let pin = self.pin.as_ref().map(|pin| pin.until);
        [self.check_at, self.pulls.wake_at(), beat, pin, pause, self.pace.due, self.inactive_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what the clock asks for.
    pub fn tick<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) -> Fate {
        let now = world.now;
        if self.check_at.is_some_and(|at| at <= now) {
            self.check_waits(world);
        }
        if let Some(pin) = self.pin.take_if(|pin| pin.until <= now) {
            world.out.advise(Advisory::Unpinned { group: pin.group, reason: "timeout" });
            self.turn = true;
        }
        if let Some(until) = self.config.pause_until.filter(|until| until.0 <= now && !self.resumed) {
            self.resumed = true;
            world.out.advise(Advisory::Pause { until: Some(until.0), paused: false });
            self.turn = true;
        }
        if self.push.active && self.push.beat_at.is_some_and(|at| at <= now) {
            self.beat(world);
        }
        if self.pulls.wake_at().is_some_and(|at| at <= now) {
            self.look_at_pulls(world.out, now, true, Gone::Go);
        }
        if self.pace.due.is_some_and(|due| due <= now) {
            self.turn = true;
        }
        self.still_used(world)
    }

    /// Sees to it that waits are looked at when `at` comes.
    pub(super) fn check_by(&mut self, at: i64) {
        let at = at.saturating_add(GRAIN);
        if self.config.ack_wait > 0 {
            self.check_at = Some(self.check_at.map_or(at, |known| known.min(at)));
        }
    }

    /// Queues every message anew whose wait is over. All are looked at: times are not in the order of the queue. The
    /// more there are, the longer until the next look.
    fn check_waits<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) {
        let now = world.now;
        let mut over = Vec::new();
        let mut next: Option<i64> = None;
        for entry in self.ledger.pending.iter().filter(|entry| !entry.queued) {
            let wait = self.config.wait_for_ack(self.ledger.deliveries(entry.sequence));
            let until = entry.since.saturating_add(wait);
            if until <= now {
                over.push(entry.sequence);
            } else {
                next = Some(next.map_or(until, |known| known.min(until)));
            }
        }
        for sequence in over {
            self.again_or_bury(world.out, sequence);
        }
        let grains = 1 + self.ledger.pending.len() / PER_GRAIN;
        let soonest = now.saturating_add(GRAIN.saturating_mul(i64::try_from(grains).unwrap_or(i64::MAX)));
        self.check_at = next.map(|at| at.saturating_add(GRAIN).max(soonest));
    }

    /// Messages went from the stream: drops what waits for one of them, and counts anew. Where they were limits or
    /// deletions that is told; `purged` is from where the consumer goes on after a purge.
    pub fn recheck<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>, purged: Option<u64>) {
        let World { log, out, .. } = world;
        if let Some(next) = purged {
            self.step(Change::Purged { next });
        }
        let purged = purged.is_some();
        let waiting = self.ledger.pending.iter().map(|entry| entry.sequence);
        let gone: Vec<u64> = waiting.filter(|sequence| !log.has(*sequence)).collect();
        for sequence in gone {
            if purged { self.step(Change::Done { sequence }) } else { self.give_up(*out, sequence, DELETED) }
        }
        let buried = self.ledger.counts().map(|(sequence, _)| sequence);
        let gone: Vec<u64> = buried.filter(|sequence| !log.has(*sequence)).collect();
        for sequence in gone {
            self.step(Change::Done { sequence });
        }
        self.backlog.known = false;
        self.turn = true;
    }

    /// When a push consumer gives the next sign of life if it delivers nothing.
    pub(super) fn beat_after(&self, now: i64) -> Option<i64> {
        (self.config.idle_heartbeat > 0).then(|| now.saturating_add(self.config.idle_heartbeat))
    }

    fn beat<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) {
        let to = self.config.deliver_subject.as_bytes();
        let last = self.reached();
        let stalled = self.push.flow.as_ref().and_then(super::flow::Flow::stalled);
        world.out.status(to, b"", &status::heartbeat(last, stalled));
        let by_flow = self.config.ack_policy == super::AckPolicy::FlowControl;
        if by_flow
            && !self.ledger.pending.is_empty()
            && let Some(flow) = self.push.flow.as_mut().filter(|flow| flow.stalled().is_none())
        {
            let reply = flow.ask((world.random)());
            world.out.status(to, reply, status::FLOW_CONTROL);
        }
        self.push.beat_at = self.beat_after(world.now);
    }

    /// Notes that a client used it.
    pub(super) fn used(&mut self, now: i64) {
        if self.config.inactive_threshold == 0 {
            return;
        }
        if self.config.is_push() {
            if self.inactive_at.is_some() {
                self.inactive_at = Some(now.saturating_add(self.threshold));
            }
        } else {
            self.used_at = now;
        }
    }

    /// Whether somebody still uses it.
    fn still_used<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) -> Fate {
        let now = world.now;
        if self.inactive_at.is_none_or(|at| at > now) {
            return Fate::Stays;
        }
        if self.config.is_push() {
            if self.push.active {
                self.inactive_at = None;
                return Fate::Stays;
            }
            return Fate::Goes;
        }
        let unused_at = self.used_at.saturating_add(self.threshold);
        if unused_at > now {
            self.inactive_at = Some(unused_at);
            return Fate::Stays;
        }
        self.look_at_pulls(world.out, now, true, Gone::Go);
        if !self.pulls.is_empty() {
            self.inactive_at = Some(now.saturating_add(self.threshold));
            return Fate::Stays;
        }
        // Somebody may still be at work on what he was given.
        let last_wait = self.ledger.pending.iter().map(|entry| {
            let wait = self.config.wait_for_ack(self.ledger.deliveries(entry.sequence));
            entry.since.saturating_add(wait).saturating_add(self.threshold)
        });
        match last_wait.max().filter(|at| *at > now) {
            Some(at) => {
                self.inactive_at = Some(at);
                Fate::Stays
            }
            None => Fate::Goes,
        }
    }

    /// Somebody listens on the deliver subject now, or nobody does.
    pub fn interest_changed(&mut self, listens: bool, now: i64) {
        if !self.config.is_push() {
            return;
        }
        if listens && !self.push.active {
            self.push.beat_at = self.beat_after(now);
            self.turn = true;
        }
        self.push.active = listens;
        if listens {
            self.inactive_at = None;
        } else if self.threshold > 0 && self.inactive_at.is_none() {
            self.inactive_at = Some(now.saturating_add(self.threshold));
        }
    }

    /// What waited when it was last seen waits on; the looks at it are spread out over a second.
    pub(super) fn recovered(&mut self, last: u64, now: i64) {
        if self.ledger.next > last + 1 && self.config.opt_start_seq < self.ledger.next {
            // The stream lost its end: it was not as durable as this consumer's own log.
            self.step(Change::RolledBack { last });
        }
        if !self.ledger.pending.is_empty() {
            let soon = SECOND / 2 + now.rem_euclid(SECOND);
            self.check_by(now.saturating_add(soon.min(self.config.ack_wait)));
        }
    }
}
