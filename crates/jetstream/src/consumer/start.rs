//! Where a new consumer begins.

use std::collections::VecDeque;

use super::config::{ConsumerConfig, DeliverPolicy};
use super::ledger::Ledger;
use store::Filter;

/// What has to be known of a stream to find a consumer's start.
pub trait History {
    /// The first sequence that may hold a message.
    fn first(&self) -> u64;

    /// The last sequence that was given to a message; 0 before the first.
    fn last(&self) -> u64;

    /// The last message that the filter matches.
    fn last_of(&self, filter: &Filter) -> Option<u64>;

    /// The last message of every subject the filter matches, in order.
    fn last_per_subject(&self, filter: &Filter) -> Vec<u64>;

    /// The first message stored at a time (nanoseconds since 1970) or after it.
    fn at(&self, time: i64) -> Option<u64>;

    /// Whether no subject ever has more than one message.
    fn one_per_subject(&self) -> bool;
}

/// The ledger of a new consumer.
#[must_use]
pub fn start(config: &ConsumerConfig, filter: &Filter, stream: &impl History) -> Ledger {
    let (first, last) = (stream.first().max(1), stream.last());
    let mut listed = VecDeque::new();
    let next = match config.deliver_policy {
        DeliverPolicy::All => first,
        DeliverPolicy::Last if filter.is_all() => last,
        DeliverPolicy::Last => stream.last_of(filter).unwrap_or(first),
        DeliverPolicy::New => last + 1,
        DeliverPolicy::ByStartSequence => config.opt_start_seq,
        DeliverPolicy::ByStartTime => {
            config.opt_start_time.and_then(|time| stream.at(time.0)).unwrap_or(last + 1)
        }
        DeliverPolicy::LastPerSubject if stream.one_per_subject() => first,
        DeliverPolicy::LastPerSubject => {
            listed = stream.last_per_subject(filter).into();
            // With nothing to list nats-server begins with the last message, which then is not one of this consumer's.
            if listed.is_empty() { last } else { last + 1 }
        }
    };
    // A sequence that was asked for may lie ahead; nothing else does.
    let next = if config.opt_start_seq == 0 { next.min(last + 1) } else { next };
    Ledger::new(config.ack_policy, next.max(first), listed)
}
