//! Back-off, pins, priorities, pauses, resets, retention, end of life.

use super::*;
use crate::consumer::config::DeliverPolicy;

fn pull_config() -> ConsumerConfig {
    ConsumerConfig { durable: "C".into(), ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() }
}

#[test]
fn back_off_grows_and_then_the_message_is_given_up() {
    let backoff = vec![SECOND, 5 * SECOND];
    let mut bench = Bench::new(ConsumerConfig { backoff, max_deliver: 3, ..pull_config() });
    bench.store("a");
    bench.pull("inbox", "10");
    bench.pass(SECOND / 2);
    assert_eq!(bench.sequences(), [1]);
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [1, 1]);
    bench.pass(3 * SECOND);
    assert_eq!(bench.sequences(), [1, 1]);
    bench.pass(3 * SECOND);
    assert_eq!(bench.sequences(), [1, 1, 1]);
    bench.pass(6 * SECOND);
    assert_eq!(bench.said.advice, [Advisory::MaxDeliver { sequence: 1, deliveries: 3 }]);
    let info = bench.info();
    assert_eq!((info.num_ack_pending, info.num_redelivered), (0, 1));
    assert!(bench.consumer.needs(1, b"a"), "it stays in the stream");
    bench.pass(60 * SECOND);
    assert_eq!(bench.sequences(), [1, 1, 1]);
}

#[test]
fn a_refused_message_comes_again_and_says_so() {
    let mut bench = Bench::new(pull_config());
    bench.store("a");
    bench.pull("inbox", "3");
    let of = bench.said.sent[0].of;
    bench.ack(of, "-NAK", "");
    assert_eq!(bench.said.sent[1].of, AckSubject { deliveries: 2, sequence: 1, delivery: 2 });
    assert_eq!(bench.said.advice, [Advisory::Nak { sequence: 1, delivery: 1, deliveries: 1 }]);
    let again = bench.said.sent[1].of;
    bench.ack(again, "-NAK {\"delay\": 60000000000}", "");
    bench.pass(59 * SECOND);
    assert_eq!(bench.said.sent.len(), 2);
    bench.pass(2 * SECOND);
    assert_eq!(bench.said.sent.len(), 3);
}

#[test]
fn only_so_many_wait_for_their_acknowledgement() {
    let mut bench = Bench::new(ConsumerConfig { max_ack_pending: 2, ..pull_config() });
    bench.fill(5);
    bench.pull("inbox", "5");
    assert_eq!(bench.sequences(), [1, 2]);
    let of = bench.said.sent[1].of;
    bench.ack(of, "", "");
    assert_eq!(bench.sequences(), [1, 2, 3]);
    let info = bench.info();
    assert_eq!((info.ack_floor.stream_seq, info.num_ack_pending, info.num_pending), (0, 2, 2));
}

#[test]
fn one_client_is_pinned_until_it_is_silent() {
    let config = ConsumerConfig {
        priority_policy: PriorityPolicy::PinnedClient,
        priority_groups: vec!["g".into()],
        pinned_ttl: 2 * SECOND,
        ..pull_config()
    };
    let mut bench = Bench::new(config);
    bench.pull("one", "{\"batch\":5,\"group\":\"g\"}");
    bench.pull("two", "{\"batch\":5,\"group\":\"g\"}");
    bench.store("a");
    bench.store("a");
    assert!(bench.said.sent.iter().all(|sent| sent.to == "one"));
    let [Advisory::Pinned { pin, .. }] = &bench.said.advice[..] else { panic!("{:?}", bench.said.advice) };
    assert!(bench.said.sent[0].headers.contains(&format!("Nats-Pin-Id: {pin}\r\n")));
    bench.pull("three", "{\"batch\":5,\"group\":\"g\",\"id\":\"wrong\"}");
    assert_eq!(bench.said.statuses[0].2, "NATS/1.0 423 Nats-Pin-Id mismatch||");
    bench.said.deaf.insert("one".into());
    bench.pass(3 * SECOND);
    bench.store("a");
    assert_eq!(bench.said.sent[2].to, "two");
    assert!(matches!(&bench.said.advice[1], Advisory::Unpinned { reason: "timeout", .. }));
}

