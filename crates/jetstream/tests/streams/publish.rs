//! What a publish may ask for.

use serde_json::{Value, json};

use crate::rig::{Rig, code, header};

#[tokio::test]
async fn duplicates_are_stored_once() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    assert_eq!(rig.publish("s", &[("Nats-Msg-Id", "a")], "1").await, json!({ "stream": "S", "seq": 1 }));
    let again = rig.publish("s", &[("Nats-Msg-Id", "a")], "1").await;
    assert_eq!(again, json!({ "stream": "S", "seq": 1, "duplicate": true }));
    assert_eq!(rig.publish("s", &[("Nats-Msg-Id", "b")], "2").await["seq"], 2);
    assert_eq!(rig.state("S").await["messages"], 2);
    let wrong = rig.publish("s", &[("Nats-Expected-Last-Msg-Id", "a")], "3").await;
    assert_eq!((code(&wrong), &wrong["error"]["description"]), (10070, &json!("wrong last msg ID: b")));
    assert_eq!(rig.publish("s", &[("Nats-Expected-Last-Msg-Id", "b")], "3").await["seq"], 3);
}

#[tokio::test]
async fn expectations_are_checked() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    rig.publish("s.a", &[], "1").await;
    rig.publish("s.b", &[], "2").await;
    for (headers, number) in [
        (vec![("Nats-Expected-Stream", "T")], 10060),
        (vec![("Nats-Expected-Last-Sequence", "1")], 10071),
        (vec![("Nats-Expected-Last-Subject-Sequence", "2")], 10071),
        (vec![("Nats-Expected-Last-Subject-Sequence-Subject", "s.b")], 10193),
        (vec![("Nats-TTL", "5")], 10166),
        (vec![("Nats-Rollup", "sub")], 10111),
        (vec![("Nats-Incr", "1")], 10168),
        (vec![("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1")], 10174),
        (vec![("Nats-Schedule", "@every 1m"), ("Nats-Schedule-Target", "s.c")], 10188),
        (vec![("Nats-Stream-Source", "X 1")], 10227),
    ] {
        let answer = rig.publish("s.a", &headers, "x").await;
        assert_eq!(code(&answer), number, "{headers:?} {answer}");
        assert_eq!((&answer["stream"], &answer["seq"]), (&json!("S"), &json!(0)));
    }
    let fine = [
        ("Nats-Expected-Stream", "S"),
        ("Nats-Expected-Last-Sequence", "2"),
        ("Nats-Expected-Last-Subject-Sequence", "1"),
    ];
    assert_eq!(rig.publish("s.a", &fine, "x").await["seq"], 3);
    let about = [
        ("Nats-Expected-Last-Subject-Sequence", "3"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "s.*"),
    ];
    assert_eq!(rig.publish("s.b", &about, "x").await["seq"], 4);
    assert_eq!(rig.publish("s.new", &[("Nats-Expected-Last-Subject-Sequence", "0")], "x").await["seq"], 5);
}

#[tokio::test]
async fn full_streams_refuse_or_forget() {
    let mut rig = Rig::new();
    rig.stream("NEW", &["new"], json!({ "max_msgs": 1, "discard": "new" })).await;
    rig.stream("OLD", &["old"], json!({ "max_msgs": 1, "max_msg_size": 5 })).await;
    rig.publish("new", &[], "1").await;
    let full = rig.publish("new", &[], "2").await;
    assert_eq!((code(&full), &full["error"]["description"]), (10077, &json!("maximum messages exceeded")));
    rig.publish("old", &[], "1").await;
    assert_eq!(rig.publish("old", &[], "2").await["seq"], 2);
    assert_eq!(code(&rig.publish("old", &[], "123456").await), 10054);
    assert_eq!(rig.state("OLD").await["first_seq"], 2);
    rig.api(
        "STREAM.UPDATE.OLD",
        &json!({ "name": "OLD", "storage": "memory", "subjects": ["old"], "sealed": true }),
    )
    .await;
    assert_eq!(code(&rig.publish("old", &[], "3").await), 10109);
}

#[tokio::test]
async fn roll_ups_replace_what_was() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({ "allow_rollup_hdrs": true })).await;
    for subject in ["s.a", "s.a", "s.b"] {
        rig.publish(subject, &[], "x").await;
    }
    rig.publish("s.a", &[("Nats-Rollup", "sub")], "y").await;
    assert_eq!(rig.state("S").await["messages"], 2);
    rig.publish("s.c", &[("Nats-Rollup", "all")], "y").await;
    let state = rig.state("S").await;
    assert_eq!((&state["messages"], &state["first_seq"]), (&json!(1), &json!(5)));
}

#[tokio::test]
async fn batches_are_stored_together_or_not_at_all() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({ "allow_atomic": true })).await;
    let first = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1")];
    assert_eq!(rig.publish("s.a", &first, "1").await, Value::Null);
    assert_eq!(rig.state("S").await["messages"], 0);
    let last = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "2"), ("Nats-Batch-Commit", "1")];
    let ack = rig.publish("s.b", &last, "2").await;
    assert_eq!(ack, json!({ "stream": "S", "seq": 2, "batch": "b", "count": 2 }));
    assert_eq!(rig.publish("s.a", &first, "3").await, Value::Null);
    let gap = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "3")];
    assert_eq!(code(&rig.publish("s.a", &gap, "4").await), 10176);
    assert_eq!(rig.publish("s.a", &first, "5").await, Value::Null);
    let failing = [
        ("Nats-Batch-Id", "b"),
        ("Nats-Batch-Sequence", "2"),
        ("Nats-Batch-Commit", "1"),
        ("Nats-Expected-Last-Subject-Sequence", "99"),
    ];
    assert_eq!(code(&rig.publish("s.c", &failing, "6").await), 10071);
    assert_eq!(rig.state("S").await["messages"], 2);
}

