//! A consumer as it lies in its stream's log: what it is, then its ledger.
//!
//! The saved state of that name in the store is a snapshot `length (u32, little-endian), JSON, ledger` (see
//! [`journal`]) and the journal blocks written since.

use serde::{Deserialize, Serialize};
use store::SavedState;

use crate::consumer::config::ConsumerConfig;
use crate::consumer::{Ledger, journal};
use crate::stamp::Stamp;

const VERSION: u32 = 1;

/// What a consumer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    /// Nanoseconds since 1970.
    created: i64,
    config: ConsumerConfig,
}

/// Why a saved consumer can't be recovered.
#[derive(Debug, thiserror::Error)]
pub(super) enum SavedError {
    #[error("its saved state is cut short")]
    Short,
    #[error("its configuration can't be read: {0}")]
    Config(#[from] serde_json::Error),
    #[error("a later release wrote it")]
    Newer,
    #[error(transparent)]
    Journal(#[from] journal::JournalError),
}

/// The snapshot of a consumer.
pub(super) fn encode(created: Stamp, config: &ConsumerConfig, ledger: &Ledger) -> Vec<u8> {
    let saved = Saved { version: VERSION, created: created.0, config: config.clone() };
    let json = serde_json::to_vec(&saved).unwrap_or_default();
    let mut bytes = u32::try_from(json.len()).unwrap_or(0).to_le_bytes().to_vec();
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&journal::snapshot(ledger));
    bytes
}

/// Reads a consumer back.
pub(super) fn decode(state: &SavedState) -> Result<(Stamp, ConsumerConfig, Ledger), SavedError> {
    let (length, rest) = state.snapshot.split_first_chunk::<4>().ok_or(SavedError::Short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (json, ledger) = rest.split_at_checked(length).ok_or(SavedError::Short)?;
    let saved: Saved = serde_json::from_slice(json)?;
    if saved.version > VERSION {
        return Err(SavedError::Newer);
    }
    let mut found = Ledger::new(saved.config.ack_policy, 1, std::collections::VecDeque::new());
    journal::replay(ledger, &mut found)?;
    for block in &state.added {
        journal::replay(block, &mut found)?;
    }
    Ok((Stamp(saved.created), saved.config, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::Change;
    use crate::consumer::config::AckPolicy;

    #[test]
    fn what_was_saved_is_found_again() {
        let config = ConsumerConfig {
            durable: "C".into(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let mut ledger = Ledger::new(AckPolicy::Explicit, 5, [2, 3].into());
        let snapshot = encode(Stamp(7), &config, &ledger).into();
        let change = Change::Delivered { sequence: 2, delivery: 1, since: 9 };
        let mut written = journal::Journal::default();
        written.note(change);
        let mut block = Vec::new();
        written.take(&mut block);
        ledger.apply(change);
        let state = SavedState { snapshot, added: vec![block.into()] };
        let (created, found, recovered) = decode(&state).unwrap();
        assert_eq!((created, found, recovered), (Stamp(7), config, ledger));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let state = |snapshot: &[u8]| SavedState { snapshot: snapshot.to_vec().into(), added: vec![] };
        assert!(matches!(decode(&state(b"")), Err(SavedError::Short)));
        assert!(matches!(decode(&state(&[9, 0, 0, 0, 1])), Err(SavedError::Short)));
        assert!(matches!(decode(&state(&[1, 0, 0, 0, b'x'])), Err(SavedError::Config(_))));
    }
}