#[test]
fn overflow_serves_others_only_when_there_is_much() {
    let config = ConsumerConfig {
        priority_policy: PriorityPolicy::Overflow,
        priority_groups: vec!["g".into()],
        ..pull_config()
    };
    let mut bench = Bench::new(config);
    bench.pull("far", "{\"batch\":9,\"group\":\"g\",\"min_ack_pending\":2}");
    bench.store("a");
    assert!(bench.said.sent.is_empty());
    bench.pull("near", "{\"batch\":2,\"group\":\"g\"}");
    bench.store("a");
    bench.store("a");
    let to: Vec<&str> = bench.said.sent.iter().map(|sent| sent.to.as_str()).collect();
    assert_eq!(to, ["near", "near", "far"]);
}

#[test]
fn paused_means_no_deliveries_until_then() {
    let mut bench = Bench::new(pull_config());
    let until = Some(Stamp(bench.now + 10 * SECOND));
    let config = ConsumerConfig { pause_until: until, ..bench.consumer.config().clone() };
    bench.call(|consumer, world| consumer.update(world, config, &[], 1024));
    bench.store("a");
    bench.pull("inbox", "1");
    assert!(bench.said.sent.is_empty());
    assert!(bench.info().paused);
    bench.pass(11 * SECOND);
    assert_eq!(bench.sequences(), [1]);
    let told: Vec<bool> = bench
        .said
        .advice
        .iter()
        .filter_map(|told| if let Advisory::Pause { paused, .. } = told { Some(*paused) } else { None })
        .collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn reset_begins_anew_where_it_may() {
    let mut bench = Bench::new(pull_config());
    bench.fill(3);
    bench.pull("inbox", "3");
    let of = bench.said.sent[0].of;
    bench.ack(of, "", "");
    assert_eq!(bench.call(|consumer, _| consumer.reset(0, None)), Ok(2));
    bench.pull("inbox", "9");
    assert_eq!(bench.sequences(), [1, 2, 3, 2, 3]);
    assert_eq!(bench.said.sent[3].of.delivery, 1);
    assert_eq!(bench.call(|consumer, _| consumer.reset(3, None)), Ok(3));
    bench.restart();
    bench.pull("inbox", "9");
    assert_eq!(bench.said.sent.last().unwrap().of.sequence, 3);

    let config = ConsumerConfig { deliver_policy: DeliverPolicy::New, ..pull_config() };
    assert_eq!(Bench::new(config).consumer.reset(3, None), Err("not allowed"));
}

#[test]
fn what_is_done_with_is_told_where_retention_goes_by_it() {
    let facts = StreamFacts { replicas: 1, by_interest: true, workqueue: true, ..StreamFacts::default() };
    let mut bench = Bench::on(Stream::default(), pull_config(), facts);
    bench.store("a");
    bench.store("a");
    bench.pull("inbox", "2");
    let of = bench.said.sent[1].of;
    bench.ack(of, "", "");
    assert_eq!(bench.said.done, [2]);
    let of = bench.said.sent[0].of;
    bench.ack(of, "+TERM broken", "");
    assert_eq!(bench.said.done, [2, 1]);
    let terminated =
        Advisory::Terminated { sequence: 1, delivery: 1, deliveries: 1, reason: "broken".into() };
    assert_eq!(bench.said.advice, [terminated]);
}

#[test]
fn a_purge_leaves_nothing_to_wait_for() {
    let mut bench = Bench::new(pull_config());
    bench.fill(5);
    bench.pull("inbox", "3");
    (1..=5).for_each(|sequence| drop(bench.stream.remove(sequence)));
    bench.call(|consumer, world| consumer.recheck(world, Some(6)));
    let info = bench.info();
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
    assert_eq!((info.delivered.stream_seq, info.ack_floor.stream_seq), (5, 5));
    bench.store("a");
    bench.pull("inbox", "1");
    assert_eq!(bench.said.sent.last().unwrap().of.sequence, 6);
}

#[test]
fn the_original_pauses_are_kept() {
    let mut stream = Stream::default();
    for at in [0, 300, 1000] {
        stream.store("a", START - 60 * SECOND + at * MILLISECOND);
    }
    let config = ConsumerConfig { replay_policy: ReplayPolicy::Original, ..pull_config() };
    let mut bench = Bench::on(stream, config, StreamFacts { replicas: 1, ..StreamFacts::default() });
    bench.pull("inbox", "9");
    assert_eq!(bench.sequences(), [1]);
    bench.pass(299 * MILLISECOND);
    assert_eq!(bench.sequences(), [1]);
    bench.pass(2 * MILLISECOND);
    assert_eq!(bench.sequences(), [1, 2]);
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [1, 2, 3]);
    bench.store("a");
    assert_eq!(bench.sequences(), [1, 2, 3, 4]);
}

