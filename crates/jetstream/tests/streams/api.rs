//! Creating, changing, showing, purging, removing.

use serde_json::{Value, json};

use crate::rig::{Rig, code};

#[tokio::test]
async fn a_stream_is_created_shown_changed_and_removed() {
    let mut rig = Rig::new();
    let created = rig.stream("ORDERS", &["orders.>"], json!({ "max_msgs": 10 })).await;
    assert_eq!(created["type"], "io.nats.jetstream.api.v1.stream_create_response");
    assert_eq!(created["did_create"], true);
    assert_eq!(created["config"]["num_replicas"], 1);
    assert_eq!(created["config"]["max_bytes"], -1);
    assert_eq!(created["config"]["duplicate_window"], 120_000_000_000_u64);
    assert_eq!(created["config"]["metadata"]["_nats.level"], "5");
    assert_eq!(created["state"]["first_seq"], 0);
    let config = json!({ "name": "ORDERS", "subjects": ["orders.>"], "storage": "memory", "max_msgs": 10 });
    let again = rig.api("STREAM.CREATE.ORDERS", &config).await;
    assert!(again.get("error").is_none(), "{again}");
    let other = json!({ "name": "ORDERS", "subjects": ["orders.>"], "storage": "memory", "max_msgs": 11 });
    assert_eq!(code(&rig.api("STREAM.CREATE.ORDERS", &other).await), 10058);
    assert_eq!(rig.api("STREAM.UPDATE.ORDERS", &other).await["config"]["max_msgs"], 11);
    assert_eq!(code(&rig.api("STREAM.CREATE.OTHER", &other).await), 10056);
    let clash = json!({ "name": "OTHER", "subjects": ["orders.new"], "storage": "memory" });
    assert_eq!(code(&rig.api("STREAM.CREATE.OTHER", &clash).await), 10065);
    let names = rig.api("STREAM.NAMES", &Value::Null).await;
    assert_eq!((&names["streams"], &names["total"]), (&json!(["ORDERS"]), &json!(1)));
    let none = rig.api("STREAM.NAMES", &json!({ "subject": "other" })).await;
    assert_eq!((&none["streams"], &none["total"]), (&Value::Null, &json!(0)));
    assert_eq!(
        rig.api("STREAM.LIST", &json!({ "offset": 0 })).await["streams"][0]["config"]["name"],
        "ORDERS"
    );
    assert_eq!(rig.api("STREAM.DELETE.ORDERS", &Value::Null).await["success"], true);
    assert_eq!(code(&rig.api("STREAM.INFO.ORDERS", &Value::Null).await), 10059);
    assert_eq!(code(&rig.api("CONSUMER.INFO.ORDERS.c", &Value::Null).await), 10059);
}

#[tokio::test]
async fn what_can_not_be_is_refused_in_nats_servers_words() {
    let mut rig = Rig::new();
    for (more, number) in [
        (json!({ "num_replicas": 3 }), 10074),
        (json!({ "unknown": 1 }), 10025),
        (json!({ "max_age": -1 }), 10052),
        (json!({ "discard_new_per_subject": true }), 10052),
        (json!({ "subjects": ["$JS.>"] }), 10052),
        (json!({ "subjects": ["a.>", "a.b"] }), 10052),
        (json!({ "mirror": { "name": "X" }, "subjects": ["a"] }), 10034),
        (json!({ "sources": [{ "name": "X" }, { "name": "X" }] }), 10140),
        (json!({ "republish": { "src": ">", "dest": "a.>" }, "subjects": ["a.>"] }), 10052),
        (json!({ "metadata": { "gatehouse.sync": "often" } }), 10052),
        (json!({ "max_bytes": 1_u64 << 50 }), 10028),
    ] {
        let mut config = json!({ "name": "X1", "storage": "memory" });
        more.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
        let answer = rig.api("STREAM.CREATE.X1", &config).await;
        assert_eq!(code(&answer), number, "{more} {answer}");
    }
    let answer = rig.api("STREAM.CREATE.a", &json!({ "name": "a", "num_replicas": 3 })).await;
    assert!(answer["error"]["description"].as_str().unwrap().contains("cluster behind the gateway"));
}

