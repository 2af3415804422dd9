//! Saved states: small logs beside the messages of a stream, as a consumer's position is kept. Opaque to the store.
//!
//! A state is a snapshot and what was added to it since. Whoever keeps one should replace it by a new snapshot when
//! the additions outgrow it ([`Stream::state_size`] tells).

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use super::Stream;
use super::home::Home;
use super::log::NotEncrypted;
use crate::crypt::{FileCipher, Sealing};
use crate::data::FileData;
use crate::error::Stopped;
use crate::record::{Draft, HEADER, Kind, OPEN, encode};
use crate::segment::{Content, Header, SegmentFile};

/// A state as it was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// The last snapshot.
    pub snapshot: Bytes,
    /// What was added since, in order.
    pub added: Vec<Bytes>,
}

/// A file of states is not rewritten while it is shorter than this, in bytes.
const REWRITE_FROM: u64 = 1024 * 1024;

/// All states of a stream, and the file they are in.
#[derive(Debug, Default)]
pub(crate) struct States {
    pub(crate) by_name: BTreeMap<String, SavedState>,
    pub(crate) data: Option<FileData>,
    /// Number of the last file begun.
    pub(crate) number: u64,
    /// The files that `data` takes the place of once it is written, and how far they count.
    pub(crate) old: Vec<(PathBuf, u64)>,
    /// Bytes of all states.
    live: u64,
}

impl SavedState {
    fn len(&self) -> u64 {
        (self.snapshot.len() + self.added.iter().map(|added| added.len() + HEADER).sum::<usize>() + HEADER)
            as u64
    }
}

impl States {
    /// Does what a record of a file of states says. False when it adds to a state that is not there.
    pub(crate) fn apply(&mut self, kind: Kind, name: &str, bytes: Bytes) -> bool {
        match kind {
            Kind::PutState => {
                let state = SavedState { snapshot: bytes, added: Vec::new() };
                self.live += state.len();
                let before = self.by_name.insert(name.to_owned(), state);
                self.live -= before.map_or(0, |before| before.len());
            }
            Kind::AddState => {
                let Some(state) = self.by_name.get_mut(name) else { return false };
                self.live += (bytes.len() + HEADER) as u64;
                state.added.push(bytes);
            }
            _ => self.live -= self.by_name.remove(name).map_or(0, |before| before.len()),
        }
        true
    }

    /// Writes a change and applies it.
    fn change(
        &mut self,
        home: Option<&Home>,
        kind: Kind,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), NotEncrypted> {
        if let Some(home) = home {
            if self.data.is_none() {
                self.begin_file(home)?;
            }
            self.push(kind, 0, name, bytes)?;
        }
        self.apply(kind, name, Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn push(&mut self, kind: Kind, flags: u8, name: &str, bytes: &[u8]) -> Result<(), NotEncrypted> {
        let draft = Draft { subject: name.as_bytes(), ..Draft::control(kind, flags, 0, bytes) };
        let Some(data) = &mut self.data else { return Err(NotEncrypted) };
        let end = data.end();
        let pushed = encode(&draft, &data.file.cipher, data.file.seed, end, &mut data.pending);
        if pushed { Ok(()) } else { Err(NotEncrypted) }
    }

    /// Begins a new file with all states in it, as one batch that an empty removal ends: a file without its end was
    /// never complete, and the one before it holds.
    fn begin_file(&mut self, home: &Home) -> Result<(), NotEncrypted> {
        let sealing = Sealing::fresh(home.keys.as_ref()).ok_or(NotEncrypted)?;
        let cipher = FileCipher::new(&sealing, home.keys.as_ref()).ok_or(NotEncrypted)?;
        self.old.extend(self.data.as_ref().map(|data| (data.file.path.clone(), data.written)));
        self.number += 1;
        let header = Header {
            content: Content::States,
            generation: 0,
            number: self.number,
            through: self.number,
            base: 0,
            floor: 0,
            previous: 0,
            previous_end: 0,
            stream: home.id,
            sealing,
        };
        self.data = Some(FileData::begin(SegmentFile::new(&home.dir, header, cipher)));
        let states = std::mem::take(&mut self.by_name);
        let mut written = Ok(());
        for (name, state) in &states {
            written = written.and_then(|()| self.push(Kind::PutState, OPEN, name, &state.snapshot));
            for added in &state.added {
                written = written.and_then(|()| self.push(Kind::AddState, OPEN, name, added));
            }
        }
        self.by_name = states;
        written.and_then(|()| self.push(Kind::RemoveState, 0, "", b""))
    }

    /// Begins a new file in place of those that are closed.
    pub(crate) fn supersede(&mut self, home: &Home) -> Result<(), NotEncrypted> {
        if self.old.is_empty() { Ok(()) } else { self.begin_file(home) }
    }

    /// Begins a new file when little of the old one is still of use. Called when what is waiting is about to be
    /// written; which files can go once it is.
    pub(crate) fn rewrite_if_due(&mut self, home: Option<&Home>) -> Vec<(PathBuf, u64)> {
        let length = self.data.as_ref().map_or(0, FileData::end);
        if let Some(home) = home
            && length > REWRITE_FROM.max(self.live * 4)
        {
            // Without randomness the old file goes on.
            let _kept = self.begin_file(home);
        }
        // Without a new file, the old ones hold.
        if self.data.is_some() { std::mem::take(&mut self.old) } else { Vec::new() }
    }
}

impl Stream {
    /// Replaces a state, or begins it. Committed, like an append, when
    /// [`Committed::position`](super::Committed) reaches the answer.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn put_state(&self, name: &str, snapshot: &[u8]) -> Result<u64, Stopped> {
        self.change_state(&[(Kind::PutState, name, snapshot)])
    }

    /// Adds to a state; begins it with an empty snapshot if there is none.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn add_state(&self, name: &str, addition: &[u8]) -> Result<u64, Stopped> {
        if self.0.log.read().states.by_name.contains_key(name) {
            return self.change_state(&[(Kind::AddState, name, addition)]);
        }
        self.change_state(&[(Kind::PutState, name, b""), (Kind::AddState, name, addition)])
    }

    /// Forgets a state.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn remove_state(&self, name: &str) -> Result<u64, Stopped> {
        self.change_state(&[(Kind::RemoveState, name, b"")])
    }

    fn change_state(&self, changes: &[(Kind, &str, &[u8])]) -> Result<u64, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        for (kind, name, bytes) in changes {
            let changed = log.states.change(self.0.home.as_ref(), *kind, name, bytes);
            changed.map_err(|NotEncrypted| self.0.not_encrypted())?;
        }
        Ok(self.0.changed(&mut log))
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
