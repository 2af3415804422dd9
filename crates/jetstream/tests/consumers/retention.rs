//! Streams whose messages go when their consumers are done with them.

use serde_json::{Value, json};

use crate::group::{consumer, pull};
use crate::rig::Rig;

/// Pulls one message and acknowledges it, and waits until that is confirmed.
async fn take(rig: &mut Rig, stream: &str, name: &str) -> String {
    pull(rig, stream, name, "in.pull", &json!({ "batch": 1 }));
    let message = rig.message().await;
    rig.send(&String::from_utf8_lossy(&message.reply), "in.confirm", &[], "+ACK");
    rig.message().await;
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// How many messages a stream has once it has as many as expected, or after a while.
async fn messages(rig: &mut Rig, stream: &str, expected: u64) -> Value {
    let mut state = Value::Null;
    for _ in 0..1000 {
        state = rig.state(stream).await;
        if state["messages"] == expected {
            break;
        }
        tokio::task::yield_now().await;
    }
    state["messages"].clone()
}

#[tokio::test]
async fn a_work_queue_forgets_what_is_done() {
    let mut rig = Rig::new();
    rig.stream("W", &["w.*"], json!({ "retention": "workqueue" })).await;
    consumer(&mut rig, "W", "one", json!({ "filter_subject": "w.1" })).await;
    consumer(&mut rig, "W", "two", json!({ "filter_subject": "w.2" })).await;
    let overlapping = consumer(&mut rig, "W", "three", json!({ "filter_subject": "w.*" })).await;
    assert_eq!(overlapping["error"]["err_code"], 10100);
    for subject in ["w.1", "w.2", "w.1"] {
        rig.publish(subject, &[], subject).await;
    }
    assert_eq!(take(&mut rig, "W", "one").await, "w.1");
    assert_eq!(messages(&mut rig, "W", 2).await, 2);
    assert_eq!(take(&mut rig, "W", "two").await, "w.2");
    assert_eq!(take(&mut rig, "W", "one").await, "w.1");
    assert_eq!(messages(&mut rig, "W", 0).await, 0);
}

#[tokio::test]
async fn a_message_stays_until_everybody_interested_has_it() {
    let mut rig = Rig::new();
    rig.stream("I", &["i.*"], json!({ "retention": "interest" })).await;
    rig.publish("i.1", &[], "nobody wants it").await;
    assert_eq!(rig.state("I").await["messages"], 0);
    consumer(&mut rig, "I", "all", json!({})).await;
    consumer(&mut rig, "I", "some", json!({ "filter_subject": "i.2" })).await;
    rig.publish("i.1", &[], "i.1").await;
    rig.publish("i.2", &[], "i.2").await;
    assert_eq!(take(&mut rig, "I", "all").await, "i.1");
    assert_eq!(messages(&mut rig, "I", 1).await, 1);
    assert_eq!(take(&mut rig, "I", "all").await, "i.2");
    assert_eq!(messages(&mut rig, "I", 1).await, 1);
    rig.publish("i.2", &[], "i.2").await;
    assert_eq!(take(&mut rig, "I", "some").await, "i.2");
    assert_eq!(messages(&mut rig, "I", 1).await, 1);
    rig.api("CONSUMER.DELETE.I.some", &Value::Null).await;
    rig.api("CONSUMER.DELETE.I.all", &Value::Null).await;
    assert_eq!(messages(&mut rig, "I", 0).await, 0);
}
