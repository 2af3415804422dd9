//! What the API tells of a consumer.

use serde::Serialize;

use super::Consumer;
use super::config::ConsumerConfig;
use super::requests::Gone;
use super::world::{Log, Outlet, World};
use crate::stamp::Stamp;

/// A place in both orders, and when it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SequenceInfo {
    /// In this consumer's deliveries.
    pub consumer_seq: u64,
    /// In the stream.
    pub stream_seq: u64,
    /// When it last moved, since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Stamp>,
}

/// The state of a priority group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    /// Its name.
    pub group: String,
    /// The client that is pinned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// Since when.
    pub pinned_ts: Stamp,
}

/// A consumer as `CONSUMER.INFO` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct ConsumerInfo {
    pub stream_name: String,
    pub name: String,
    pub created: Stamp,
    pub config: ConsumerConfig,
    pub delivered: SequenceInfo,
    pub ack_floor: SequenceInfo,
    pub num_ack_pending: u64,
    pub num_redelivered: u64,
    pub num_waiting: u64,
    pub num_pending: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub push_bound: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub pause_remaining: i64,
    pub ts: Stamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<GroupInfo>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Consumer {
    /// What the API tells of it now.
    pub fn info<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>) -> ConsumerInfo {
        let now = world.now;
        self.backlog.known = false;
        self.count_backlog(world.log);
        self.look_at_pulls(world.out, now, false, Gone::Go);
        let until = self.config.pause_until.map_or(0, |until| until.0);
        // With a single delivery nothing is redelivered: what is remembered are messages given up.
        let redelivered = if self.config.max_deliver == 1 { 0 } else { self.ledger.counts().len() as u64 };
        let group = self.config.priority_groups.first().map(|group| GroupInfo {
            group: group.clone(),
            pinned_client_id: self.pin.as_ref().map(|pin| pin.id.clone()).unwrap_or_default(),
            pinned_ts: self.pin.as_ref().map_or(Stamp::ZERO, |pin| Stamp(pin.since)),
        });
        let place = |at: super::Position, last: Option<i64>| SequenceInfo {
            consumer_seq: at.consumer,
            stream_seq: at.stream,
            last_active: last.map(Stamp),
        };
        ConsumerInfo {
            stream_name: self.stream.to_string(),
            name: self.name.to_string(),
            created: self.created,
            config: self.config.clone(),
            delivered: place(self.ledger.delivered, self.last_delivery),
            ack_floor: place(self.ledger.floor, self.last_ack),
            num_ack_pending: self.ledger.pending.len() as u64,
            num_redelivered: redelivered,
            num_waiting: self.pulls.len() as u64,
            num_pending: self.backlog.count,
            push_bound: self.config.is_push() && self.push.active,
            paused: self.is_paused(now),
            pause_remaining: if self.is_paused(now) { until - now } else { 0 },
            ts: Stamp(now),
            priority_groups: group.into_iter().collect(),
        }
    }
}