#[tokio::test]
async fn counters_count() {
    let mut rig = Rig::new();
    rig.stream("C", &["c.*"], json!({ "allow_msg_counter": true })).await;
    for (incr, value) in
        [("1", "1"), ("+41", "42"), ("-50", "-8"), ("100000000000000000000000", "99999999999999999999992")]
    {
        assert_eq!(rig.publish("c.a", &[("Nats-Incr", incr)], "").await["val"], value);
    }
    assert_eq!(code(&rig.publish("c.a", &[], "").await), 10169);
    assert_eq!(code(&rig.publish("c.a", &[("Nats-Incr", "x")], "").await), 10171);
    assert_eq!(code(&rig.publish("c.a", &[("Nats-Incr", "1")], "x").await), 10170);
}

#[tokio::test]
async fn subjects_are_transformed_and_published_once_more() {
    let mut rig = Rig::new();
    let more = json!({
        "subject_transform": { "src": "s.*", "dest": "stored.{{wildcard(1)}}" },
        "republish": { "src": "stored.>", "dest": "in.again.>" },
    });
    rig.stream("S", &["s.*"], more).await;
    rig.send("s.a", "", &[], "hello");
    let again = rig.message().await;
    assert_eq!((&*again.subject, &*again.payload), (&b"in.again.a"[..], &b"hello"[..]));
    assert_eq!(header(&again, "Nats-Subject"), "stored.a");
    assert_eq!(header(&again, "Nats-Last-Sequence"), "0");
    let got = rig.api("STREAM.MSG.GET.S", &json!({ "seq": 1 })).await;
    assert_eq!(got["message"]["subject"], "stored.a");
}

#[tokio::test]
async fn messages_expire_and_leave_markers() {
    let mut rig = Rig::new();
    let more = json!({ "allow_msg_ttl": true, "subject_delete_marker_ttl": 2_000_000_000_u64, "max_msgs_per_subject": 1 });
    rig.stream("S", &["s.*"], more).await;
    rig.publish("s.a", &[("Nats-TTL", "1s")], "x").await;
    let until = std::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        let last = rig.api("STREAM.MSG.GET.S", &json!({ "last_by_subj": "s.a" })).await;
        if last["message"]["seq"] == 2 {
            let block = last["message"]["hdrs"].as_str().unwrap();
            assert!(!block.is_empty() && last["message"].get("data").is_none(), "{last}");
            break;
        }
        assert!(std::time::Instant::now() < until, "no marker: {last}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    loop {
        // The marker goes too, and leaves nothing.
        let state = rig.state("S").await;
        if state["messages"] == 0 {
            assert_eq!(state["last_seq"], 2);
            break;
        }
        assert!(std::time::Instant::now() < until, "the marker stays: {state}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_purged_key_that_expires_leaves_no_marker() {
    let mut rig = Rig::new();
    let more = json!({ "allow_msg_ttl": true, "subject_delete_marker_ttl": 1_000_000_000, "max_msgs_per_subject": 1 });
    rig.stream("KV_A", &["$KV.A.>"], more.clone()).await;
    rig.stream("KV_B", &[], {
        let mut sourced = more;
        sourced["sources"] = json!([{ "name": "KV_A" }]);
        sourced
    })
    .await;
    // Something expires first, so that markers were looked for before.
    rig.publish("$KV.A.first", &[("Nats-TTL", "1s")], "x").await;
    let until = std::time::Instant::now() + crate::rig::PATIENCE;
    let emptied = async |rig: &mut Rig, name: &str, last: u64| loop {
        let state = rig.state(name).await;
        if state["messages"] == 0 && state["last_seq"].as_u64() >= Some(last) {
            break state["last_seq"].clone();
        }
        assert!(std::time::Instant::now() < until, "something stays: {state}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(emptied(&mut rig, "KV_A", 2).await, 2);
    let purged = [("KV-Operation", "PURGE"), ("Nats-Rollup", "sub"), ("Nats-TTL", "1s")];
    rig.publish("$KV.A.a", &purged, "").await;
    // As older clients do it.
    rig.publish("$KV.A.b", &[("KV-Operation", "PURGE"), ("Nats-TTL", "1s")], "").await;
    assert_eq!(emptied(&mut rig, "KV_A", 4).await, 4);
    emptied(&mut rig, "KV_B", 4).await;
}

#[tokio::test]
async fn messages_are_sent_later() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({ "allow_msg_schedules": true })).await;
    let at = jetstream::stamp::Stamp::of(std::time::SystemTime::now() + std::time::Duration::from_secs(1));
    let schedule = format!("@at {at}");
    let headers = [("Nats-Schedule", schedule.as_str()), ("Nats-Schedule-Target", "s.target"), ("A", "b")];
    assert_eq!(rig.publish("s.plan", &headers, "later").await["seq"], 1);
    let until = std::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        let state = rig.api("STREAM.INFO.S", &json!({ "subjects_filter": ">" })).await["state"].clone();
        if state["subjects"] == json!({ "s.target": 1 }) {
            break;
        }
        assert!(std::time::Instant::now() < until, "nothing sent: {state}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
