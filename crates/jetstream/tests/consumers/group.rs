//! Pulling, pushing, acknowledging, pausing through the API.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Rig, code, header};

/// Creates a consumer and returns the answer.
pub(crate) async fn consumer(rig: &mut Rig, stream: &str, name: &str, more: Value) -> Value {
    let mut config = json!({ "durable_name": name, "ack_policy": "explicit" });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let request = json!({ "stream_name": stream, "config": config });
    rig.api(&format!("CONSUMER.CREATE.{stream}.{name}"), &request).await
}

pub(crate) async fn info(rig: &mut Rig, stream: &str, name: &str) -> Value {
    rig.api(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null).await
}

pub(crate) fn pull(rig: &Rig, stream: &str, name: &str, inbox: &str, request: &Value) {
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    rig.send(&subject, inbox, &[], &request.to_string());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn instances_of_a_durable_share_its_messages() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    for number in 0..20 {
        rig.publish(&format!("s.{number}"), &[], &number.to_string()).await;
    }
    consumer(&mut rig, "S", "group", json!({})).await;
    pull(&rig, "S", "group", "in.one", &json!({ "batch": 10 }));
    pull(&rig, "S", "group", "in.two", &json!({ "batch": 10 }));
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let message = rig.message().await;
        assert!(seen.insert(text(&message.payload)), "{} came twice", text(&message.payload));
        rig.send(&text(&message.reply), "", &[], "+ACK");
    }
    // Acknowledgements are worked off behind the requests that follow them.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut told = info(&mut rig, "S", "group").await;
    while told["num_ack_pending"] != 0 && Instant::now() < deadline {
        told = info(&mut rig, "S", "group").await;
    }
    assert_eq!((&told["num_pending"], &told["num_ack_pending"]), (&json!(0), &json!(0)));
    assert_eq!(
        told["ack_floor"],
        json!({ "consumer_seq": 20, "stream_seq": 20, "last_active": told["ack_floor"]["last_active"] })
    );
}

#[tokio::test]
async fn a_double_acknowledgement_is_answered() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    consumer(&mut rig, "S", "c", json!({})).await;
    rig.publish("s", &[("X", "y")], "payload").await;
    pull(&rig, "S", "c", "in.pull", &json!({ "batch": 1 }));
    let message = rig.message().await;
    assert_eq!(text(&message.payload), "payload");
    assert_eq!(header(&message, "X"), "y");
    rig.send(&text(&message.reply), "in.confirm", &[], "+ACK");
    let confirmed = rig.message().await;
    assert_eq!((text(&confirmed.subject), confirmed.payload.len()), ("in.confirm".into(), 0));
}

#[tokio::test]
async fn push_consumers_wait_for_who_listens() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    rig.publish("s", &[], "early").await;
    consumer(&mut rig, "S", "c", json!({ "deliver_subject": "out.c", "ack_policy": "none" })).await;
    assert_eq!(info(&mut rig, "S", "c").await["num_pending"], 1);
    rig.client.subscribe("out.c", None).unwrap();
    assert_eq!(text(&rig.message().await.payload), "early");
    let told = info(&mut rig, "S", "c").await;
    assert_eq!((&told["push_bound"], &told["num_pending"]), (&json!(true), &json!(0)));
    rig.send("s", "", &[], "late");
    assert_eq!(text(&rig.message().await.payload), "late");
}

#[tokio::test]
async fn names_and_infos_come_in_pages_and_deleted_is_gone() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    for name in ["b", "a", "c"] {
        consumer(&mut rig, "S", name, json!({})).await;
    }
    let names = rig.api("CONSUMER.NAMES.S", &json!({ "offset": 1 })).await;
    assert_eq!((&names["consumers"], &names["total"]), (&json!(["b", "c"]), &json!(3)));
    let list = rig.api("CONSUMER.LIST.S", &Value::Null).await;
    assert_eq!(list["consumers"].as_array().unwrap().len(), 3);
    assert_eq!(rig.api("CONSUMER.DELETE.S.b", &Value::Null).await["success"], true);
    assert_eq!(code(&info(&mut rig, "S", "b").await), 10014);
    assert_eq!(code(&rig.api("CONSUMER.DELETE.S.b", &Value::Null).await), 10014);
    assert_eq!(code(&rig.api("CONSUMER.CREATE.S.d", &json!({ "stream_name": "T" })).await), 10056);
}

#[tokio::test]
async fn a_pause_holds_messages_back() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    consumer(&mut rig, "S", "c", json!({})).await;
    let paused = rig.api("CONSUMER.PAUSE.S.c", &json!({ "pause_until": "2100-01-01T00:00:00Z" })).await;
    assert_eq!((&paused["paused"], &paused["pause_until"]), (&json!(true), &json!("2100-01-01T00:00:00Z")));
    rig.publish("s", &[], "x").await;
    pull(&rig, "S", "c", "in.pull", &json!({ "batch": 1, "expires": 200_000_000 }));
    assert_eq!(header(&rig.message().await, "Nats-Pending-Messages"), "1");
    assert_eq!(rig.api("CONSUMER.PAUSE.S.c", &Value::Null).await["paused"], false);
    pull(&rig, "S", "c", "in.pull", &json!({ "batch": 1 }));
    assert_eq!(text(&rig.message().await.payload), "x");
}

#[tokio::test]
async fn what_goes_from_the_stream_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    consumer(&mut rig, "S", "c", json!({})).await;
    for _ in 0..4 {
        rig.publish("s", &[], "x").await;
    }
    pull(&rig, "S", "c", "in.pull", &json!({ "batch": 3 }));
    for _ in 0..3 {
        rig.message().await;
    }
    assert_eq!(rig.api("STREAM.MSG.DELETE.S", &json!({ "seq": 2 })).await["success"], true);
    let told = info(&mut rig, "S", "c").await;
    assert_eq!((&told["num_ack_pending"], &told["num_pending"]), (&json!(2), &json!(1)));
    assert_eq!(rig.api("STREAM.PURGE.S", &Value::Null).await["purged"], 3);
    let told = info(&mut rig, "S", "c").await;
    assert_eq!((&told["num_ack_pending"], &told["num_pending"]), (&json!(0), &json!(0)));
    assert_eq!(told["delivered"]["stream_seq"], 4);
}

#[tokio::test]
async fn what_is_asked_of_a_consumer_that_is_not_there_is_answered_by_nobody() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({})).await;
    let asked = rig.client.publish(b"$JS.API.CONSUMER.MSG.NEXT.S.nobody", b"in.x", b"1");
    assert_eq!(asked, Err(broker::LocalError::NoResponders));
}
