//! What clients say of messages they were given.

use super::Consumer;
use super::ack::{AckSubject, Verdict};
use super::config::AckPolicy;
use super::ledger::Change;
use super::world::{Advisory, Log, Outlet, World};

impl Consumer {
    /// Takes an acknowledgement that came for this consumer. `reply`: where a confirmation is wanted; empty when
    /// nowhere.
    pub fn acknowledge<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        of: AckSubject,
        payload: &[u8],
        reply: &[u8],
    ) {
        self.used(world.now);
        let confirmed = match Verdict::parse(payload) {
            Verdict::Ack => self.done(world, of, true),
            Verdict::Next(request) => {
                self.done(world, of, true);
                self.request(world, reply, request);
                return;
            }
            Verdict::Nak(delay) => {
                self.refused(world, of, delay);
                true
            }
            Verdict::Progress => {
                if self.ledger.pending.get(of.sequence).is_some() {
                    self.waits_from(of.sequence, world.now);
                }
                true
            }
            Verdict::Term(reason) => {
                let waited = self.ledger.pending.get(of.sequence).is_some();
                let confirmed = self.done(world, of, false);
                if waited {
                    let reason = String::from_utf8_lossy(reason).into_owned();
                    let AckSubject { sequence, delivery, deliveries } = of;
                    world.out.advise(Advisory::Terminated { sequence, delivery, deliveries, reason });
                }
                confirmed
            }
            Verdict::Unknown => true,
        };
        if confirmed && !reply.is_empty() {
            world.out.confirm(reply);
        }
    }

    /// A message is done with. `false` when this consumer never delivered it: then nothing is confirmed.
    pub(super) fn done<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        of: AckSubject,
        sampled: bool,
    ) -> bool {
        // With flow control, what is acknowledged may be further than what is known here after a restart.
        if of.sequence >= self.ledger.next && !self.config.flow_control {
            return false;
        }
        let capped = self.config.unacknowledged().is_some_and(|max| self.ledger.pending.len() >= max);
        match self.config.ack_policy {
            AckPolicy::None => return self.by_interest,
            AckPolicy::Explicit => self.done_one(world, of, sampled),
            AckPolicy::All | AckPolicy::FlowControl => {
                let floor = self.ledger.floor;
                if of.delivery <= floor.consumer || of.sequence <= floor.stream {
                    return true;
                }
                self.done_through(world, of);
            }
        }
        self.last_ack = Some(world.now);
        self.turn |= capped;
        true
    }

    fn done_one<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>, of: AckSubject, sampled: bool) {
        let waiting = self.ledger.pending.get(of.sequence).copied();
        let known = waiting.is_some() || self.ledger.is_buried(of.sequence);
        if let Some(entry) = waiting.filter(|_| sampled && self.samples(world.random)) {
            let AckSubject { sequence, delivery, deliveries } = of;
            let took = world.now - entry.since;
            world.out.advise(Advisory::Acknowledged { sequence, delivery, deliveries, took });
        }
        if known {
            self.step(Change::Done { sequence: of.sequence });
            if self.by_interest {
                world.out.done(of.sequence);
            }
        }
    }

    fn done_through<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>, of: AckSubject) {
        if self.by_interest {
            let through = of.sequence;
            for entry in self.ledger.pending.iter().take_while(|entry| entry.sequence <= through) {
                world.out.done(entry.sequence);
            }
        }
        self.step(Change::DoneThrough { sequence: of.sequence, delivery: of.delivery });
    }

    fn samples(&self, random: &mut dyn FnMut() -> u64) -> bool {
        match self.config.sampling() {
            0 => false,
            percent => random() % 100 < u64::from(percent),
        }
    }

    /// A client can't do with a message now.
    fn refused<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        of: AckSubject,
        delay: Option<i64>,
    ) {
        let outside =
            of.delivery <= self.ledger.floor.consumer || of.delivery > self.ledger.delivered.consumer;
        if outside || self.ledger.pending.get(of.sequence).is_none() {
            return;
        }
        let AckSubject { sequence, delivery, deliveries } = of;
        world.out.advise(Advisory::Nak { sequence, delivery, deliveries });
        if let Some(delay) = delay {
            let wait = self.config.wait_for_ack(self.ledger.deliveries(sequence));
            self.waits_from(sequence, world.now.saturating_sub(wait).saturating_add(delay));
            return;
        }
        self.again_or_bury(world.out, sequence);
    }

    /// The wait for an acknowledgement begins anew.
    fn waits_from(&mut self, sequence: u64, since: i64) {
        self.step(Change::Waits { sequence, since });
        let wait = self.config.wait_for_ack(self.ledger.deliveries(sequence));
        self.check_by(since.saturating_add(wait));
    }

    /// Queues a message to be delivered again, unless it was delivered as often as it may be.
    pub(super) fn again_or_bury(&mut self, out: &mut impl Outlet, sequence: u64) {
        let deliveries = self.ledger.deliveries(sequence);
        if self.config.deliveries().is_some_and(|max| deliveries >= max) {
            out.advise(Advisory::MaxDeliver { sequence, deliveries: u64::from(deliveries) });
            self.step(Change::Buried { sequence });
        } else if let Some(entry) = self.ledger.pending.get_mut(sequence).filter(|entry| !entry.queued) {
            entry.queued = true;
            self.again.push_back(sequence);
        }
        self.turn = true;
    }

    /// Gives up a message that is no longer in the stream.
    pub(super) fn give_up(&mut self, out: &mut impl Outlet, sequence: u64, reason: &str) {
        let Some(entry) = self.ledger.pending.get(sequence).copied() else { return };
        let deliveries = u64::from(self.ledger.deliveries(sequence));
        self.step(Change::Done { sequence });
        let reason = reason.to_owned();
        out.advise(Advisory::Terminated { sequence, delivery: entry.delivery, deliveries, reason });
        self.turn = true;
    }

    /// An answer to a flow control request, with its header block.
    pub fn flow_answered<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        subject: &[u8],
        headers: &[u8],
    ) {
        let Some(flow) = &mut self.push.flow else { return };
        if !flow.answered(subject) {
            return;
        }
        self.turn = true;
        if self.config.ack_policy != AckPolicy::FlowControl {
            return;
        }
        let Ok(headers) = wire::headers::parse(headers) else { return };
        let number = |name: &[u8]| std::str::from_utf8(headers.get(name)?).ok()?.trim().parse::<u64>().ok();
        let (delivery, sequence) = (number(b"Nats-Last-Consumer"), number(b"Nats-Last-Stream"));
        if let Some(sequence) = sequence.filter(|sequence| *sequence > 0) {
            let of = AckSubject { deliveries: 1, sequence, delivery: delivery.unwrap_or(0) };
            self.done(world, of, false);
        }
    }
}
