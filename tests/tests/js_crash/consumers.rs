//! Consumer groups: two members each, who note an effect once per message id and acknowledge until that is confirmed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use gatehouse_tests::eventually;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::random;
use crate::server::{STREAM, Server, connect};

const MEMBERS: usize = 2;

/// What a group has done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    effects: HashMap<String, u64>,
    /// When the server confirmed an acknowledgement.
    confirmed: HashMap<String, Instant>,
    /// What must not happen.
    violations: Vec<String>,
}

pub(crate) type Shared = Arc<Mutex<Done>>;

pub(crate) struct Group {
    url: String,
    name: &'static str,
    done: Shared,
    members: Vec<JoinHandle<()>>,
}

impl Group {
    pub(crate) fn start(url: String, name: &'static str, done: Shared) -> Self {
        let mut group = Self { url, name, done, members: Vec::new() };
        group.members = (0..MEMBERS).map(|_| group.member()).collect();
        group
    }

    fn member(&self) -> JoinHandle<()> {
        let (url, name, done) = (self.url.clone(), self.name, self.done.clone());
        tokio::spawn(async move {
            while consume(&url, name, &done).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
    }

    /// Ends one in the middle of what it does; another one takes over.
    pub(crate) fn kill_one(&mut self) {
        let who = usize::try_from(random(MEMBERS as u64)).unwrap_or(0);
        self.members[who].abort();
        self.members[who] = self.member();
    }

    pub(crate) async fn until_all_done(&self, server: &Server) -> Result<()> {
        // Publishers are faster: how much is left depends on the rounds, so what is bounded is a standstill.
        let mut left = u64::MAX;
        while left > 0 {
            left = eventually("more messages acknowledged", || async {
                server.open(self.name).await.ok().filter(|open| *open < left)
            })
            .await
            .with_context(|| format!("group {}: {left} left", self.name))?;
        }
        Ok(())
    }

    /// Every message had its effect once, and none came again after it was confirmed.
    pub(crate) fn check(self, stored: &[(u64, String)]) -> Result<()> {
        self.members.iter().for_each(JoinHandle::abort);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(done.violations.is_empty(), "{}: {:?}", self.name, done.violations);
        for (seq, id) in stored {
            let count = done.effects.get(id).copied().unwrap_or(0);
            ensure!(count == 1, "{}: {id} (sequence {seq}) had its effect {count} times", self.name);
        }
        ensure!(done.effects.len() == stored.len(), "{}: effects of messages that are not stored", self.name);
        Ok(())
    }
}

async fn consume(url: &str, name: &str, done: &Shared) -> Result<()> {
    let context = connect(url).await?;
    let stream = context.get_stream(STREAM).await?;
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(2),
        max_ack_pending: 500,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.get_or_create_consumer(name, config).await?;
    loop {
        let asked = Instant::now();
        let mut batch =
            consumer.fetch().max_messages(32).expires(Duration::from_millis(500)).messages().await?;
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
            let id = message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id"));
            let id = id.context("a message without id")?.to_string();
            note(done, &id, asked);
            // The client's own double ack takes "nobody is there" for a confirmation.
            let reply = message.reply.clone().context("a message without reply")?;
            timeout(Duration::from_secs(2), context.client().request(reply, "+ACK".into())).await??;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.confirmed.entry(id).or_insert_with(Instant::now);
        }
    }
}

/// The effect, unless it has been there before: a message that was not confirmed may come again.
fn note(done: &Shared, id: &str, asked: Instant) {
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    if done.confirmed.get(id).is_some_and(|confirmed| *confirmed < asked) {
        done.violations.push(format!("{id} came again after its acknowledgement was confirmed"));
    }
    if !done.effects.contains_key(id) {
        done.effects.insert(id.to_owned(), 1);
    }
}
