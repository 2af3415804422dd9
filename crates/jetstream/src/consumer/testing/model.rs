//! Random calls against a model that keeps one state per message and recomputes everything else.

use proptest::prelude::*;

use super::*;
use crate::consumer::config::DeliverPolicy;

/// What the model knows of a message the consumer is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    New,
    Waits { deliveries: u32, until: i64 },
    Buried,
    Done,
    Gone,
}

#[derive(Debug, Clone)]
enum Op {
    Store(bool),
    Pull(u8),
    Ack(usize),
    Nak(usize, Option<u16>),
    Progress(usize),
    Term(usize),
    Pass(u16),
    Remove(usize),
    Restart,
}

const WAIT: i64 = 100 * MILLISECOND;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<bool>().prop_map(Op::Store),
        4 => (1u8..6).prop_map(Op::Pull),
        6 => any::<usize>().prop_map(Op::Ack),
        2 => (any::<usize>(), prop::option::of(0u16..300)).prop_map(|(at, delay)| Op::Nak(at, delay)),
        1 => any::<usize>().prop_map(Op::Progress),
        1 => any::<usize>().prop_map(Op::Term),
        3 => (0u16..150).prop_map(Op::Pass),
        1 => any::<usize>().prop_map(Op::Remove),
        1 => Just(Op::Restart),
    ]
}

struct Model {
    bench: Bench,
    policy: AckPolicy,
    max_deliver: u32,
    known: BTreeMap<u64, Known>,
    /// How much of what was said has been looked at.
    seen: usize,
}

