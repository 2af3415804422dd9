//! Direct gets.

use serde_json::{Value, json};

use crate::rig::{Rig, header};

#[tokio::test]
async fn messages_come_as_they_are() {
    let mut rig = Rig::new();
    rig.stream("KV", &["kv.>"], json!({ "allow_direct": true })).await;
    rig.publish("kv.a", &[("X", "y")], "1").await;
    rig.publish("kv.b.c", &[], "2").await;
    let got = &rig.direct("KV.kv.b.c", &Value::Null, 1).await[0];
    assert_eq!(got.payload, b"2");
    assert_eq!((header(got, "Nats-Stream"), header(got, "Nats-Sequence")), ("KV".into(), "2".into()));
    let got = &rig.direct("KV", &json!({ "seq": 1 }), 1).await[0];
    assert_eq!((header(got, "X"), header(got, "Nats-Subject")), ("y".into(), "kv.a".into()));
    let got = &rig.direct("KV", &json!({ "last_by_subj": "kv.none" }), 1).await[0];
    assert!(got.headers.starts_with(b"NATS/1.0 404 Message Not Found\r\n"));
    let got = &rig.direct("KV", &Value::Null, 1).await[0];
    assert!(got.headers.starts_with(b"NATS/1.0 408 Empty Request\r\n"));
}

#[tokio::test]
async fn several_at_once() {
    let mut rig = Rig::new();
    rig.stream("KV", &["kv.>"], json!({ "allow_direct": true })).await;
    for n in 0..6 {
        rig.publish(&format!("kv.{}", n % 3), &[], &n.to_string()).await;
    }
    let got = rig.direct("KV", &json!({ "seq": 1, "next_by_subj": "kv.1", "batch": 10 }), 3).await;
    assert_eq!(
        (header(&got[0], "Nats-Num-Pending"), header(&got[1], "Nats-Num-Pending")),
        ("1".into(), "0".into())
    );
    assert_eq!(header(&got[1], "Nats-Last-Sequence"), "2");
    assert!(got[2].headers.starts_with(b"NATS/1.0 204 EOB\r\n"));
    let got = rig.direct("KV", &json!({ "multi_last": ["kv.0", "kv.2"] }), 3).await;
    assert_eq!((&*got[0].payload, &*got[1].payload), (&b"3"[..], &b"5"[..]));
    assert_eq!(header(&got[2], "Nats-UpTo-Sequence"), "6");
    let got = rig.direct("KV", &json!({ "multi_last": ["kv.>"], "up_to_seq": 3 }), 4).await;
    assert_eq!(got[2].payload, b"2");
    let got = rig.direct("KV", &json!({ "multi_last": ["none"] }), 1).await;
    assert!(got[0].headers.starts_with(b"NATS/1.0 404 No Results\r\n"));
}
