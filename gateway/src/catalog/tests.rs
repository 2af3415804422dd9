//! What is told, and what of it is asked for.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::answer::{Question, find};
use super::asking::Ask;

/// A bus with `ORDERS` in memory, `KV_config` on disk and any number of others; it notes what it is asked.
struct Fake {
    others: usize,
    page: usize,
    asked: Mutex<Vec<Value>>,
}

impl Fake {
    fn with(others: usize) -> Self {
        Self { others, page: 2, asked: Mutex::default() }
    }

    fn streams(&self) -> Vec<(String, &'static str)> {
        let others = (0..self.others).map(|number| (format!("OTHER-{number}"), "file"));
        [("KV_config".to_owned(), "file")]
            .into_iter()
            .chain(others)
            .chain([("ORDERS".to_owned(), "memory")])
            .collect()
    }
}

impl Ask for Fake {
    async fn ask(&self, subject: &'static str, request: Value) -> Option<Value> {
        self.asked.lock().unwrap().push(request.clone());
        if subject == "$JS.API.INFO" {
            return Some(json!({
                "type": "t", "memory": 9, "storage": 9, "streams": 99, "consumers": 9, "domain": "hub",
                "limits": { "max_streams": -1 }, "api": { "level": 3, "total": 9, "errors": 9 },
                "tiers": { "R1": {} },
            }));
        }
        let offset = usize::try_from(request["offset"].as_u64().unwrap()).unwrap();
        let all = self.streams();
        let entry = |(name, storage): &(String, &str)| match subject {
            "$JS.API.STREAM.NAMES" => json!(name),
            _ => json!({
                "config": { "name": name, "storage": storage }, "state": { "bytes": 10, "consumer_count": 2 },
            }),
        };
        let streams: Vec<Value> = all.iter().skip(offset).take(self.page).map(entry).collect();
        Some(json!({ "total": all.len(), "offset": offset, "limit": self.page, "streams": streams }))
    }
}

fn known(stream: &str) -> bool {
    matches!(stream, "ORDERS" | "KV_config")
}

async fn told(question: Question, request: &str, bus: &impl Ask) -> Option<Value> {
    find(question, request.as_bytes(), &known, bus).await
}

#[tokio::test]
async fn names_of_what_is_known_alone() {
    let bus = Fake::with(7);
    let answer = told(Question::Names, r#"{"subject":"orders.>"}"#, &bus).await.unwrap();
    assert_eq!(answer["streams"], json!(["KV_config", "ORDERS"]));
    assert_eq!((&answer["total"], &answer["offset"]), (&json!(2), &json!(0)));
    assert_eq!(answer["type"], "io.nats.jetstream.api.v1.stream_names_response");
    let asked = bus.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 5, "every page: {asked:?}");
    assert!(asked.iter().all(|asked| asked["subject"] == "orders.>"), "{asked:?}");
}

#[tokio::test]
async fn an_offset_counts_what_is_told() {
    let bus = Fake::with(7);
    let answer = told(Question::List, r#"{"offset":1}"#, &bus).await.unwrap();
    assert_eq!(answer["streams"].as_array().unwrap().len(), 1);
    assert_eq!(answer["streams"][0]["config"]["name"], "ORDERS");
    assert_eq!((&answer["total"], &answer["offset"]), (&json!(2), &json!(1)));
    let beyond = told(Question::List, r#"{"offset":18446744073709551615}"#, &bus).await.unwrap();
    assert_eq!(beyond["streams"], json!([]));
}

#[tokio::test]
async fn figures_are_those_of_what_is_known() {
    let answer = told(Question::Account, "", &Fake::with(3)).await.unwrap();
    for (field, value) in
        [("memory", 10), ("storage", 10), ("streams", 2), ("consumers", 4), ("reserved_storage", 0)]
    {
        assert_eq!(answer[field], value, "{answer}");
    }
    assert_eq!(answer["api"], json!({ "level": 3, "total": 0, "errors": 0 }));
    assert_eq!((&answer["domain"], &answer["limits"]["max_streams"]), (&json!("hub"), &json!(-1)));
    assert!(answer.get("tiers").is_none());
}

/// Says the same to everything, or nothing.
struct Constant(Option<Value>);

impl Ask for Constant {
    async fn ask(&self, _: &'static str, _: Value) -> Option<Value> {
        self.0.clone()
    }
}

#[tokio::test]
async fn errors_are_passed_on_and_silence_stays_silence() {
    let error = json!({ "type": "t", "error": { "code": 503, "err_code": 10039 } });
    for question in Question::ALL {
        assert_eq!(told(question, "", &Constant(Some(error.clone()))).await, Some(error.clone()));
        assert_eq!(told(question, "{}", &Constant(None)).await, None);
        // What is no answer at all tells nothing, and ends.
        for strange in [json!([1]), json!("x"), json!({ "api": "x", "streams": 7 }), json!({ "total": -1 })] {
            let told = told(question, "[]", &Constant(Some(strange))).await;
            let streams = told.as_ref().map(|told| &told["streams"]);
            assert!(streams.is_none_or(|streams| *streams == json!([]) || *streams == 0), "{told:?}");
        }
    }
}
