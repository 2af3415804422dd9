//! Streams and consumers that come from somewhere else, as they were there.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::Append;

use crate::config::StreamConfig;
use crate::consumer::config::{AckPolicy, ConsumerConfig};
use crate::consumer::{Ledger, Position};
use crate::errors::{ApiError, NOT_ENABLED_FOR_ACCOUNT};
use crate::service::JetStream;
use crate::stamp::Stamp;
use crate::stream::{Stream, expires};

/// A consumer as it was elsewhere.
#[derive(Debug, Clone, Default)]
pub struct ForeignConsumer {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: ConsumerConfig,
    /// When it was created there.
    pub created: Option<Stamp>,
    /// Where it is. `None`: it begins here as its configuration says.
    pub state: Option<ForeignState>,
}

/// Where a consumer was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignState {
    /// The last delivery.
    pub delivered: Position,
    /// Up to where everything was done with.
    pub floor: Position,
    /// What waits: sequence, delivery, and since when in nanoseconds since 1970.
    pub pending: Vec<(u64, u64, i64)>,
    /// How often messages were delivered, where that was more than once.
    pub deliveries: BTreeMap<u64, u32>,
}

impl ForeignState {
    pub(crate) fn ledger(&self, policy: AckPolicy) -> Ledger {
        let waits = policy != AckPolicy::None;
        let pending = self.pending.iter().copied().filter(|_| waits);
        Ledger::at(policy, self.delivered, self.floor, pending, self.deliveries.clone())
    }
}

impl JetStream {
    /// Creates a stream as the API would, with the time it was created elsewhere.
    ///
    /// # Errors
    /// What the API answers with.
    pub fn create_stream(
        &self,
        account: &str,
        config: StreamConfig,
        created: Option<Stamp>,
    ) -> Result<Arc<Stream>, ApiError> {
        let account = self.hub.open_account(account).ok_or_else(|| NOT_ENABLED_FOR_ACCOUNT.err())?;
        let created = created.unwrap_or_else(|| self.hub.now());
        crate::api::stream::create(&self.hub, &account, config, false, created).map(|(stream, _)| stream)
    }

    /// Appends messages with sequences and times of their own (ns since 1970), as they were elsewhere. They are safe when
    /// [`store::Stream::wait`] returns.
    ///
    /// # Errors
    /// Why one was refused; those before it are stored.
    pub fn import(&self, stream: &Stream, messages: &[Append<'_>]) -> Result<(), store::AppendError> {
        let expire = stream.config().allow_msg_ttl;
        let messages: Vec<Append<'_>> = messages
            .iter()
            .map(|message| {
                let own = if expire { expires(message.headers, message.time) } else { None };
                Append { expires: message.expires.or(own), ..*message }
            })
            .collect();
        let done = stream.log.append(&messages);
        stream.note_usage();
        done.refused.map_or(Ok(()), Err)
    }

    /// Deletes messages as they were deleted elsewhere; some may be gone already.
    ///
    /// # Errors
    /// The log takes no writes.
    pub fn import_deletions(&self, stream: &Stream, sequences: &[u64]) -> Result<(), store::Stopped> {
        stream.log.delete_many(sequences).map(drop)
    }

    /// Ends an import: the next message has a sequence above `last`, also where the last ones were deleted there.
    ///
    /// # Errors
    /// The log takes no writes.
    pub fn end_import(&self, stream: &Stream, last: u64) -> Result<(), store::AppendError> {
        if stream.log.last_seq() < last {
            stream.log.skip_to(last)?;
        }
        stream.note_usage();
        Ok(())
    }

    /// Brings a consumer in, with its state.
    ///
    /// # Errors
    /// What the API answers to one who creates it; one of this name is there already.
    pub fn import_consumer(&self, stream: &Stream, consumer: ForeignConsumer) -> Result<(), ApiError> {
        stream.consumers().map_or(Ok(()), |consumers| consumers.import(consumer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_becomes_a_ledger() {
        let state = ForeignState {
            delivered: Position { consumer: 6, stream: 9 },
            floor: Position { consumer: 3, stream: 5 },
            pending: vec![(7, 4, 70), (9, 0, 90)],
            deliveries: [(7, 2)].into(),
        };
        let ledger = state.ledger(AckPolicy::Explicit);
        assert_eq!((ledger.next, ledger.delivered, ledger.floor), (10, state.delivered, state.floor));
        assert_eq!((ledger.deliveries(7), ledger.deliveries(9)), (2, 1));
        assert_eq!(ledger.pending.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [7, 9]);
        assert!(state.ledger(AckPolicy::None).pending.is_empty());
    }
}