#[test]
fn a_rate_is_kept_on_average() {
    let config = ConsumerConfig {
        durable: "C".into(),
        deliver_subject: "out".into(),
        rate_limit_bps: 8 * 100_000,
        ..ConsumerConfig::default()
    };
    let mut bench = Bench::new(config);
    for _ in 0..40_000 {
        bench.stream.store("a", START);
    }
    let now = bench.now;
    bench.consumer.interest_changed(true, now);
    bench.turns();
    // What the largest message may have goes at once: 1 MiB of messages of about 45 bytes.
    let at_once = bench.said.sent.len();
    assert!((18_000..30_000).contains(&at_once), "{at_once}");
    bench.pass(SECOND);
    let later = bench.said.sent.len() - at_once;
    assert!((1_500..3_000).contains(&later), "{later}");
}

#[test]
fn nobody_needs_it_so_it_goes() {
    let ephemeral = ConsumerConfig { ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() };
    let mut bench = Bench::new(ephemeral.clone());
    assert_eq!(bench.pass(5 * SECOND), Fate::Stays);
    assert_eq!(bench.pass(2 * SECOND), Fate::Goes);

    let mut waiting = Bench::new(ephemeral.clone());
    waiting.pull("inbox", "{\"batch\":1,\"expires\":60000000000}");
    assert_eq!(waiting.pass(50 * SECOND), Fate::Stays);
    assert_eq!(waiting.pass(20 * SECOND), Fate::Goes);

    let mut working = Bench::new(ephemeral);
    working.store("a");
    working.pull("inbox", "1");
    assert_eq!(working.pass(34 * SECOND), Fate::Stays);
    assert_eq!(working.pass(5 * SECOND), Fate::Goes);

    assert_eq!(Bench::new(pull_config()).pass(3600 * SECOND), Fate::Stays);
}

#[test]
fn what_the_stream_lost_is_not_waited_for() {
    let mut bench = Bench::new(pull_config());
    bench.fill(5);
    bench.pull("inbox", "5");
    bench.stream.messages.split_off(&4);
    bench.stream.last = 3;
    bench.restart();
    let info = bench.info();
    assert_eq!((info.delivered.stream_seq, info.num_ack_pending), (3, 3));
    bench.store("a");
    bench.pull("inbox", "1");
    assert_eq!(bench.said.sent.last().unwrap().of, AckSubject { deliveries: 1, sequence: 4, delivery: 6 });
}

#[test]
fn a_reader_that_is_full_gets_no_more_for_now() {
    let mut bench = Bench::new(pull_config());
    bench.said.room = Some(2);
    bench.fill(5);
    bench.pull("inbox", "5");
    assert_eq!(bench.sequences(), [1, 2]);
    bench.said.room = None;
    bench.turns();
    assert_eq!(bench.sequences(), [1, 2, 3, 4, 5]);
}
