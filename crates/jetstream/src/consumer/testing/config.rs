//! Configurations: what is filled up, what is refused.

use super::*;
use crate::consumer::config::{DeliverPolicy, check_update};

fn facts() -> StreamFacts {
    StreamFacts { subjects: vec!["orders.>".into()], replicas: 1, ..StreamFacts::default() }
}

fn refused(config: ConsumerConfig) -> u16 {
    refused_on(config, &facts())
}

fn refused_on(mut config: ConsumerConfig, facts: &StreamFacts) -> u16 {
    let filled = set_defaults(&mut config, facts, &Limits::default(), false);
    let checked = filled.and_then(|()| check(&config, facts, &Limits::default()));
    checked.err().map_or(0, |error| error.err_code)
}

#[test]
fn what_is_left_out_is_filled_up() {
    let mut config = ConsumerConfig { ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() };
    set_defaults(&mut config, &facts(), &Limits::default(), false).unwrap();
    let shown = serde_json::to_string(&config).unwrap();
    let expected = concat!(
        r#"{"deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"#,
        r#""replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0}"#
    );
    assert_eq!(shown, expected);
    assert_eq!(serde_json::from_str::<ConsumerConfig>(&shown).unwrap(), config);
}

#[test]
fn null_is_as_good_as_nothing() {
    let text =
        r#"{"durable_name":null,"backoff":null,"metadata":null,"filter_subjects":null,"ack_policy":"all"}"#;
    let config: ConsumerConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, ConsumerConfig { ack_policy: AckPolicy::All, ..ConsumerConfig::default() });
}

#[test]
fn what_can_not_be_is_refused_with_the_number_clients_know() {
    let some = ConsumerConfig::default;
    let push = || ConsumerConfig { deliver_subject: "out".into(), ..some() };
    let explicit = || ConsumerConfig { ack_policy: AckPolicy::Explicit, ..some() };
    for (config, number) in [
        (ConsumerConfig { name: "a.b".into(), ..some() }, 10052),
        (ConsumerConfig { num_replicas: 3, ..some() }, 10126),
        (ConsumerConfig { num_replicas: -1, ..some() }, 10133),
        (ConsumerConfig { ack_wait: -1, ..explicit() }, 10183),
        (ConsumerConfig { backoff: vec![-1], ..explicit() }, 10184),
        (ConsumerConfig { backoff: vec![1, 2], max_deliver: 1, ..explicit() }, 10116),
        (ConsumerConfig { description: "x".repeat(5000), ..some() }, 10107),
        (ConsumerConfig { deliver_subject: "out.*".into(), ..some() }, 10079),
        (ConsumerConfig { deliver_subject: "out..x".into(), ..some() }, 10112),
        (ConsumerConfig { deliver_subject: "orders.x".into(), ..some() }, 10081),
        (ConsumerConfig { max_waiting: 5, ..push() }, 10080),
        (ConsumerConfig { max_ack_pending: 5, ..push() }, 10082),
        (ConsumerConfig { idle_heartbeat: MILLISECOND, ..push() }, 10083),
        (ConsumerConfig { rate_limit_bps: 5, ..some() }, 10086),
        (ConsumerConfig { idle_heartbeat: SECOND, ..some() }, 10088),
        (ConsumerConfig { flow_control: true, ..some() }, 10089),
        (ConsumerConfig { flow_control: true, ..push() }, 10108),
        (ConsumerConfig { max_expires: 5, ..some() }, 10115),
        (ConsumerConfig { direct: true, ..some() }, 10090),
        (ConsumerConfig { direct: true, durable: "d".into(), ..push() }, 10091),
        (ConsumerConfig { filter_subject: "a".into(), filter_subjects: vec!["b".into()], ..some() }, 10136),
        (ConsumerConfig { filter_subject: "a..b".into(), ..some() }, 10052),
        (ConsumerConfig { filter_subjects: vec![String::new()], ..some() }, 10139),
        (ConsumerConfig { filter_subjects: vec!["a.*".into(), "a.b".into()], ..some() }, 10138),
        (ConsumerConfig { opt_start_seq: 5, ..some() }, 10094),
        (ConsumerConfig { deliver_policy: DeliverPolicy::ByStartTime, ..some() }, 10094),
        (ConsumerConfig { deliver_policy: DeliverPolicy::LastPerSubject, ..some() }, 10094),
        (ConsumerConfig { sample_freq: "often".into(), ..some() }, 10095),
        (ConsumerConfig { durable: "a".into(), name: "b".into(), ..some() }, 10132),
        (ConsumerConfig { metadata: [("k".into(), "v".repeat(140_000))].into(), ..some() }, 10135),
        (ConsumerConfig { priority_policy: PriorityPolicy::Overflow, ..some() }, 10159),
        (ConsumerConfig { priority_groups: vec!["g".into()], ..some() }, 10196),
        (ConsumerConfig { pinned_ttl: SECOND, ..some() }, 10197),
        (ConsumerConfig { ack_policy: AckPolicy::FlowControl, ..some() }, 10218),
        (ConsumerConfig { ack_policy: AckPolicy::FlowControl, ack_wait: 5, ..push() }, 10221),
        (some(), 0),
        (push(), 0),
        (ConsumerConfig { ack_policy: AckPolicy::FlowControl, ..push() }, 0),
        (
            ConsumerConfig {
                filter_subjects: vec!["a.*".into(), "b".into()],
                sample_freq: "5%".into(),
                ..some()
            },
            0,
        ),
    ] {
        assert_eq!(refused(config.clone()), number, "{config:?}");
    }
    let queue = StreamFacts { by_interest: true, workqueue: true, ..facts() };
    assert_eq!(refused_on(some(), &queue), 10084);
    let bounded = StreamFacts { max_ack_pending: 5, inactive_threshold: SECOND, ..facts() };
    assert_eq!(refused_on(ConsumerConfig { max_ack_pending: 6, ..explicit() }, &bounded), 10121);
    assert_eq!(refused_on(ConsumerConfig { inactive_threshold: 2 * SECOND, ..some() }, &bounded), 10153);
}

#[test]
fn pedantic_requests_are_not_mended() {
    let mut config = ConsumerConfig { max_deliver: -5, ..ConsumerConfig::default() };
    let error = set_defaults(&mut config, &facts(), &Limits::default(), true).unwrap_err();
    assert_eq!(
        (error.err_code, &*error.description),
        (10157, "pedantic mode: max_deliver must be set to -1")
    );
}

#[test]
fn some_things_stay_as_they_are() {
    let old = ConsumerConfig { durable: "a".into(), ..ConsumerConfig::default() };
    let update =
        |new: &ConsumerConfig| check_update(&old, new, false).err().map_or(0, |error| error.err_code);
    assert_eq!(update(&ConsumerConfig { description: "new".into(), max_ack_pending: 5, ..old.clone() }), 0);
    assert_eq!(update(&ConsumerConfig { ack_policy: AckPolicy::All, ..old.clone() }), 10012);
    assert_eq!(update(&ConsumerConfig { deliver_subject: "out".into(), ..old.clone() }), 10012);
    let push = ConsumerConfig { deliver_subject: "out".into(), ..old.clone() };
    let moved = ConsumerConfig { deliver_subject: "else".into(), ..old.clone() };
    assert!(check_update(&push, &moved, false).is_ok());
    assert_eq!(check_update(&push, &moved, true).map_err(|error| error.err_code), Err(10013));
}
