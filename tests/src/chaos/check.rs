//! What has to hold when everything is well again.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt;

use crate::chaos::field::STREAM;
use crate::chaos::group::{GROUP, Ledger};
use crate::chaos::load::Published;
use crate::wait::{eventually, within};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Things that went wrong on purpose.
    pub faults: usize,
    /// Messages acknowledged to their publishers.
    pub acknowledged: usize,
    /// Of these, by a gateway that kept them.
    pub kept: u64,
    /// Publishes repeated for want of an acknowledgement.
    pub again: u64,
    /// Messages in the stream.
    pub stored: usize,
    /// Acknowledgements of the consumer group that were confirmed.
    pub confirmed: usize,
    /// Deliveries to the group beyond the first.
    pub redelivered: u64,
    /// Subscriptions looked at, live ones and ended ones.
    pub interest: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} faults, {} acknowledged ({} kept at the edge), {} published again, {} stored, 0 lost, 0 doubled, \
             {} confirmed by the group, {} redelivered, {} subscriptions right",
            self.faults,
            self.acknowledged,
            self.kept,
            self.again,
            self.stored,
            self.confirmed,
            self.redelivered,
            self.interest
        )
    }
}

/// Waits until the stream has `count` messages, and the group nothing left to do.
///
/// # Errors
/// When it does not get there.
pub(super) async fn drained(inside: &Client, count: usize) -> Result<()> {
    let context = jetstream::new(inside.clone());
    let last = Cell::new(None);
    let outcome = eventually("a stream with everything and a group with nothing to do", || async {
        let stream = context.get_stream(STREAM).await.ok()?;
        let stored = stream.cached_info().state.messages;
        let consumer: PullConsumer = stream.get_consumer(GROUP).await.ok()?;
        let info = consumer.cached_info();
        last.set(Some((stored, info.num_pending, info.num_ack_pending)));
        (stored >= count as u64 && info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
    })
    .await;
    outcome.with_context(|| {
        format!("{count} were acknowledged; (stored, pending, unacknowledged) = {:?}", last.get())
    })
}

/// Ids of the stream, in order.
///
/// # Errors
/// When it can't be read.
pub async fn stored_ids(inside: &Client) -> Result<Vec<String>> {
    let context = jetstream::new(inside.clone());
    let stream = eventually("the stream", || async { context.get_stream(STREAM).await.ok() }).await?;
    let count = stream.cached_info().state.messages;
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let consumer =
        eventually("a reader", || async { stream.create_consumer(config.clone()).await.ok() }).await?;
    let mut messages = consumer.messages().await?;
    let mut ids = Vec::new();
    for _ in 0..count {
        let message = within("a stored message", messages.next()).await?.context("the end")??;
        let headers = message.headers.as_ref().context("a message without headers")?;
        ids.push(headers.get("Nats-Msg-Id").context("a message without id")?.to_string());
    }
    Ok(ids)
}

/// Holds the stream against what publishers were told, and the group's ledger against the stream.
///
/// # Errors
/// When a message is missing, there twice, out of order, or was handled twice.
pub(super) fn stored(ids: &[String], published: &[Published], ledger: &Ledger) -> Result<Report> {
    let at: HashMap<String, usize> = ids.iter().cloned().enumerate().map(|(at, id)| (id, at)).collect();
    let acknowledged = published.iter().flat_map(|one| &one.acknowledged);
    let lost: Vec<_> = acknowledged.filter(|id| !at.contains_key(*id)).collect();
    ensure!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    if at.len() != ids.len() {
        let mut counts = BTreeMap::<&str, u32>::new();
        ids.iter().for_each(|id| *counts.entry(id).or_default() += 1);
        counts.retain(|_, count| *count > 1);
        anyhow::bail!("stored more than once: {counts:?}");
    }
    for one in published.iter().filter(|one| one.ordered) {
        let places: Vec<usize> = one.acknowledged.iter().filter_map(|id| at.get(id).copied()).collect();
        let wrong = places.windows(2).position(|pair| pair[0] > pair[1]);
        ensure!(
            wrong.is_none(),
            "{}: out of order after {:?}",
            one.name,
            wrong.map(|at| &one.acknowledged[at])
        );
    }
    let unseen: Vec<_> = ids.iter().filter(|id| !ledger.has(id)).collect();
    ensure!(unseen.is_empty(), "never given to the group: {unseen:?}");
    ensure!(
        ledger.twice.is_empty(),
        "given to the group after a confirmed acknowledgement: {:?}",
        ledger.twice
    );
    Ok(Report {
        acknowledged: published.iter().map(|one| one.acknowledged.len()).sum(),
        kept: published.iter().map(|one| one.kept).sum(),
        again: published.iter().map(|one| one.again).sum(),
        stored: ids.len(),
        confirmed: ledger.confirmed(),
        redelivered: ledger.redelivered(),
        ..Report::default()
    })
}
