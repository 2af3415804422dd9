//! Saved states: small logs beside the messages of a stream, as a consumer's position is kept. Opaque to the store.
//!
//! A state is a snapshot and what was added to it since. Whoever keeps one should replace it by a new snapshot when
//! the additions outgrow it ([`Stream::state_size`] tells).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Stream;
use crate::error::Stopped;

/// A state as it was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// The last snapshot.
    pub snapshot: Bytes,
    /// What was added since, in order.
    pub added: Vec<Bytes>,
}

/// All states of a stream.
#[derive(Debug, Default)]
pub(crate) struct States {
    by_name: BTreeMap<String, SavedState>,
}

impl Stream {
    /// Replaces a state, or begins it. Committed, like an append, when
    /// [`Committed::position`](super::Committed) reaches the answer.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn put_state(&self, name: &str, snapshot: &[u8]) -> Result<u64, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        let state = SavedState { snapshot: Bytes::copy_from_slice(snapshot), added: Vec::new() };
        log.states.by_name.insert(name.to_owned(), state);
        Ok(Self::changed(&mut log))
    }

    /// Adds to a state; begins it with an empty snapshot if there is none.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn add_state(&self, name: &str, addition: &[u8]) -> Result<u64, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        let addition = Bytes::copy_from_slice(addition);
        match log.states.by_name.get_mut(name) {
            Some(state) => state.added.push(addition),
            None => {
                let state = SavedState { snapshot: Bytes::new(), added: vec![addition] };
                log.states.by_name.insert(name.to_owned(), state);
            }
        }
        Ok(Self::changed(&mut log))
    }

    /// Forgets a state.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn remove_state(&self, name: &str) -> Result<u64, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        log.states.by_name.remove(name);
        Ok(Self::changed(&mut log))
    }

    /// Names of all states, sorted.
    #[must_use]
    pub fn states(&self) -> Vec<String> {
        self.0.log.read().states.by_name.keys().cloned().collect()
    }

    /// A state as it was saved last.
    #[must_use]
    pub fn state_of(&self, name: &str) -> Option<SavedState> {
        self.0.log.read().states.by_name.get(name).cloned()
    }

    /// Bytes of a state's snapshot, and of what was added since.
    #[must_use]
    pub fn state_size(&self, name: &str) -> (usize, usize) {
        let log = self.0.log.read();
        let Some(state) = log.states.by_name.get(name) else { return (0, 0) };
        (state.snapshot.len(), state.added.iter().map(Bytes::len).sum())
    }
}
