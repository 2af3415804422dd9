//! Traffic between clients of different servers, where interest takes its time to arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{Client, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::wait::within;

/// Payload of a probe. Counts leave probes out.
const PROBE: &[u8] = b"probe";

/// Payload that ends a count.
const END: &str = "end";

/// Publishes probes until one arrives: the subscription, and every one made before it on that side, is known at the
/// other end of the link.
///
/// # Errors
/// When none arrives, or something else does.
pub async fn known(publisher: &Client, subject: &str, sub: &mut Subscriber) -> Result<()> {
    for _ in 0..400 {
        publisher.publish(subject.to_owned(), PROBE.into()).await?;
        if let Ok(Some(message)) = timeout(Duration::from_millis(50), sub.next()).await {
            ensure!(message.payload == PROBE, "another message first");
            return Ok(());
        }
    }
    bail!("no interest in {subject} at the other end")
}

/// A round trip to the client's own server, which has then worked on all that was sent before.
///
/// # Errors
/// When the server does not answer as it should.
pub async fn settle(client: &Client) -> Result<()> {
    match within("a round trip", client.request("peer.nobody.at.all", "".into())).await? {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        other => bail!("not `no responders`: {other:?}"),
    }
}

/// The next payload that is no probe.
///
/// # Errors
/// When none comes before the deadline.
pub async fn next_payload(sub: &mut Subscriber) -> Result<String> {
    loop {
        let message = within("a message", sub.next()).await?.context("the subscription ended")?;
        if message.payload != PROBE {
            return Ok(String::from_utf8(message.payload.to_vec())?);
        }
    }
}

/// Publishes an end mark and counts each payload that arrives before it.
///
/// # Errors
/// When the mark does not arrive.
pub async fn count_until_end(
    publisher: &Client,
    subject: &str,
    sub: &mut Subscriber,
) -> Result<BTreeMap<String, usize>> {
    publisher.publish(subject.to_owned(), END.into()).await?;
    let mut counts = BTreeMap::new();
    loop {
        let payload = next_payload(sub).await?;
        if payload == END {
            return Ok(counts);
        }
        *counts.entry(payload).or_default() += 1;
    }
}
