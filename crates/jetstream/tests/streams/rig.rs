//! A server with JetStream and one client.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    Call, Handler, HandlerPort, Letter, LocalClient, LocalMessage, Reception, Server, ServerConfig,
};
use identity::Grant;
use jetstream::{JetStream, Settings};
use serde_json::{Value, json};
use store::{Store, StoreOptions};

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Takes part only to publish.
struct Nothing;

impl Handler for Nothing {
    fn call(&self, _: &mut Call<'_>) -> Reception {
        Reception::Absent
    }
}

/// A server without listeners, with JetStream, and a client.
pub(crate) struct Rig {
    pub(crate) jetstream: JetStream,
    pub(crate) client: LocalClient,
    port: HandlerPort,
    _handler: Arc<Nothing>,
    next: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default(), Store::in_memory(StoreOptions::default()))
    }

    pub(crate) fn with(settings: Settings, store: Store) -> Self {
        let server = Server::new(ServerConfig::default());
        let jetstream = JetStream::start(server.clone(), store, settings).unwrap();
        let handler = Arc::new(Nothing);
        let weak = Arc::downgrade(&handler);
        let port = server.handler("$G", "tester", weak);
        let mut client = server.local_client("tester", Arc::new(Grant::unrestricted("tester")));
        client.subscribe("in.>", None).unwrap();
        Self { jetstream, client, port, _handler: handler, next: 0 }
    }

    fn inbox(&mut self) -> String {
        self.next += 1;
        format!("in.{}", self.next)
    }

    /// The next message on the inbox.
    pub(crate) async fn message(&mut self) -> LocalMessage {
        tokio::time::timeout(PATIENCE, self.client.next()).await.expect("an answer in time").unwrap()
    }

    /// Asks the API.
    pub(crate) async fn api(&mut self, operation: &str, body: &Value) -> Value {
        let reply = self.inbox();
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        self.client.publish(format!("$JS.API.{operation}").as_bytes(), reply.as_bytes(), &body).unwrap();
        serde_json::from_slice(&self.message().await.payload).unwrap()
    }

    /// Creates a stream in memory with these subjects and further settings.
    pub(crate) async fn stream(&mut self, name: &str, subjects: &[&str], more: Value) -> Value {
        let mut config = json!({ "name": name, "storage": "memory" });
        if !subjects.is_empty() {
            config["subjects"] = json!(subjects);
        }
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let answer = self.api(&format!("STREAM.CREATE.{name}"), &config).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    /// Publishes and returns what is answered.
    pub(crate) async fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> Value {
        let reply = self.inbox();
        self.send(subject, &reply, headers, payload);
        let answer = self.message().await;
        if answer.payload.is_empty() { Value::Null } else { serde_json::from_slice(&answer.payload).unwrap() }
    }

    /// Publishes without waiting for anything.
    pub(crate) fn send(&self, subject: &str, reply: &str, headers: &[(&str, &str)], payload: &str) {
        let pairs: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let block = if pairs.is_empty() { Vec::new() } else { wire::headers::build(&pairs).unwrap() };
        let mut outlet = self.port.outlet();
        outlet.push(&Letter {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: &block,
            payload: payload.as_bytes(),
            ..Letter::default()
        });
        outlet.flush();
    }

    /// The state of a stream, as its info has it.
    pub(crate) async fn state(&mut self, name: &str) -> Value {
        self.api(&format!("STREAM.INFO.{name}"), &Value::Null).await["state"].clone()
    }

    /// Asks a direct get; the answers up to the end of the batch.
    pub(crate) async fn direct(&mut self, rest: &str, body: &Value, answers: usize) -> Vec<LocalMessage> {
        let reply = self.inbox();
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        self.client
            .publish(format!("$JS.API.DIRECT.GET.{rest}").as_bytes(), reply.as_bytes(), &body)
            .unwrap();
        let mut list = Vec::new();
        for _ in 0..answers {
            list.push(self.message().await);
        }
        list
    }
}

/// The error code of an answer; 0 without.
pub(crate) fn code(answer: &Value) -> u64 {
    answer["error"]["err_code"].as_u64().unwrap_or(0)
}

/// The value of a header.
pub(crate) fn header(message: &LocalMessage, name: &str) -> String {
    let headers = wire::headers::parse(&message.headers).unwrap();
    headers.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}
