//! What is called: random, but about a small world, so that the calls concern each other.

use serde_json::{Value, json};

use crate::random::Random;

const STREAMS: [&str; 3] = ["A", "B", "KV_C"];
const CONSUMERS: [&str; 3] = ["one", "two", "three"];
const WORDS: [&str; 4] = ["x", "y", "z", "w"];

/// One call.
#[derive(Debug)]
pub(crate) enum Op {
    Api { subject: String, body: Value },
    Publish { subject: String, headers: Vec<(String, String)>, payload: String },
    Fetch(Fetch),
}

/// A pull, and how each message is answered, in turn.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) body: Value,
    pub(crate) acks: Vec<String>,
}

impl Op {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Api { subject, body } => format!("{subject} {body}"),
            Self::Publish { subject, headers, payload } => format!("PUB {subject} {headers:?} {payload:?}"),
            Self::Fetch(fetch) => {
                format!("FETCH {}.{} {} {:?}", fetch.stream, fetch.consumer, fetch.body, fetch.acks)
            }
        }
    }

    /// Where nats-server says a moment later what it knows then: it takes note of messages that are gone while it
    /// answers a request that changes a consumer.
    pub(crate) fn shown_later(&self) -> Option<Self> {
        let Self::Api { subject, .. } = self else { return None };
        let rest = subject
            .strip_prefix("$JS.API.CONSUMER.CREATE.")
            .or_else(|| subject.strip_prefix("$JS.API.CONSUMER.DURABLE.CREATE."))?;
        let mut names = rest.split('.');
        let (stream, consumer) = (names.next()?, names.next()?);
        Some(api(format!("CONSUMER.INFO.{stream}.{consumer}"), Value::Null))
    }

    /// The stream it is about, as its calls show it.
    pub(crate) fn stream(&self) -> Option<&'static str> {
        let what = self.describe();
        let subject = what.split(' ').nth(usize::from(!what.starts_with('$')))?;
        [".A", ".B", ".KV_C"]
            .into_iter()
            .find(|name| format!(".{subject}.").contains(&format!("{name}.")))
            .map(|name| &name[1..])
    }
}

fn api(subject: String, body: Value) -> Op {
    Op::Api { subject: format!("$JS.API.{subject}"), body }
}

/// What is known about what was made so far: only to make calls that mean something.
#[derive(Debug, Default)]
pub(crate) struct World {
    last_seq: u64,
    calls: u64,
}

