//! Consumers against a stream in memory and a client that only listens.

mod cases;
mod clients;
mod config;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use super::ack::AckSubject;
use super::config::{ConsumerConfig, Limits, StreamFacts, check, set_defaults};
use super::start::History;
use super::*;

/// Messages by sequence: time and subject.
#[derive(Debug, Default, Clone)]
pub(super) struct Stream {
    messages: BTreeMap<u64, (i64, String)>,
    last: u64,
}

impl Stream {
    pub(super) fn store(&mut self, subject: &str, now: i64) -> u64 {
        self.last += 1;
        self.messages.insert(self.last, (now, subject.to_owned()));
        self.last
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<String> {
        let (_, subject) = self.messages.remove(&sequence)?;
        Some(subject)
    }

    fn stored(sequence: u64, (time, subject): &(i64, String)) -> Stored<'_> {
        Stored { sequence, time: *time, subject: subject.as_bytes(), headers: b"", payload: b"payload" }
    }
}

impl Log for Stream {
    fn first(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(self.last + 1)
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn next(&mut self, from: u64, filter: &Filter) -> Option<Stored<'_>> {
        let mut found =
            self.messages.range(from..).filter(|(_, (_, subject))| filter.matches(subject.as_bytes()));
        found.next().map(|(sequence, message)| Self::stored(*sequence, message))
    }

    fn get(&mut self, sequence: u64) -> Option<Stored<'_>> {
        self.messages.get(&sequence).map(|message| Self::stored(sequence, message))
    }

    fn count(&mut self, from: u64, filter: &Filter) -> u64 {
        self.messages.range(from..).filter(|(_, (_, subject))| filter.matches(subject.as_bytes())).count()
            as u64
    }

    fn has(&mut self, sequence: u64) -> bool {
        self.messages.contains_key(&sequence)
    }

    fn expect(&mut self, _: usize) {}
}

impl History for Stream {
    fn first(&self) -> u64 {
        Log::first(self)
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn last_of(&self, filter: &Filter) -> Option<u64> {
        self.last_per_subject(filter).last().copied()
    }

    fn last_per_subject(&self, filter: &Filter) -> Vec<u64> {
        let meant = self.messages.iter().filter(|(_, (_, subject))| filter.matches(subject.as_bytes()));
        let last: BTreeMap<&str, u64> =
            meant.map(|(sequence, (_, subject))| (&**subject, *sequence)).collect();
        last.into_values().collect::<BTreeSet<u64>>().into_iter().collect()
    }

    fn at(&self, time: i64) -> Option<u64> {
        self.messages.iter().find(|(_, (stored, _))| *stored >= time).map(|(sequence, _)| *sequence)
    }

    fn one_per_subject(&self) -> bool {
        false
    }
}

/// A message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: i64,
    pub(super) to: String,
    pub(super) reply: String,
    pub(super) of: AckSubject,
    pub(super) left: u64,
    pub(super) headers: String,
    pub(super) payload: Vec<u8>,
}

/// Everything a consumer said.
#[derive(Debug, Default)]
pub(super) struct Said {
    now: i64,
    pub(super) sent: Vec<Sent>,
    /// To, reply, text.
    pub(super) statuses: Vec<(String, String, String)>,
    pub(super) confirmed: Vec<String>,
    pub(super) advice: Vec<Advisory>,
    pub(super) done: Vec<u64>,
    /// Subjects nobody listens on.
    pub(super) deaf: BTreeSet<String>,
    /// Nobody takes more than this.
    pub(super) room: Option<usize>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Outlet for Said {
    fn listens(&mut self, subject: &[u8]) -> bool {
        !self.deaf.contains(&text(subject))
    }

    fn message(&mut self, to: &[u8], reply: &[u8], message: &Stored<'_>) -> Handed {
        if !self.listens(to) {
            return Handed::Nobody;
        }
        let of = AckSubject::parse(reply).expect("an acknowledgement can be given");
        assert_eq!(of.sequence, message.sequence);
        let left = text(reply).rsplit('.').next().unwrap().parse().unwrap();
        self.sent.push(Sent {
            at: self.now,
            to: text(to),
            reply: text(reply),
            of,
            left,
            headers: text(message.headers),
            payload: message.payload.to_vec(),
        });
        if self.room.is_some_and(|room| self.sent.len() >= room) { Handed::Full } else { Handed::Taken }
    }

    fn status(&mut self, to: &[u8], reply: &[u8], headers: &[u8]) {
        self.statuses.push((text(to), text(reply), text(headers).replace("\r\n", "|")));
    }

    fn confirm(&mut self, reply: &[u8]) {
        self.confirmed.push(text(reply));
    }

    fn advise(&mut self, advisory: Advisory) {
        self.advice.push(advisory);
    }

    fn done(&mut self, sequence: u64) {
        self.done.push(sequence);
    }
}

/// A stream with one consumer.
pub(super) struct Bench {
    pub(super) stream: Stream,
    pub(super) said: Said,
    pub(super) now: i64,
    pub(super) consumer: Consumer,
    pub(super) facts: StreamFacts,
    random: u64,
    /// What the consumer wrote to its log.
    written: Vec<Vec<u8>>,
    /// What its ledger was when it began.
    begun: Ledger,
}

const START: i64 = 1_700_000_000 * SECOND;

impl Bench {
    pub(super) fn new(config: ConsumerConfig) -> Self {
        Self::on(Stream::default(), config, StreamFacts { replicas: 1, ..StreamFacts::default() })
    }

