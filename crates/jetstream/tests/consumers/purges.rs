//! Where consumers go on when messages went by a purge or a roll-up: as nats-server has it.

use serde_json::{Value, json};

use crate::group::consumer;
use crate::rig::Rig;

/// A stream of 1: `p.a`, 2: `p.b`, 3: `p.b`, and three consumers that were delivered nothing.
async fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.stream("P", &["p.*"], json!({ "allow_rollup_hdrs": true })).await;
    for (name, config) in [
        ("all", json!({})),
        ("a", json!({ "filter_subject": "p.a" })),
        ("b", json!({ "filter_subject": "p.b" })),
    ] {
        consumer(&mut rig, "P", name, config).await;
    }
    for subject in ["p.a", "p.b", "p.b"] {
        rig.publish(subject, &[], "x").await;
    }
    rig
}

/// Up to which sequence of the stream each is: delivered, acknowledged.
async fn places(rig: &mut Rig) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    for name in ["all", "a", "b"] {
        let info = rig.api(&format!("CONSUMER.INFO.P.{name}"), &Value::Null).await;
        let of = |what: &str| info[what]["stream_seq"].as_u64().unwrap();
        places.push((of("delivered"), of("ack_floor")));
    }
    places
}

#[tokio::test]
async fn a_roll_up_of_everything_moves_everybody() {
    let mut rig = rig().await;
    rig.publish("p.a", &[("Nats-Rollup", "all")], "x").await;
    assert_eq!(places(&mut rig).await, [(3, 3), (3, 3), (3, 3)]);
}

#[tokio::test]
async fn a_roll_up_of_a_subject_moves_those_who_want_just_that() {
    let mut rig = rig().await;
    rig.publish("p.b", &[("Nats-Rollup", "sub")], "x").await;
    assert_eq!(places(&mut rig).await, [(0, 0), (0, 0), (3, 3)]);
}

#[tokio::test]
async fn a_purge_of_a_subject_moves_nobody_else() {
    let mut rig = rig().await;
    let purged = rig.api("STREAM.PURGE.P", &json!({ "filter": "p.a" })).await;
    assert_eq!(purged["purged"], 1);
    // Nothing of `p.a` is left; who wants all goes on at the first message there is.
    assert_eq!(places(&mut rig).await, [(1, 1), (3, 3), (0, 0)]);
}

#[tokio::test]
async fn who_wants_other_subjects_too_still_gets_them() {
    let mut rig = rig().await;
    consumer(&mut rig, "P", "both", json!({ "filter_subjects": ["p.a", "p.b"] })).await;
    rig.api("STREAM.PURGE.P", &json!({ "filter": "p.b" })).await;
    let info = rig.api("CONSUMER.INFO.P.both", &Value::Null).await;
    assert_eq!((&info["num_pending"], &info["delivered"]["stream_seq"]), (&json!(1), &json!(0)));
}
