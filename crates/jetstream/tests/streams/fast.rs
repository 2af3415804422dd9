//! Fast batches: what their publishers are told, in nats-server's words.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jetstream::Settings;
use serde_json::{Value, json};
use store::disk::SimDisk;
use store::{Store, StoreOptions};

use crate::rig::{Rig, code};

/// The operations, as reply subjects have them.
const START: u8 = 0;
const APPEND: u8 = 1;
const COMMIT: u8 = 2;
const END: u8 = 3;
const PING: u8 = 4;

/// One batch of a publisher.
struct Batch {
    name: &'static str,
    flow: u32,
    gaps: &'static str,
}

const STRICT: Batch = Batch { name: "b", flow: 10, gaps: "fail" };
const LENIENT: Batch = Batch { name: "b", flow: 10, gaps: "ok" };

impl Batch {
    async fn say(&self, rig: &mut Rig, sequence: u64, operation: u8, headers: &[(&str, &str)]) {
        let Self { name, flow, gaps } = self;
        let reply = format!("in.{name}.{flow}.{gaps}.{sequence}.{operation}.$FI");
        rig.send("s.a", &reply, headers, "x");
    }

    async fn ask(&self, rig: &mut Rig, sequence: u64, operation: u8) -> Value {
        self.say(rig, sequence, operation, &[]).await;
        told(rig).await
    }
}

async fn told(rig: &mut Rig) -> Value {
    serde_json::from_slice(&rig.message().await.payload).unwrap()
}

fn ack(sequence: u64, flow: u32) -> Value {
    json!({ "type": "ack", "seq": sequence, "msgs": flow })
}

fn gap(expected: u64, current: u64) -> Value {
    json!({ "type": "gap", "last_seq": expected, "seq": current })
}

fn done(sequence: u64, count: u64) -> Value {
    json!({ "stream": "S", "seq": sequence, "batch": "b", "count": count })
}

async fn rig(storage: &str, settings: Settings) -> Rig {
    let disk = Arc::new(SimDisk::new(7));
    let store = Store::open_on(disk, Path::new("/store"), StoreOptions::default()).unwrap();
    let mut rig = Rig::with(settings, store);
    rig.stream("S", &["s.*"], json!({ "allow_batched": true, "storage": storage })).await;
    rig
}

async fn both() -> [Rig; 2] {
    [rig("memory", Settings::default()).await, rig("file", Settings::default()).await]
}

#[tokio::test]
async fn a_stream_says_when_it_takes_none() {
    let mut rig = Rig::new();
    rig.stream("S", &["s.*"], json!({})).await;
    assert_eq!(code(&STRICT.ask(&mut rig, 1, START).await), 10205);
    let info = rig
        .api(
            "STREAM.UPDATE.S",
            &json!({ "name": "S", "subjects": ["s.*"], "storage": "memory", "allow_batched": true }),
        )
        .await;
    assert_eq!(info["config"]["metadata"]["_nats.req.level"], "4", "{info}");
    for (name, sequence, operation, expected) in
        [("b", 0, START, 10206), ("b", 1, END, 10206), ("b", 2, APPEND, 10208), ("b", 2, PING, 10208)]
    {
        let batch = Batch { name, ..STRICT };
        assert_eq!(code(&batch.ask(&mut rig, sequence, operation).await), expected);
    }
    let long =
        Batch { name: "0123456789012345678901234567890123456789012345678901234567890123456789", ..STRICT };
    assert_eq!(code(&long.ask(&mut rig, 1, START).await), 10207);
    assert_eq!(rig.state("S").await["messages"], 0);
    let mirror = json!({ "name": "M", "mirror": { "name": "S" }, "allow_batched": true });
    assert_eq!(code(&rig.api("STREAM.CREATE.M", &mirror).await), 10209);
}