#[tokio::test]
async fn messages_are_got_deleted_and_purged() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    for n in 1..=6 {
        let ack = rig.publish(&format!("s.{}", n % 2), &[], &format!("m{n}")).await;
        assert_eq!(ack, json!({ "stream": "S", "seq": n }));
    }
    let got = rig.api("STREAM.MSG.GET.S", &json!({ "seq": 2 })).await;
    assert_eq!((&got["message"]["subject"], &got["message"]["data"]), (&json!("s.0"), &json!("bTI=")));
    let got = rig.api("STREAM.MSG.GET.S", &json!({ "last_by_subj": "s.1" })).await;
    assert_eq!(got["message"]["seq"], 5);
    let got = rig.api("STREAM.MSG.GET.S", &json!({ "seq": 2, "next_by_subj": "s.1" })).await;
    assert_eq!(got["message"]["seq"], 3);
    assert_eq!(code(&rig.api("STREAM.MSG.GET.S", &json!({ "seq": 99 })).await), 10037);
    assert_eq!(code(&rig.api("STREAM.MSG.GET.S", &Value::Null).await), 10003);
    assert_eq!(rig.api("STREAM.MSG.DELETE.S", &json!({ "seq": 3 })).await["success"], true);
    assert_eq!(code(&rig.api("STREAM.MSG.DELETE.S", &json!({ "seq": 3 })).await), 10043);
    let info = rig.api("STREAM.INFO.S", &json!({ "deleted_details": true, "subjects_filter": ">" })).await;
    assert_eq!(info["state"]["deleted"], json!([3]));
    assert_eq!(info["state"]["subjects"], json!({ "s.0": 3, "s.1": 2 }));
    let purged = rig.api("STREAM.PURGE.S", &json!({ "filter": "s.0", "keep": 1 })).await;
    assert_eq!(purged["purged"], 2);
    let purged = rig.api("STREAM.PURGE.S", &json!({ "seq": 6 })).await;
    assert_eq!(purged["purged"], 2);
    assert_eq!(rig.api("STREAM.PURGE.S", &Value::Null).await["purged"], 1);
    let state = rig.state("S").await;
    assert_eq!(
        (&state["first_seq"], &state["last_seq"], &state["messages"]),
        (&json!(7), &json!(6), &json!(0))
    );
}

#[tokio::test]
async fn the_account_tells_what_is_used() {
    let mut rig = Rig::new();
    rig.stream("S", &["s"], json!({ "max_bytes": 1000 })).await;
    rig.publish("s", &[], "0123456789").await;
    let info = rig.api("INFO", &Value::Null).await;
    assert_eq!(info["type"], "io.nats.jetstream.api.v1.account_info_response");
    assert_eq!((&info["streams"], &info["reserved_memory"]), (&json!(1), &json!(1000)));
    assert_eq!((&info["memory"], &info["limits"]["max_memory"]), (&json!(27), &json!(-1)));
    assert_eq!(info["api"]["level"], 5);
    let figures = rig.jetstream.figures();
    assert_eq!((figures.streams, figures.messages, figures.memory), (1, 1, 27));
    rig.api("STREAM.DELETE.S", &Value::Null).await;
    assert_eq!(rig.api("INFO", &Value::Null).await["memory"], 0);
}

#[tokio::test]
async fn who_watches_is_told() {
    let mut rig = Rig::new();
    rig.client.subscribe("$JS.EVENT.ADVISORY.STREAM.>", None).unwrap();
    rig.client.publish(b"$JS.API.STREAM.CREATE.S", b"", br#"{"name":"S","storage":"memory"}"#).unwrap();
    let told = rig.message().await;
    assert_eq!(told.subject, b"$JS.EVENT.ADVISORY.STREAM.CREATED.S");
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(
        (&told["type"], &told["action"]),
        (&json!("io.nats.jetstream.advisory.v1.stream_action"), &json!("create"))
    );
}
