//! What is there after a restart.

use serde_json::{Value, json};
use store::{Store, StoreOptions};

use crate::rig::{Rig, code};

fn open(dir: &std::path::Path) -> Rig {
    Rig::with(jetstream::Settings::default(), Store::open(dir, StoreOptions::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_and_known_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = open(dir.path());
    let config =
        json!({ "storage": "file", "metadata": { "gatehouse.sync": "interval:50" }, "allow_direct": true });
    rig.stream("S", &["s.*"], config).await;
    rig.stream("COMMIT", &["c"], json!({ "storage": "file", "allow_msg_schedules": true })).await;
    let acks = [
        rig.publish("s.a", &[("Nats-Msg-Id", "one")], "1").await,
        rig.publish("s.b", &[], "2").await,
        rig.publish("s.b", &[("Nats-Msg-Id", "two")], "3").await,
        rig.publish("c", &[("Nats-Msg-Id", "x")], "4").await,
    ];
    assert!(acks.iter().all(|ack| ack["seq"].as_u64() > Some(0)), "{acks:?}");
    rig.api("STREAM.MSG.DELETE.S", &json!({ "seq": 2 })).await;
    let before = rig.api("STREAM.INFO.S", &Value::Null).await;
    assert_eq!(before["config"]["metadata"]["gatehouse.sync"], "interval:50");
    rig.jetstream.close();
    drop(rig);

    let mut rig = open(dir.path());
    let after = rig.api("STREAM.INFO.S", &Value::Null).await;
    assert_eq!((&after["config"], &after["created"]), (&before["config"], &before["created"]));
    assert_eq!(after["state"]["num_deleted"], 1);
    assert_eq!(after["state"]["last_seq"], 3);
    let again = rig.publish("s.a", &[("Nats-Msg-Id", "one")], "1").await;
    assert_eq!(again, json!({ "stream": "S", "seq": 1, "duplicate": true }));
    let wrong = rig.publish("s.a", &[("Nats-Expected-Last-Msg-Id", "one")], "1").await;
    assert_eq!(code(&wrong), 10070);
    assert_eq!(rig.publish("s.a", &[("Nats-Expected-Last-Msg-Id", "two")], "1").await["seq"], 4);
    assert_eq!(rig.publish("c", &[("Nats-Msg-Id", "x")], "4").await["duplicate"], true);
    let info = rig.api("STREAM.INFO.COMMIT", &Value::Null).await;
    // What nobody asked for is not in the configuration, which clients compare.
    assert!(info["config"]["metadata"].get("gatehouse.sync").is_none(), "{info}");
    let known = ["type", "total", "offset", "limit", "cluster", "config", "created", "state", "ts"];
    let unknown = info.as_object().unwrap().keys().find(|field| !known.contains(&field.as_str()));
    assert_eq!(unknown, None, "nats-jetstream of Python takes no field that it does not know");
    rig.api("STREAM.DELETE.S", &Value::Null).await;
    rig.jetstream.close();
    drop(rig);

    let mut rig = open(dir.path());
    assert_eq!(rig.api("STREAM.NAMES", &Value::Null).await["streams"], json!(["COMMIT"]));
}