#[tokio::test]
async fn acknowledgements_come_once_in_a_while_and_at_the_end() {
    for mut rig in both().await {
        let batch = Batch { flow: 2, ..STRICT };
        assert_eq!(batch.ask(&mut rig, 1, COMMIT).await, done(1, 1));
        assert_eq!(batch.ask(&mut rig, 1, START).await, ack(0, 2));
        assert_eq!(batch.ask(&mut rig, 2, APPEND).await, ack(2, 2));
        batch.say(&mut rig, 3, APPEND, &[]).await;
        assert_eq!(batch.ask(&mut rig, 4, APPEND).await, ack(4, 2));
        assert_eq!(batch.ask(&mut rig, 5, COMMIT).await, done(6, 5));
        // It is over.
        assert_eq!(code(&batch.ask(&mut rig, 6, APPEND).await), 10208);
        assert_eq!(rig.state("S").await["messages"], 6);
    }
}

#[tokio::test]
async fn a_gap_ends_a_strict_batch_and_no_other() {
    for mut rig in both().await {
        assert_eq!(STRICT.ask(&mut rig, 1, START).await, ack(0, 10));
        assert_eq!(STRICT.ask(&mut rig, 3, APPEND).await, gap(2, 3));
        assert_eq!(told(&mut rig).await, done(1, 1));
        assert_eq!(LENIENT.ask(&mut rig, 1, START).await, ack(0, 10));
        assert_eq!(LENIENT.ask(&mut rig, 5, APPEND).await, gap(2, 5));
        assert_eq!(LENIENT.ask(&mut rig, 6, END).await, done(3, 5));
        // Going back ends both.
        assert_eq!(LENIENT.ask(&mut rig, 1, START).await, ack(0, 10));
        assert_eq!(LENIENT.ask(&mut rig, 5, APPEND).await, gap(2, 5));
        assert_eq!(LENIENT.ask(&mut rig, 3, APPEND).await, done(5, 5));
        assert_eq!(rig.state("S").await["messages"], 5);
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_how_far_the_batch_is() {
    for mut rig in both().await {
        let batch = Batch { flow: 2, ..LENIENT };
        assert_eq!(batch.ask(&mut rig, 1, START).await, ack(0, 2));
        assert_eq!(batch.ask(&mut rig, 2, APPEND).await, ack(2, 2));
        assert_eq!(batch.ask(&mut rig, 2, PING).await, ack(2, 2));
        assert_eq!(batch.ask(&mut rig, 3, PING).await, gap(3, 4));
        assert_eq!(told(&mut rig).await, ack(2, 2));
        assert_eq!(batch.ask(&mut rig, 4, APPEND).await, ack(4, 2));
        assert_eq!(batch.ask(&mut rig, 100, PING).await, gap(5, 101));
        assert_eq!(told(&mut rig).await, ack(100, 2));
        assert_eq!(batch.ask(&mut rig, 101, END).await, done(3, 100));
        let strict = Batch { flow: 2, ..STRICT };
        assert_eq!(strict.ask(&mut rig, 1, START).await, ack(0, 2));
        assert_eq!(strict.ask(&mut rig, 2, PING).await, gap(2, 3));
        assert_eq!(told(&mut rig).await, done(4, 1));
    }
}

#[tokio::test]
async fn what_is_not_stored_is_told() {
    let wrong = [("Nats-Expected-Last-Sequence", "100")];
    for mut rig in both().await {
        // The first of a batch: as any message.
        STRICT.say(&mut rig, 1, COMMIT, &wrong).await;
        assert_eq!(code(&told(&mut rig).await), 10071);
        for (batch, operation) in [(STRICT, APPEND), (LENIENT, APPEND), (STRICT, COMMIT), (LENIENT, COMMIT)] {
            let before = rig.state("S").await["last_seq"].as_u64().unwrap();
            assert_eq!(batch.ask(&mut rig, 1, START).await, ack(0, 10));
            batch.say(&mut rig, 2, operation, &wrong).await;
            let error = told(&mut rig).await;
            assert_eq!((&error["type"], &error["seq"]), (&json!("err"), &json!(2)));
            assert_eq!(code(&error), 10071);
            let goes_on = batch.gaps == "ok" && operation == APPEND;
            if goes_on {
                assert_eq!(batch.ask(&mut rig, 3, COMMIT).await, done(before + 2, 3));
            } else {
                assert_eq!(told(&mut rig).await, done(before + 1, 1));
            }
        }
    }
}

#[tokio::test]
async fn what_was_stored_before_counts_and_is_not_stored() {
    let known = [("Nats-Msg-Id", "known")];
    for mut rig in both().await {
        rig.publish("s.a", &known, "x").await;
        STRICT.say(&mut rig, 1, COMMIT, &known).await;
        let mut expected = done(1, 1);
        expected["duplicate"] = json!(true);
        assert_eq!(told(&mut rig).await, expected);
        let batch = Batch { flow: 3, ..STRICT };
        for sequence in 1..=5 {
            let operation = if sequence == 1 { START } else { APPEND };
            let operation = if sequence == 5 { COMMIT } else { operation };
            batch.say(&mut rig, sequence, operation, &known).await;
            match sequence {
                1 => assert_eq!(told(&mut rig).await, ack(0, 3)),
                3 => assert_eq!(told(&mut rig).await, ack(3, 3)),
                5 => assert_eq!(told(&mut rig).await, done(0, 5)),
                _ => {}
            }
        }
        // Nothing of the batch is in the stream, and what else is asked is checked as ever.
        assert_eq!(rig.state("S").await["messages"], 1);
    }
}

#[tokio::test]
async fn open_batches_are_bounded() {
    let mut rig = rig("memory", Settings { max_fast_batches: (2, 3), ..Settings::default() }).await;
    let named = |name| Batch { name, ..STRICT };
    let too_many = 10211;
    assert_eq!(named("one").ask(&mut rig, 1, START).await, ack(0, 10));
    assert_eq!(named("two").ask(&mut rig, 1, START).await, ack(0, 1));
    assert_eq!(told(&mut rig).await, ack(1, 2));
    assert_eq!(code(&named("three").ask(&mut rig, 1, START).await), too_many);
    // All streams together.
    rig.stream("T", &["t.*"], json!({ "allow_batched": true })).await;
    rig.send("t.a", "in.x.10.fail.1.0.$FI", &[], "x");
    assert_eq!(told(&mut rig).await, ack(0, 10));
    rig.send("t.a", "in.y.10.fail.1.0.$FI", &[], "x");
    assert_eq!(code(&told(&mut rig).await), too_many);
    // Those that end make room, and those of a stream that goes.
    assert_eq!(named("one").ask(&mut rig, 2, END).await["count"], 1);
    rig.api("STREAM.DELETE.T", &Value::Null).await;
    rig.stream("T", &["t.*"], json!({ "allow_batched": true })).await;
    rig.send("t.a", "in.x.10.fail.1.0.$FI", &[], "x");
    assert_eq!(told(&mut rig).await, ack(0, 10));
}

#[tokio::test]
async fn a_silent_batch_makes_room() {
    let settings = Settings { max_fast_batches: (1, 1), batch_timeout: 1_000_000, ..Settings::default() };
    let mut rig = rig("memory", settings).await;
    let named = |name| Batch { name, ..STRICT };
    assert_eq!(named("one").ask(&mut rig, 1, START).await, ack(0, 10));
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        let said = named("two").ask(&mut rig, 1, START).await;
        if said == ack(0, 10) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the silent one stays: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(code(&named("one").ask(&mut rig, 2, APPEND).await), 10208);
}

#[tokio::test]
async fn they_share_what_a_stream_takes() {
    let mut rig = rig("memory", Settings::default()).await;
    let named = |name| Batch { name, flow: 1000, gaps: "fail" };
    assert_eq!(named("one").ask(&mut rig, 1, START).await, ack(0, 500));
    assert_eq!(named("two").ask(&mut rig, 1, START).await, ack(0, 1));
    // It speeds up with every acknowledgement.
    assert_eq!(told(&mut rig).await, ack(1, 2));
    named("two").say(&mut rig, 2, APPEND, &[]).await;
    assert_eq!(named("two").ask(&mut rig, 3, APPEND).await, ack(3, 4));
    let level = [("Nats-Required-Api-Level", "99")];
    named("two").say(&mut rig, 4, APPEND, &level).await;
    assert_eq!(code(&told(&mut rig).await), 10185);
    assert_eq!(code(&named("two").ask(&mut rig, 4, APPEND).await), 10208);
}
