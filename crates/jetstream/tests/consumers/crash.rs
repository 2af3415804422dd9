//! What a consumer knows after the server was killed: the directory is copied while it runs, as it lies there, and
//! another server starts on the copy.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use store::{Store, StoreOptions};
use tempfile::TempDir;

use crate::group::{consumer, info, pull};
use crate::rig::Rig;

fn rig_in(dir: &Path) -> Rig {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    Rig::with(jetstream::Settings::default(), store)
}

/// The directory as `kill -9` would leave it.
fn image(of: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let mut folders = vec![of.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let to = copy.path().join(folder.strip_prefix(of).unwrap());
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    copy
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn on_disk(more: Value) -> Value {
    let mut config = json!({ "storage": "file" });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_is_not_delivered_again_and_nothing_is_skipped() {
    let dir = TempDir::new().unwrap();
    let mut rig = rig_in(dir.path());
    rig.stream("S", &["s"], on_disk(json!({}))).await;
    consumer(&mut rig, "S", "c", json!({ "ack_wait": 2_000_000_000_u64 })).await;
    for number in 0..30 {
        rig.publish("s", &[], &number.to_string()).await;
    }
    let (mut confirmed, mut images) = (Vec::new(), Vec::new());
    for round in 0..6_u64 {
        pull(&rig, "S", "c", "in.pull", &json!({ "batch": 5 }));
        let mut delivered = Vec::new();
        for _ in 0..5 {
            delivered.push(rig.message().await);
        }
        for message in delivered.iter().step_by(2) {
            rig.send(&text(&message.reply), "in.confirm", &[], "+ACK");
            assert_eq!(text(&rig.message().await.subject), "in.confirm");
            confirmed.push(text(&message.payload));
        }
        images.push((image(dir.path()), confirmed.clone(), (round + 1) * 5));
    }
    for (crashed, confirmed, delivered) in &images {
        after_crash(crashed.path(), confirmed, *delivered).await;
    }
}

/// Everything that was not confirmed comes, and nothing that was.
async fn after_crash(dir: &Path, confirmed: &[String], delivered: u64) {
    let mut rig = rig_in(dir);
    let told = info(&mut rig, "S", "c").await;
    assert!(told["delivered"]["stream_seq"].as_u64().unwrap() <= delivered, "{told}");
    pull(&rig, "S", "c", "in.pull", &json!({ "batch": 100, "expires": 9_000_000_000_u64 }));
    let mut expected: Vec<String> =
        (0..30).map(|number| number.to_string()).filter(|number| !confirmed.contains(number)).collect();
    while !expected.is_empty() {
        let message = rig.message().await;
        let payload = text(&message.payload);
        assert!(!confirmed.contains(&payload), "{payload} was confirmed and came again");
        assert!(!payload.is_empty(), "the request ended before {expected:?} came");
        expected.retain(|wanted| *wanted != payload);
        rig.send(&text(&message.reply), "", &[], "+ACK");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_there_again_with_what_they_were_told() {
    let dir = TempDir::new().unwrap();
    let mut rig = rig_in(dir.path());
    rig.stream("S", &["s.*"], on_disk(json!({}))).await;
    for subject in ["s.a", "s.b", "s.a", "s.c"] {
        rig.publish(subject, &[], subject).await;
    }
    let last =
        json!({ "deliver_policy": "last_per_subject", "filter_subject": "s.*", "description": "kept" });
    consumer(&mut rig, "S", "last", last).await;
    consumer(&mut rig, "S", "gone", json!({})).await;
    consumer(&mut rig, "S", "memory", json!({ "mem_storage": true })).await;
    rig.api("CONSUMER.DELETE.S.gone", &Value::Null).await;
    pull(&rig, "S", "last", "in.pull", &json!({ "batch": 1 }));
    let first = rig.message().await;
    assert_eq!(text(&first.payload), "s.b");
    rig.send(&text(&first.reply), "in.confirm", &[], "+ACK");
    rig.message().await;

    let crashed = image(dir.path());
    let mut again = rig_in(crashed.path());
    let names = again.api("CONSUMER.NAMES.S", &Value::Null).await;
    assert_eq!(names["consumers"], json!(["last"]));
    assert_eq!(info(&mut again, "S", "last").await["config"]["description"], "kept");
    again.publish("s.b", &[], "s.b").await;
    pull(&again, "S", "last", "in.pull", &json!({ "batch": 3 }));
    let mut subjects = Vec::new();
    for _ in 0..3 {
        subjects.push(text(&again.message().await.payload));
    }
    assert_eq!(subjects, ["s.a", "s.c", "s.b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_queue_delivers_no_done_work_after_a_crash() {
    let dir = TempDir::new().unwrap();
    let mut rig = rig_in(dir.path());
    rig.stream("W", &["w"], on_disk(json!({ "retention": "workqueue" }))).await;
    consumer(&mut rig, "W", "c", json!({})).await;
    for number in 0..10 {
        rig.publish("w", &[], &number.to_string()).await;
    }
    pull(&rig, "W", "c", "in.pull", &json!({ "batch": 4 }));
    let mut delivered = Vec::new();
    for _ in 0..4 {
        delivered.push(rig.message().await);
    }
    for message in delivered {
        rig.send(&text(&message.reply), "in.confirm", &[], "+ACK");
        assert_eq!(text(&rig.message().await.subject), "in.confirm");
    }
    let crashed = image(dir.path());
    let mut again = rig_in(crashed.path());
    assert_eq!(again.state("W").await["messages"], 6);
    pull(&again, "W", "c", "in.pull", &json!({ "batch": 6 }));
    for number in 4..10 {
        assert_eq!(text(&again.message().await.payload), number.to_string());
    }
}