impl Model {
    fn new(policy: AckPolicy, max_deliver: u32, max_ack_pending: i64) -> Self {
        let config = ConsumerConfig {
            durable: "C".into(),
            ack_policy: policy,
            ack_wait: WAIT,
            max_deliver: i64::from(max_deliver),
            max_ack_pending: if policy == AckPolicy::None { 0 } else { max_ack_pending },
            filter_subject: "a.*".into(),
            ..ConsumerConfig::default()
        };
        Self { bench: Bench::new(config), policy, max_deliver, known: BTreeMap::new(), seen: 0 }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Store(meant) => {
                let sequence = self.bench.store(if *meant { "a.x" } else { "b.x" });
                if *meant {
                    self.known.insert(sequence, Known::New);
                }
            }
            Op::Pull(batch) => {
                self.bench.pull("inbox", &format!("{{\"batch\":{batch},\"expires\":50000000}}"))
            }
            Op::Ack(at) => self.acknowledge(*at, "+ACK"),
            Op::Nak(at, None) => self.acknowledge(*at, "-NAK"),
            Op::Nak(at, Some(delay)) => {
                let delay = i64::from(*delay) * MILLISECOND;
                self.acknowledge(*at, &format!("-NAK {{\"delay\":{delay}}}"));
            }
            Op::Progress(at) => self.acknowledge(*at, "+WPI"),
            Op::Term(at) => self.acknowledge(*at, "+TERM"),
            Op::Pass(millis) => {
                self.bench.pass(i64::from(*millis) * MILLISECOND);
            }
            Op::Remove(at) => self.remove(*at),
            Op::Restart => self.restart(),
        }
        self.look();
        self.compare();
    }

    /// A delivery, chosen from all that were ever made.
    fn acknowledge(&mut self, at: usize, payload: &str) {
        if self.bench.said.sent.is_empty() {
            return;
        }
        let of = self.bench.said.sent[at % self.bench.said.sent.len()].of;
        let now = self.bench.now;
        let last = self.bench.consumer.ledger().delivered.consumer;
        let floor = self.bench.consumer.ledger().floor;
        let current = self.known[&of.sequence];
        let finished = |known: &mut Known| {
            if matches!(known, Known::Waits { .. } | Known::Buried) {
                *known = Known::Done;
            }
        };
        match (payload, self.policy) {
            (_, AckPolicy::None) => {}
            ("+ACK" | "+TERM", AckPolicy::All) => {
                if of.delivery > floor.consumer && of.sequence > floor.stream {
                    self.known.range_mut(..=of.sequence).for_each(|(_, known)| finished(known));
                }
            }
            ("+ACK" | "+TERM", _) => finished(self.known.get_mut(&of.sequence).unwrap()),
            (_, _) if !matches!(current, Known::Waits { .. }) => {}
            ("+WPI", _) => self.wait_until(of.sequence, now + WAIT),
            _ if of.delivery <= floor.consumer || of.delivery > last => {}
            ("-NAK", _) => self.wait_until(of.sequence, now),
            _ => {
                let delay: i64 = payload.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
                self.wait_until(of.sequence, now + delay);
            }
        }
        self.bench.ack(of, payload, "");
    }

    fn wait_until(&mut self, sequence: u64, at: i64) {
        if let Some(Known::Waits { until, .. }) = self.known.get_mut(&sequence) {
            *until = at;
        }
    }

    fn remove(&mut self, at: usize) {
        let present: Vec<u64> = self.bench.stream.messages.keys().copied().collect();
        let Some(sequence) = present.get(at % present.len().max(1)).copied() else { return };
        self.bench.stream.remove(sequence);
        self.bench.call(|consumer, world| consumer.recheck(world, None));
        self.bench.turns();
        if let Some(known) = self.known.get_mut(&sequence) {
            *known = Known::Gone;
        }
    }

    fn restart(&mut self) {
        let before = journal::snapshot(self.bench.consumer.ledger());
        let found = self.bench.replayed();
        let mut again = found.clone();
        again.apply(Change::Skipped { next: self.bench.consumer.ledger().next });
        assert_eq!(journal::snapshot(&again), before, "what is written is what was so");
        self.bench.restart();
        // Those that were to go out again at once wait for their time now.
        for entry in found.pending.iter() {
            if let Some(Known::Waits { until, .. }) = self.known.get_mut(&entry.sequence) {
                *until = (*until).max(entry.since + WAIT);
            }
        }
    }

    /// Checks what was delivered since the last look.
    fn look(&mut self) {
        for sent in &self.bench.said.sent[self.seen..] {
            let AckSubject { sequence, deliveries, .. } = sent.of;
            let earlier_new = self.known.range(..sequence).any(|(_, known)| *known == Known::New);
            let known = self.known.get_mut(&sequence).expect("only what the filter matches");
            match *known {
                Known::New => {
                    assert_eq!(deliveries, 1);
                    assert!(!earlier_new, "{sequence} overtook");
                }
                Known::Waits { deliveries: before, until } => {
                    assert_eq!(deliveries, u64::from(before) + 1, "of {sequence}");
                    assert!(until <= sent.at, "{sequence} came too early");
                }
                other => panic!("{sequence} was delivered though it is {other:?}"),
            }
            *known = if self.policy == AckPolicy::None {
                Known::Done
            } else {
                let deliveries = u32::try_from(deliveries).unwrap();
                Known::Waits { deliveries, until: sent.at + WAIT }
            };
        }
        self.seen = self.bench.said.sent.len();
        for advisory in self.bench.said.advice.drain(..) {
            if let Advisory::MaxDeliver { sequence, deliveries } = advisory {
                assert_eq!(deliveries, u64::from(self.max_deliver));
                assert!(matches!(self.known[&sequence], Known::Waits { .. }), "{sequence} was buried twice");
                self.known.insert(sequence, Known::Buried);
            }
        }
    }

    fn compare(&mut self) {
        let waiting: Vec<u64> = self.of(|known| matches!(known, Known::Waits { .. }));
        let ledger = self.bench.consumer.ledger();
        let pending: Vec<u64> = ledger.pending.iter().map(|entry| entry.sequence).collect();
        assert_eq!(pending, waiting);
        let floor = waiting.first().map_or(ledger.delivered.stream, |sequence| sequence - 1);
        assert!(ledger.floor.stream <= floor, "the floor passed what waits");
        if waiting.is_empty() {
            assert_eq!(ledger.floor.stream, ledger.delivered.stream);
        }
        let fresh = self.of(|known| *known == Known::New);
        let info = self.bench.info();
        assert_eq!(info.num_pending, fresh.len() as u64);
        for (sequence, known) in &self.known {
            let needs = self.bench.consumer.needs(*sequence, b"a.x");
            let wanted = matches!(known, Known::New | Known::Waits { .. } | Known::Buried);
            if self.policy == AckPolicy::Explicit && *known != Known::Gone {
                assert_eq!(needs, wanted, "of {sequence}, which is {known:?}");
            }
        }
    }

    fn of(&self, choose: impl Fn(&Known) -> bool) -> Vec<u64> {
        self.known.iter().filter(|(_, known)| choose(known)).map(|(sequence, _)| *sequence).collect()
    }

    /// With a client that acknowledges all it gets, nothing is left.
    fn finish(&mut self) {
        for _ in 0..200 {
            self.bench.pull("inbox", "{\"batch\":50,\"expires\":50000000}");
            self.look();
            let waiting = self.of(|known| matches!(known, Known::Waits { .. }));
            let last =
                |sequence: &u64| self.bench.said.sent.iter().rfind(|sent| sent.of.sequence == *sequence);
            let deliveries: Vec<AckSubject> = waiting.iter().filter_map(last).map(|sent| sent.of).collect();
            for of in deliveries {
                self.bench.ack(of, "+ACK", "");
                self.look();
                if let Some(known @ Known::Waits { .. }) = self.known.get_mut(&of.sequence) {
                    *known = Known::Done;
                }
            }
            self.bench.pass(20 * MILLISECOND);
            self.look();
        }
        let left = self.of(|known| matches!(known, Known::New | Known::Waits { .. }));
        assert_eq!(left, Vec::<u64>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_delivered_until_it_is_done_with(
        ops in prop::collection::vec(op(), 1..80),
        policy in prop_oneof![3 => Just(AckPolicy::Explicit), 1 => Just(AckPolicy::None), 1 => Just(AckPolicy::All)],
        max_deliver in 0u32..4,
        max_ack_pending in 0i64..6,
    ) {
        let max_deliver = if policy == AckPolicy::Explicit { max_deliver } else { 0 };
        let mut model = Model::new(policy, max_deliver, max_ack_pending);
        for op in &ops {
            model.run(op);
        }
        model.finish();
    }

    #[test]
    fn a_damaged_journal_is_refused_and_nothing_worse(block in prop::collection::vec(any::<u8>(), 0..60), kind in 1u8..3) {
        let mut ledger = Ledger::new(AckPolicy::Explicit, 1, VecDeque::new());
        let block = [&[kind][..], &block].concat();
        let outcome = journal::replay(&block, &mut ledger);
        prop_assert!(outcome.is_ok() || matches!(outcome, Err(journal::JournalError::Short | journal::JournalError::Unknown)));
    }

    #[test]
    fn the_last_of_every_subject_come_first_and_then_what_follows(
        before in prop::collection::vec(0u8..4, 0..20),
        after in prop::collection::vec(0u8..4, 0..10),
        restart in any::<bool>(),
    ) {
        let mut stream = Stream::default();
        for subject in &before {
            stream.store(&format!("a.{subject}"), 0);
        }
        let mut expected: Vec<u64> = stream.last_per_subject(&Filter::all());
        let config = ConsumerConfig {
            durable: "C".into(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: "a.*".into(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let mut bench = Bench::on(stream, config, StreamFacts { replicas: 1, ..StreamFacts::default() });
        bench.pull("inbox", "1");
        if restart {
            bench.restart();
        }
        for subject in &after {
            expected.push(bench.store(&format!("a.{subject}")));
        }
        bench.pull("inbox", "100");
        prop_assert_eq!(bench.sequences(), expected);
    }
}
