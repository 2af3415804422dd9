//! Publishers outside that want an acknowledgement for everything they publish.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::{Client, HeaderMap, jetstream};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::wait::DEADLINE;

/// How long a publisher waits for one acknowledgement before it publishes again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two messages of a publisher.
const PACE: Duration = Duration::from_millis(8);

/// What one publisher has done.
#[derive(Debug, Default)]
pub struct Published {
    /// Its name, with which its ids begin.
    pub name: String,
    /// Ids that were acknowledged; where it waits for each one, in order.
    pub acknowledged: Vec<String>,
    /// Whether each was acknowledged before the next one was published, so that the order has to hold.
    pub ordered: bool,
    /// How many were acknowledged by a gateway that kept them.
    pub kept: u64,
    /// How many times it had to publish again.
    pub again: u64,
}

/// Publishes until told to stop, `window` messages at a time, each one again and again until somebody acknowledges it.
///
/// # Errors
/// When nobody acknowledges a message for [`DEADLINE`], long after everything should be well.
pub async fn publish(
    client: Client,
    name: String,
    window: usize,
    stop: watch::Receiver<bool>,
) -> Result<Published> {
    let mut context = jetstream::new(client);
    context.set_timeout(PATIENCE);
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ids = stream::unfold((0_u64, pace, stop.clone()), |(number, mut pace, stop)| async move {
        pace.tick().await;
        if *stop.borrow() { None } else { Some((number, (number + 1, pace, stop))) }
    });
    let (context, name) = (&context, &name);
    let results = ids.map(|number| {
        let stop = stop.clone();
        async move {
            let id = format!("{name}-{number}");
            let (kept, again) = until_acknowledged(context, name, &id, stop).await?;
            anyhow::Ok((id, kept, again))
        }
    });
    let mut results = std::pin::pin!(results.buffer_unordered(window));
    let mut done = Published { name: name.clone(), ordered: window == 1, ..Published::default() };
    while let Some(result) = results.next().await {
        let (id, kept, again) = result?;
        done.acknowledged.push(id);
        done.kept += u64::from(kept);
        done.again += again;
    }
    Ok(done)
}

async fn until_acknowledged(
    context: &jetstream::Context,
    name: &str,
    id: &str,
    mut stop: watch::Receiver<bool>,
) -> Result<(bool, u64)> {
    let mut again = 0;
    let mut end = None;
    loop {
        match attempt(context, name, id).await {
            Ok(stream) => return Ok((stream == "gatehouse-edge", again)),
            Err(error) => {
                // The time counts from when nothing goes wrong any more.
                if end.is_none() && *stop.borrow_and_update() {
                    end = Some(Instant::now() + DEADLINE);
                }
                if end.is_some_and(|end| Instant::now() > end) {
                    bail!("{id} is not acknowledged: {error:#}");
                }
            }
        }
        again += 1;
        // Nobody leads a stream for some seconds after its leader is gone: no need to ask all the time.
        sleep(PACE * u32::try_from(again).unwrap_or(u32::MAX).min(10)).await;
    }
}

/// Publishes once; the name of who acknowledged.
async fn attempt(context: &jetstream::Context, name: &str, id: &str) -> Result<String> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id);
    let sent = context.publish_with_headers(format!("events.{name}"), headers, id.to_owned().into());
    // A client without a connection takes messages until its buffer is full, then it waits.
    let sent = tokio::time::timeout(PATIENCE, sent).await.context("not sent")??;
    Ok(sent.await?.stream)
}