    pub(super) fn on(mut stream: Stream, mut config: ConsumerConfig, facts: StreamFacts) -> Self {
        set_defaults(&mut config, &facts, &Limits::default(), false).unwrap();
        check(&config, &facts, &Limits::default()).unwrap();
        let filters = filter(config.filters(), &facts.subjects);
        let begun = start(&config, &filters, &stream);
        let parts = parts(config, begun.clone(), facts.by_interest);
        let consumer = Consumer::new(parts, &mut stream, START, 0);
        Self {
            stream,
            said: Said::default(),
            now: START,
            consumer,
            facts,
            random: 1,
            written: Vec::new(),
            begun,
        }
    }

    /// Calls the consumer, and keeps what it writes.
    pub(super) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Consumer, &mut World<'_, Stream, Said>) -> T,
    ) -> T {
        self.said.now = self.now;
        let random = &mut self.random;
        let mut next = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *random >> 33
        };
        let mut world =
            World { log: &mut self.stream, out: &mut self.said, now: self.now, random: &mut next };
        let result = call(&mut self.consumer, &mut world);
        let mut block = Vec::new();
        self.consumer.take_journal(&mut block);
        if !block.is_empty() {
            self.written.push(block);
        }
        result
    }

    pub(super) fn store(&mut self, subject: &str) -> u64 {
        let sequence = self.stream.store(subject, self.now);
        if self.consumer.stored() {
            self.turns();
        }
        sequence
    }

    /// Stores so many messages.
    pub(super) fn fill(&mut self, count: usize) {
        for _ in 0..count {
            self.store("a");
        }
    }

    /// Gives the consumer its turns until it wants none.
    pub(super) fn turns(&mut self) {
        while self.consumer.wants_turn() {
            let progress = self.call(|consumer, world| consumer.deliver(world, 3, 1 << 20));
            if progress == Progress::Full {
                break;
            }
        }
    }

    pub(super) fn pull(&mut self, reply: &str, request: &str) {
        self.call(|consumer, world| consumer.request(world, reply.as_bytes(), request.as_bytes()));
        self.turns();
    }

    pub(super) fn ack(&mut self, of: AckSubject, payload: &str, reply: &str) {
        self.call(|consumer, world| consumer.acknowledge(world, of, payload.as_bytes(), reply.as_bytes()));
        self.turns();
    }

    /// Lets time pass, with a look at the clock whenever one is asked for.
    pub(super) fn pass(&mut self, span: i64) -> Fate {
        let until = self.now + span;
        loop {
            let next = self.consumer.wake_at(self.now).map_or(until, |at| at.max(self.now)).min(until);
            self.now = next;
            if self.call(Consumer::tick) == Fate::Goes {
                return Fate::Goes;
            }
            self.turns();
            if next >= until && self.consumer.wake_at(until).is_none_or(|at| at > until) {
                return Fate::Stays;
            }
            assert!(self.said.statuses.len() < 100_000, "a consumer that finds no rest");
            if next < until && self.consumer.wake_at(self.now).is_some_and(|at| at <= self.now) {
                self.now += 1;
            }
        }
    }

    pub(super) fn info(&mut self) -> info::ConsumerInfo {
        self.call(Consumer::info)
    }

    pub(super) fn sequences(&self) -> Vec<u64> {
        self.said.sent.iter().map(|sent| sent.of.sequence).collect()
    }

    /// What a restart finds.
    pub(super) fn replayed(&self) -> Ledger {
        let mut ledger = self.begun.clone();
        for block in &self.written {
            journal::replay(block, &mut ledger).unwrap();
        }
        ledger
    }

    /// Ends the consumer without a word and recovers it from what was written.
    pub(super) fn restart(&mut self) {
        let mut ledger = Ledger::new(self.begun.policy(), 1, VecDeque::new());
        journal::replay(&journal::snapshot(&self.replayed()), &mut ledger).unwrap();
        self.begun = ledger.clone();
        self.written.clear();
        let parts = parts(self.consumer.config().clone(), ledger, self.facts.by_interest);
        self.consumer = Consumer::new(parts, &mut self.stream, self.now, 0);
    }
}

fn parts(config: ConsumerConfig, ledger: Ledger, by_interest: bool) -> Parts {
    Parts {
        stream: "S".into(),
        name: "C".into(),
        config,
        created: Stamp(START),
        subjects: vec![">".into()],
        by_interest,
        ledger,
        durable: true,
        largest: 1 << 20,
    }
}
