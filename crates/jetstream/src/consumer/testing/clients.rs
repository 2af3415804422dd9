//! What clients see: statuses, confirmations, headers, signs of life.

use super::*;

fn pull_config() -> ConsumerConfig {
    ConsumerConfig { durable: "C".into(), ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() }
}

fn push_config() -> ConsumerConfig {
    ConsumerConfig {
        durable: "C".into(),
        deliver_subject: "out".into(),
        ack_policy: AckPolicy::None,
        ..ConsumerConfig::default()
    }
}

fn words(bench: &Bench) -> Vec<&str> {
    bench.said.statuses.iter().map(|(_, _, text)| text.as_str()).collect()
}

#[test]
fn a_request_is_served_as_far_as_it_goes_and_then_ends() {
    let mut bench = Bench::new(pull_config());
    bench.store("a");
    bench.pull("inbox", "{\"batch\":3,\"expires\":1000000000}");
    bench.store("b");
    assert_eq!(bench.sequences(), [1, 2]);
    assert_eq!(bench.said.sent.iter().map(|sent| sent.left).collect::<Vec<_>>(), [0, 0]);
    bench.pass(2 * SECOND);
    let over = "NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||";
    assert_eq!(words(&bench), [over]);
}

#[test]
fn nothing_to_deliver_is_said_at_once_to_who_does_not_wait() {
    let mut bench = Bench::new(pull_config());
    bench.pull("inbox", "{\"batch\":3,\"no_wait\":true}");
    assert_eq!(words(&bench), ["NATS/1.0 404 No Messages||"]);
    bench.store("a");
    bench.pull("inbox", "{\"batch\":3,\"no_wait\":true}");
    assert_eq!(bench.sequences(), [1]);
    assert_eq!(words(&bench), ["NATS/1.0 404 No Messages||"; 2]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let config = ConsumerConfig {
        max_batch: 5,
        max_expires: 1500 * MILLISECOND,
        max_bytes: 100,
        max_waiting: 1,
        ..pull_config()
    };
    let mut bench = Bench::new(config);
    for (request, answer) in [
        ("{\"batch\":6}", "409 Exceeded MaxRequestBatch of 5"),
        ("{\"batch\":1,\"expires\":2000000000}", "409 Exceeded MaxRequestExpires of 1.5s"),
        ("{\"batch\":1,\"max_bytes\":101}", "409 Exceeded MaxRequestMaxBytes of 100"),
        ("{\"expires\":10,\"idle_heartbeat\":10}", "400 Bad Request - heartbeat value too large"),
        ("{\"min_pending\":1}", "400 Bad Request - Not a Overflow Priority consumer"),
        ("{\"id\":\"x\"}", "400 Bad Request - Not a Pinned Client Priority consumer"),
        ("{\"priority\":10}", "400 Bad Request - Priority must be between 0 and 9"),
    ] {
        bench.pull("inbox", request);
        let (_, _, said) = bench.said.statuses.pop().unwrap();
        assert_eq!(said, format!("NATS/1.0 {answer}||"));
    }
    bench.pull("inbox", "1");
    bench.pull("inbox", "1");
    assert_eq!(words(&bench), ["NATS/1.0 409 Exceeded MaxWaiting||"]);
    bench.pull("inbox", "{\"batch\":1,\"expires\":1000000000,\"idle_heartbeat\":500000000}");
    assert_eq!(bench.said.statuses.len(), 1, "a client with heartbeats finds out by itself");
}

#[test]
fn bytes_are_counted_too() {
    let mut bench = Bench::new(pull_config());
    bench.store("a");
    bench.pull("inbox", "{\"batch\":2,\"max_bytes\":10}");
    let large =
        "NATS/1.0 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 10||";
    assert_eq!(words(&bench), [large]);
    assert!(bench.said.sent.is_empty());
    bench.said.statuses.clear();
    bench.pull("inbox", "{\"batch\":1,\"max_bytes\":1000}");
    let size = 1 + bench.said.sent[0].reply.len() + "payload".len();
    let rest = format!(
        "NATS/1.0 409 Batch Completed|Nats-Pending-Messages: 0|Nats-Pending-Bytes: {}||",
        1000 - size
    );
    assert_eq!(words(&bench), [rest]);
}

#[test]
fn a_request_whose_client_is_gone_is_dropped() {
    let mut bench = Bench::new(pull_config());
    bench.pull("gone", "1");
    bench.pull("inbox", "1");
    bench.said.deaf.insert("gone".into());
    bench.store("a");
    assert_eq!(bench.said.sent[0].to, "inbox");
    assert_eq!(bench.info().num_waiting, 0);
}

#[test]
fn requests_get_signs_of_life() {
    let mut bench = Bench::new(pull_config());
    bench.pull("inbox", "{\"batch\":1,\"expires\":1000000000,\"idle_heartbeat\":400000000}");
    bench.pass(900 * MILLISECOND);
    let beat = "NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 0|Nats-Last-Stream: 0||";
    assert_eq!(words(&bench), [beat, beat]);
}

#[test]
fn push_consumers_deliver_while_somebody_listens() {
    let mut bench = Bench::new(ConsumerConfig { idle_heartbeat: SECOND, ..push_config() });
    bench.store("a");
    assert!(bench.said.sent.is_empty());
    let now = bench.now;
    bench.consumer.interest_changed(true, now);
    bench.turns();
    assert_eq!(bench.sequences(), [1]);
    bench.pass(SECOND);
    assert_eq!(words(&bench), ["NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 1||"]);
    bench.said.deaf.insert("out".into());
    bench.store("b");
    assert_eq!(bench.sequences(), [1]);
    let info = bench.info();
    assert!(!info.push_bound);
    assert_eq!((info.num_pending, info.delivered.consumer_seq), (1, 1));
}

#[test]
fn requests_for_a_push_consumer_are_refused() {
    let mut bench = Bench::new(push_config());
    bench.pull("inbox", "1");
    assert_eq!(words(&bench), ["NATS/1.0 409 Consumer is push based||"]);
}

#[test]
fn flow_control_waits_for_its_answer() {
    let mut bench =
        Bench::new(ConsumerConfig { idle_heartbeat: SECOND, flow_control: true, ..push_config() });
    let now = bench.now;
    bench.consumer.interest_changed(true, now);
    while bench.said.statuses.is_empty() {
        bench.store("a");
    }
    let (to, request, text) = bench.said.statuses[0].clone();
    assert_eq!((to.as_str(), text.as_str()), ("out", "NATS/1.0 100 FlowControl Request||"));
    assert!(request.starts_with("$JS.FC.S.C."), "{request}");
    let sent = loop {
        let sent = bench.said.sent.len();
        bench.store("a");
        if bench.said.sent.len() == sent {
            break sent;
        }
    };
    bench.pass(SECOND);
    assert!(bench.said.statuses[1].2.contains(&format!("|Nats-Consumer-Stalled: {request}||")));
    bench.call(|consumer, world| consumer.flow_answered(world, request.as_bytes(), b""));
    bench.turns();
    assert_eq!(bench.said.sent.len(), sent + 1);
}

#[test]
fn confirmations_are_given_for_what_was_delivered() {
    let mut bench = Bench::new(pull_config());
    bench.store("a");
    let never = AckSubject { deliveries: 1, sequence: 1, delivery: 1 };
    bench.ack(never, "", "confirm");
    assert!(bench.said.confirmed.is_empty(), "nothing was delivered yet");
    bench.pull("inbox", "1");
    let of = bench.said.sent[0].of;
    bench.ack(of, "+WPI", "progress");
    bench.ack(of, "+ACK", "confirm");
    bench.ack(of, "+ACK", "again");
    assert_eq!(bench.said.confirmed, ["progress", "confirm", "again"]);
}

#[test]
fn acknowledged_and_asked_for_more_at_once() {
    let mut bench = Bench::new(pull_config());
    bench.store("a");
    bench.store("b");
    bench.store("c");
    bench.pull("inbox", "1");
    let of = bench.said.sent[0].of;
    bench.ack(of, "+NXT {\"batch\":2}", "next");
    assert_eq!(bench.sequences(), [1, 2, 3]);
    assert_eq!(bench.said.sent[2].to, "next");
    assert!(bench.said.confirmed.is_empty());
}

#[test]
fn headers_only_tells_the_size_instead() {
    let mut bench = Bench::new(ConsumerConfig { headers_only: true, ..pull_config() });
    bench.store("a");
    bench.pull("inbox", "1");
    assert_eq!(bench.said.sent[0].headers, "NATS/1.0\r\nNats-Msg-Size: 7\r\n\r\n");
    assert!(bench.said.sent[0].payload.is_empty());
}

#[test]
fn deleting_tells_who_waits() {
    let mut bench = Bench::new(pull_config());
    bench.pull("inbox", "1");
    bench.call(|consumer, world| consumer.end(world.out));
    assert_eq!(words(&bench), ["NATS/1.0 409 Consumer Deleted||"]);
}