impl World {
    pub(crate) fn learn(&mut self, _op: &Op, answer: &Value) {
        if let Some(seq) = answer.get("seq").and_then(Value::as_u64) {
            self.last_seq = seq;
        }
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> Op {
        self.calls += 1;
        // First something to talk about.
        if let Some(name) = STREAMS.get(usize::try_from(self.calls).unwrap_or(0).wrapping_sub(1)) {
            return create_stream(random, name);
        }
        let stream = *random.of(&STREAMS);
        match random.below(100) {
            0..=34 => self.publish(random, stream),
            35..=38 => create_stream(random, stream),
            39..=42 => update_stream(random, stream),
            43 => api(format!("STREAM.DELETE.{stream}"), Value::Null),
            44..=51 => stream_info(random, stream),
            52..=54 => listing(random),
            55..=58 => purge(random, stream, self.last_seq),
            59..=64 => self.message(random, stream),
            65..=69 => self.direct(random, stream),
            70..=78 => create_consumer(random, stream),
            79..=83 => api(format!("CONSUMER.INFO.{stream}.{}", random.of(&CONSUMERS)), Value::Null),
            84..=85 => api(format!("CONSUMER.DELETE.{stream}.{}", random.of(&CONSUMERS)), Value::Null),
            86 => api("INFO".to_owned(), Value::Null),
            _ => fetch(random, stream),
        }
    }

    fn publish(&self, random: &mut Random, stream: &str) -> Op {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        match random.below(12) {
            0 => add("Nats-Msg-Id", format!("id-{}", random.below(4))),
            1 => add("Nats-Expected-Stream", (*random.of(&STREAMS)).to_owned()),
            2 => add("Nats-Expected-Last-Sequence", self.around(random).to_string()),
            3 => add("Nats-Expected-Last-Subject-Sequence", self.around(random).to_string()),
            4 => add("Nats-Expected-Last-Msg-Id", format!("id-{}", random.below(4))),
            5 => add("Nats-Rollup", (*random.of(&["sub", "all", "none"])).to_owned()),
            6 => add("Nats-TTL", (*random.of(&["1h", "3600", "never", "-1", "x", "0"])).to_owned()),
            7 => add("Custom", format!("value {}", random.below(3))),
            _ => {}
        }
        let payload = WORDS.concat().repeat(usize::try_from(random.below(40)).unwrap_or(1));
        Op::Publish { subject: subject(random, stream), headers, payload }
    }

    fn around(&self, random: &mut Random) -> u64 {
        (self.last_seq + random.below(3)).saturating_sub(1)
    }

    fn message(&self, random: &mut Random, stream: &str) -> Op {
        let seq = random.below(self.last_seq + 2);
        match random.below(5) {
            0 => api(
                format!("STREAM.MSG.DELETE.{stream}"),
                json!({ "seq": seq, "no_erase": random.once_in(2) }),
            ),
            1 => api(format!("STREAM.MSG.GET.{stream}"), json!({ "last_by_subj": subject(random, stream) })),
            2 => {
                let wanted = json!({ "seq": seq, "next_by_subj": format!("{stream}.>") });
                api(format!("STREAM.MSG.GET.{stream}"), wanted)
            }
            _ => api(format!("STREAM.MSG.GET.{stream}"), json!({ "seq": seq })),
        }
    }

    fn direct(&self, random: &mut Random, stream: &str) -> Op {
        match random.below(3) {
            0 => api(format!("DIRECT.GET.{stream}.{}", subject(random, stream)), Value::Null),
            1 => api(format!("DIRECT.GET.{stream}"), json!({ "seq": random.below(self.last_seq + 2) })),
            _ => api(format!("DIRECT.GET.{stream}"), json!({ "last_by_subj": subject(random, stream) })),
        }
    }
}

fn subject(random: &mut Random, stream: &str) -> String {
    format!("{stream}.{}", random.of(&WORDS))
}

fn stream_config(random: &mut Random, name: &str) -> Value {
    let mut config = json!({
        "name": name,
        "subjects": [format!("{name}.>")],
        "retention": *random.of(&["limits", "limits", "limits", "workqueue", "interest"]),
        "storage": *random.of(&["file", "memory"]),
        "discard": *random.of(&["old", "old", "new"]),
    });
    let mut maybe = |random: &mut Random, key: &str, value: Value| {
        if random.once_in(4) {
            config[key] = value;
        }
    };
    maybe(random, "max_msgs", json!(20));
    maybe(random, "max_bytes", json!(4000));
    maybe(random, "max_msgs_per_subject", json!(3));
    maybe(random, "max_msg_size", json!(100));
    maybe(random, "max_consumers", json!(2));
    maybe(random, "duplicate_window", json!(60_000_000_000_u64));
    maybe(random, "allow_rollup_hdrs", json!(true));
    maybe(random, "allow_direct", json!(true));
    maybe(random, "allow_msg_ttl", json!(true));
    maybe(random, "deny_delete", json!(true));
    maybe(random, "deny_purge", json!(true));
    maybe(random, "description", json!("a stream"));
    maybe(random, "metadata", json!({"k": "v"}));
    maybe(random, "num_replicas", json!(1));
    maybe(random, "discard_new_per_subject", json!(true));
    maybe(random, "compression", json!("s2"));
    maybe(random, "first_seq", json!(10));
    config
}

fn create_stream(random: &mut Random, name: &str) -> Op {
    let mut config = stream_config(random, name);
    match random.below(25) {
        0 => config["subjects"] = json!(["A.x"]),
        1 => config["name"] = json!("wrong.name"),
        2 => config["num_replicas"] = json!(3),
        3 => config["unknown_field"] = json!(1),
        4 => config["retention"] = json!("nonsense"),
        _ => {}
    }
    api(format!("STREAM.CREATE.{name}"), config)
}

fn update_stream(random: &mut Random, name: &str) -> Op {
    api(format!("STREAM.UPDATE.{name}"), stream_config(random, name))
}

fn stream_info(random: &mut Random, name: &str) -> Op {
    let body = match random.below(4) {
        0 => json!({ "subjects_filter": ">" }),
        1 => json!({ "deleted_details": true }),
        2 => json!({ "subjects_filter": format!("{name}.x"), "offset": random.below(3) }),
        _ => Value::Null,
    };
    api(format!("STREAM.INFO.{name}"), body)
}

fn listing(random: &mut Random) -> Op {
    let stream = *random.of(&STREAMS);
    match random.below(5) {
        0 => api("STREAM.NAMES".to_owned(), Value::Null),
        1 => api("STREAM.NAMES".to_owned(), json!({ "subject": subject(random, stream) })),
        2 => api("STREAM.LIST".to_owned(), json!({ "offset": random.below(4) })),
        3 => api(format!("CONSUMER.NAMES.{stream}"), Value::Null),
        _ => api(format!("CONSUMER.LIST.{stream}"), Value::Null),
    }
}

fn purge(random: &mut Random, name: &str, last: u64) -> Op {
    let body = match random.below(4) {
        0 => json!({ "filter": subject(random, name) }),
        1 => json!({ "seq": random.below(last + 2) }),
        2 => json!({ "keep": random.below(4) }),
        _ => json!({ "filter": format!("{name}.*"), "keep": random.below(3) }),
    };
    api(format!("STREAM.PURGE.{name}"), body)
}

fn create_consumer(random: &mut Random, stream: &str) -> Op {
    let name = *random.of(&CONSUMERS);
    let mut config = json!({
        "name": name,
        "durable_name": name,
        "ack_policy": *random.of(&["explicit", "explicit", "all", "none"]),
        "deliver_policy": *random.of(&["all", "all", "last", "new", "last_per_subject"]),
        "replay_policy": "instant",
    });
    let mut maybe = |random: &mut Random, key: &str, value: Value| {
        if random.once_in(5) {
            config[key] = value;
        }
    };
    maybe(random, "max_deliver", json!(2));
    maybe(random, "ack_wait", json!(600_000_000_000_u64));
    maybe(random, "max_ack_pending", json!(5));
    maybe(random, "max_waiting", json!(3));
    maybe(random, "headers_only", json!(true));
    maybe(random, "max_batch", json!(2));
    maybe(random, "metadata", json!({"a": "b"}));
    maybe(random, "description", json!("a consumer"));
    maybe(random, "inactive_threshold", json!(3_600_000_000_000_u64));
    maybe(random, "mem_storage", json!(true));
    match random.below(6) {
        0 => config["filter_subject"] = json!(subject(random, stream)),
        1 => config["filter_subjects"] = json!([format!("{stream}.x"), format!("{stream}.y")]),
        _ => {}
    }
    match random.below(25) {
        0 => config["ack_policy"] = json!("nonsense"),
        1 => config["backoff"] = json!([1_000_000_000_u64, 2_000_000_000_u64]),
        2 => config["filter_subject"] = json!("elsewhere"),
        3 => config["deliver_subject"] = json!(format!("{stream}.push")),
        _ => {}
    }
    let mut body = json!({ "stream_name": stream, "config": config });
    match random.below(5) {
        0 => body["action"] = json!("create"),
        1 => body["action"] = json!("update"),
        _ => {}
    }
    let filter = body["config"].get("filter_subject").and_then(Value::as_str).map(str::to_owned);
    match filter {
        Some(filter) => api(format!("CONSUMER.CREATE.{stream}.{name}.{filter}"), body),
        None if random.once_in(3) => api(format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), body),
        None => api(format!("CONSUMER.CREATE.{stream}.{name}"), body),
    }
}

fn fetch(random: &mut Random, stream: &str) -> Op {
    let acks =
        ["+ACK", "+ACK", "-NAK", "+TERM", "+WPI", "none", "+TERM why", "-NAK {\"delay\": 3600000000000}"];
    let mut body = json!({ "batch": 1 + random.below(5), "no_wait": true });
    match random.below(12) {
        0 => body["max_bytes"] = json!(300),
        1 => body["batch"] = json!(0),
        2 => body["unknown"] = json!(1),
        _ => {}
    }
    let acks = (0..3).map(|_| (*random.of(&acks)).to_owned()).collect();
    Op::Fetch(Fetch { stream: stream.to_owned(), consumer: (*random.of(&CONSUMERS)).to_owned(), body, acks })
}
