//! Mirrors and sources.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{PATIENCE, Rig};

/// Waits until a stream has so many messages.
async fn filled(rig: &mut Rig, name: &str, messages: u64) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let info = rig.api(&format!("STREAM.INFO.{name}"), &Value::Null).await;
        if info["state"]["messages"] == messages {
            return info;
        }
        assert!(Instant::now() < until, "{info}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_mirror_keeps_sequences() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    for n in 1..=4 {
        rig.publish(&format!("s.{}", n % 2), &[], "x").await;
    }
    rig.api("STREAM.MSG.DELETE.S", &json!({ "seq": 2 })).await;
    rig.stream("M", &[], json!({ "mirror": { "name": "S" } })).await;
    let info = filled(&mut rig, "M", 3).await;
    assert_eq!((&info["state"]["last_seq"], &info["state"]["num_deleted"]), (&json!(4), &json!(1)));
    assert_eq!((&info["mirror"]["name"], &info["mirror"]["lag"]), (&json!("S"), &json!(0)));
    rig.publish("s.1", &[], "y").await;
    let info = filled(&mut rig, "M", 4).await;
    assert_eq!(info["state"]["last_seq"], 5);
    rig.stream("F", &[], json!({ "mirror": { "name": "S", "filter_subject": "s.0" } })).await;
    assert_eq!(filled(&mut rig, "F", 1).await["state"]["first_seq"], 4);
}

#[tokio::test]
async fn a_mirror_answers_direct_gets_of_its_origin() {
    let mut rig = Rig::new();
    let none = json!({ "name": "X", "mirror_direct": true });
    let refused = rig.api("STREAM.CREATE.X", &none).await;
    assert_eq!(refused["error"]["description"], "stream has no mirror but does have mirror direct");
    rig.stream("S", &["s.*"], json!({ "allow_direct": true })).await;
    rig.publish("s.1", &[], "x").await;
    let mirror = rig.stream("M", &[], json!({ "mirror": { "name": "S" }, "storage": "memory" })).await;
    assert_eq!(mirror["config"]["mirror_direct"], true);
    filled(&mut rig, "M", 1).await;
    rig.api("STREAM.DELETE.S", &Value::Null).await;
    for (rest, body) in [("S.s.1", Value::Null), ("S", json!({ "seq": 1 }))] {
        let got = rig.direct(rest, &body, 1).await;
        assert_eq!(&*got[0].payload, b"x");
        assert_eq!(crate::rig::header(&got[0], "Nats-Stream"), "M");
    }
}

#[tokio::test]
async fn two_mirrors_of_one_stream_may_be_sources_together() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    for name in ["M1", "M2"] {
        rig.stream(name, &[], json!({ "mirror": { "name": "S" } })).await;
    }
    rig.stream("BOTH", &[], json!({ "sources": [{ "name": "M1" }, { "name": "M2" }] })).await;
    rig.publish("s.1", &[], "x").await;
    filled(&mut rig, "BOTH", 2).await;
    let twice = json!({ "name": "X", "sources": [{ "name": "S" }, { "name": "M1" }] });
    let refused = rig.api("STREAM.CREATE.X", &twice).await;
    assert_eq!(refused["error"]["description"], "detected cycle", "{refused}");
}

#[tokio::test]
async fn sources_say_where_messages_are_from() {
    let mut rig = Rig::new();
    rig.stream("A", &["a.*"], json!({})).await;
    rig.stream("B", &["b.*"], json!({})).await;
    rig.publish("a.1", &[], "x").await;
    rig.publish("b.1", &[], "x").await;
    rig.publish("b.2", &[], "x").await;
    let sources = json!([
        { "name": "A", "subject_transforms": [{ "src": "a.*", "dest": "from.a.{{wildcard(1)}}" }] },
        { "name": "B", "filter_subject": "b.2" },
    ]);
    rig.stream("ALL", &[], json!({ "sources": sources })).await;
    let info = filled(&mut rig, "ALL", 2).await;
    assert_eq!(info["sources"].as_array().unwrap().len(), 2);
    let got = rig.api("STREAM.MSG.GET.ALL", &json!({ "last_by_subj": "from.a.1" })).await;
    use base64::Engine;
    let block =
        base64::engine::general_purpose::STANDARD.decode(got["message"]["hdrs"].as_str().unwrap()).unwrap();
    let block = String::from_utf8(block).unwrap();
    assert!(block.contains("Nats-Stream-Source: A 1 a.* from.a.{{wildcard(1)}} a.1\r\n"), "{block}");
}

#[tokio::test]
async fn counters_add_up_over_sources() {
    let mut rig = Rig::new();
    for name in ["X", "Y"] {
        let subjects = [format!("{name}.*")];
        rig.stream(name, &[subjects[0].as_str()], json!({ "allow_msg_counter": true })).await;
        rig.publish(&format!("{name}.hits"), &[("Nats-Incr", "5")], "").await;
        rig.publish(&format!("{name}.hits"), &[("Nats-Incr", "2")], "").await;
    }
    let source = |name: &str| json!({ "name": name, "subject_transforms": [{ "src": format!("{name}.*"), "dest": "all.{{wildcard(1)}}" }] });
    let more = json!({ "allow_msg_counter": true, "sources": [source("X"), source("Y")] });
    rig.stream("ALL", &[], more).await;
    filled(&mut rig, "ALL", 4).await;
    let got = rig.api("STREAM.MSG.GET.ALL", &json!({ "last_by_subj": "all.hits" })).await;
    use base64::Engine;
    let value =
        base64::engine::general_purpose::STANDARD.decode(got["message"]["data"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(value).unwrap(), r#"{"val":"14"}"#);
}
