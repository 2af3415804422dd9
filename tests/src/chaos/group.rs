//! A consumer group outside: workers that share a durable consumer and acknowledge with confirmation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::chaos::field::STREAM;
use crate::wait::eventually;

/// Name of the durable consumer.
pub(super) const GROUP: &str = "workers";

/// Messages asked for at once.
const BATCH: usize = 50;

#[derive(Debug, Default)]
struct Entry {
    deliveries: u64,
    confirmed: Option<Instant>,
}

/// What the group has seen, by message id.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<String, Entry>,
    /// Messages that somebody was given in answer to a request made after their acknowledgement had been confirmed.
    pub(super) twice: Vec<String>,
}

impl Ledger {
    /// Whether a message was delivered.
    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// How many acknowledgements were confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.entries.values().filter(|entry| entry.confirmed.is_some()).count()
    }

    /// How many deliveries there were beyond the first of each message.
    pub(super) fn redelivered(&self) -> u64 {
        self.entries.values().map(|entry| entry.deliveries.saturating_sub(1)).sum()
    }

    fn delivered(&mut self, id: &str, asked: Instant) {
        let entry = self.entries.entry(id.to_owned()).or_default();
        entry.deliveries += 1;
        if entry.confirmed.is_some_and(|confirmed| confirmed < asked) {
            self.twice.push(id.to_owned());
        }
    }

    fn confirmed_now(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.confirmed.get_or_insert_with(Instant::now);
        }
    }
}

/// A ledger that workers share.
pub(super) type Shared = Arc<Mutex<Ledger>>;

/// Makes the durable consumer.
///
/// # Errors
/// When it can't be made.
pub(super) async fn make(inside: &Client, replicas: usize) -> Result<()> {
    let context = jetstream::new(inside.clone());
    let config = jetstream::consumer::pull::Config {
        durable_name: Some(GROUP.into()),
        ack_wait: Duration::from_secs(3),
        max_ack_pending: 5_000,
        num_replicas: replicas,
        ..Default::default()
    };
    eventually("a consumer", || async {
        context.create_consumer_on_stream(config.clone(), STREAM).await.ok()
    })
    .await
    .map(drop)
}

/// Works until told to stop.
///
/// # Errors
/// When it does not find the consumer.
pub(super) async fn work(client: Client, ledger: Shared, stop: watch::Receiver<bool>) -> Result<()> {
    let context = jetstream::new(client.clone());
    let consumer: PullConsumer =
        eventually("the consumer", || async { context.get_consumer_from_stream(GROUP, STREAM).await.ok() })
            .await?;
    while !*stop.borrow() {
        let asked = Instant::now();
        let fetch = consumer.fetch().max_messages(BATCH).expires(Duration::from_secs(1)).messages();
        let Ok(Ok(mut batch)) = timeout(Duration::from_secs(2), fetch).await else { continue };
        // The batch ends by itself; where its end is lost, too, the time ends it.
        while let Ok(Some(Ok(message))) = timeout(Duration::from_secs(2), batch.next()).await {
            handle(&client, &message, &ledger, asked).await?;
        }
    }
    Ok(())
}

/// As [`work`], without the API, which does not cross between clusters: what the consumer itself listens to does.
///
/// # Errors
/// When the client is closed.
pub(super) async fn work_by_hand(client: Client, ledger: Shared, stop: watch::Receiver<bool>) -> Result<()> {
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{GROUP}");
    while !*stop.borrow() {
        let asked = Instant::now();
        let inbox = client.new_inbox();
        let mut batch = client.subscribe(inbox.clone()).await?;
        let request = format!(r#"{{"batch":{BATCH},"expires":1000000000}}"#);
        let sent = client.publish_with_reply(next.clone(), inbox, request.into());
        // A client without a connection takes commands until its buffer is full, then it waits.
        let Ok(sent) = timeout(Duration::from_secs(2), sent).await else { continue };
        sent?;
        // A full batch has no end of its own.
        for _ in 0..BATCH {
            let next = timeout(Duration::from_secs(2), batch.next());
            let Ok(Some(message)) = next.await else { break };
            if message.status.is_some() {
                // No more for now, or nobody there.
                sleep(Duration::from_millis(20)).await;
                break;
            }
            handle(&client, &message, &ledger, asked).await?;
        }
    }
    Ok(())
}

async fn handle(
    client: &Client,
    message: &async_nats::Message,
    ledger: &Shared,
    asked: Instant,
) -> Result<()> {
    let headers = message.headers.as_ref().context("a message without headers")?;
    let id = headers.get("Nats-Msg-Id").context("a message without id")?.as_str();
    lock(ledger).delivered(id, asked);
    // By hand: the client library's own takes a 503, which nobody's acknowledgement is answered with, for a confirmation.
    let subject = message.reply.clone().context("a message without a reply subject")?;
    let asked = client.request(subject, "+ACK".into());
    if let Ok(Ok(answer)) = timeout(Duration::from_secs(2), asked).await
        && answer.status.is_none()
    {
        lock(ledger).confirmed_now(id);
    }
    Ok(())
}

/// The ledger, also after somebody has panicked with it.
pub(super) fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
