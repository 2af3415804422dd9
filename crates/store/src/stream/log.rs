//! What the lock of a stream protects, and how records get into it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::home::Home;
use super::sparse::Look;
use super::states::States;
use super::{Committed, Inner};
use crate::crypt::{FileCipher, Sealing};
use crate::data::{Data, FileData};
use crate::error::{AppendError, Stopped};
use crate::index::{Index, Segment, SegmentIndex, SubjectId};
use crate::options::{Storage, StreamOptions, Sync};
use crate::ranges;
use crate::record::{Draft, Head, Kind, SYNCED};
use crate::removal::Removals;
use crate::segment::{Content, Header, SEGMENT_HEADER, SegmentFile};
use crate::snapshot;
use crate::tail::Tail;

/// A message that is to be overwritten once its deletion is committed.
#[derive(Debug)]
pub(crate) struct Erasure {
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) seq: u64,
}

impl Erasure {
    pub(crate) fn target(&self) -> Target {
        let Header { number, generation, .. } = self.file.header;
        Target { number, generation, length: self.length, offset: self.offset }
    }
}

/// Where a message stands that is to be overwritten, as the record of its deletion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) number: u64,
    pub(crate) generation: u32,
    pub(crate) length: u32,
    pub(crate) offset: u64,
}

impl Target {
    /// Whether it is in the file with this header.
    pub(crate) fn is_in(&self, header: &Header) -> bool {
        (self.number, self.generation) == (header.number, header.generation)
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = self.number.to_le_bytes().to_vec();
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        Some(Self {
            number: u64::from_le_bytes(*number),
            generation: u32::from_le_bytes(*generation),
            length: u32::from_le_bytes(*length),
            offset: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// What the lock of a stream protects.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) options: StreamOptions,
    pub(crate) index: Index<Data>,
    pub(crate) states: States,
    /// What was written last and may be in memory.
    pub(crate) tail: Tail,
    /// Changes so far.
    pub(crate) position: u64,
    pub(crate) committed: Committed,
    pub(crate) stopped: Option<Stopped>,
    /// (sequence, time) of the oldest message, once somebody asked.
    pub(crate) first_time: Option<(u64, u64)>,
    /// Whether the commit thread has been told that there is something to write.
    pub(crate) queued: bool,
    /// Number of the next segment.
    pub(crate) next_number: u64,
    /// Whether the next record goes to a new segment.
    pub(crate) roll: bool,
    /// Whether an atomic batch is being written, for which room was made: it is in one segment.
    pub(crate) in_batch: bool,
    pub(crate) erasures: Vec<Erasure>,
    /// Erasures asked for so far.
    pub(crate) erasures_asked: u64,
    /// Bytes written since the last snapshot of the index, and how long that was.
    pub(crate) since_snapshot: u64,
    pub(crate) snapshot_bytes: u64,
    /// What went during recovery and is not written down yet.
    pub(crate) owed: Removals,
    /// Files that were begun before a failure and are not part of the log.
    pub(crate) strays: Vec<PathBuf>,
    /// Whether the files have not been read back since a failure.
    pub(crate) is_unread: bool,
    /// Sequences of what went to make room for what was appended: written down once a commit, not once a message.
    pub(crate) made_room: Vec<u64>,
    /// When it was looked for something to compact.
    pub(crate) look: Look,
    /// Segments that compaction leaves alone, because something in them can't be read.
    pub(crate) unreadable: BTreeSet<u64>,
}

/// A record could not be put into the log: there is no randomness, or encryption failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotEncrypted;

impl Log {
    pub(crate) fn new(options: StreamOptions) -> Self {
        Self {
            options,
            index: Index::new(options.storage, options.limits),
            states: States::default(),
            tail: Tail::default(),
            position: 0,
            committed: Committed::default(),
            stopped: None,
            first_time: None,
            queued: false,
            next_number: 1,
            roll: false,
            in_batch: false,
            erasures: Vec::new(),
            erasures_asked: 0,
            since_snapshot: 0,
            snapshot_bytes: 0,
            owed: Removals::default(),
            strays: Vec::new(),
            is_unread: false,
            made_room: Vec::new(),
            look: Look::default(),
            unreadable: BTreeSet::new(),
        }
    }

    pub(crate) fn writable(&self) -> Result<(), Stopped> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Bytes that wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        let waiting = self.index.segments.iter().rev().map_while(|segment| match &segment.data {
            Data::File(data) => Some(data.pending.len() + data.flying.as_ref().map_or(0, bytes::Bytes::len))
                .filter(|some| *some > 0),
            _ => None,
        });
        waiting.sum()
    }

    /// Writes a record; where it stands in the last segment.
    pub(crate) fn push(&mut self, home: Option<&Home>, draft: &Draft<'_>) -> Result<u64, NotEncrypted> {
        self.make_room(home, draft.len() as u64)?;
        let sync = self.options.sync == Sync::Commit;
        let Some(segment) = self.index.segments.back_mut() else { return Err(NotEncrypted) };
        let mut draft = *draft;
        if let Data::File(data) = &segment.data
            && sync
            && data.at_front()
        {
            draft.flags |= SYNCED;
        }
        let offset = segment.data.end();
        if segment.data.push(&draft) { Ok(offset) } else { Err(NotEncrypted) }
    }

    /// Writes a message and takes it into the index; the number of its subject.
    pub(crate) fn push_message(
        &mut self,
        home: Option<&Home>,
        draft: &Draft<'_>,
    ) -> Result<SubjectId, NotEncrypted> {
        let offset = self.push(home, draft)?;
        let tag = self.index.segments.back().map_or(0, |segment| segment.tag);
        let head = Head {
            length: draft.len() + tag,
            kind: draft.kind as u8,
            flags: if draft.expires.is_some() { crate::record::EXPIRES } else { 0 },
            subject: draft.subject.len(),
            headers: draft.headers.len(),
            seq: draft.seq,
            time: draft.time,
        };
        Ok(self.index.add(&head, draft.subject, draft.expires, offset as u32))
    }

    /// Writes down which messages went.
    pub(crate) fn push_removals(
        &mut self,
        home: Option<&Home>,
        removals: &Removals,
    ) -> Result<(), NotEncrypted> {
        if self.options.storage == Storage::Memory || removals.is_empty() {
            return Ok(());
        }
        self.push_list(home, &mut removals.seqs())
    }

    /// Writes down which messages made room for those appended since the last time.
    pub(crate) fn push_made_room(&mut self, home: Option<&Home>) {
        if self.made_room.is_empty() {
            return;
        }
        let mut seqs = std::mem::take(&mut self.made_room);
        if self.push_list(home, &mut seqs).is_err() {
            // The limits are applied again at the next start: what went goes again.
            self.roll = true;
        }
        seqs.clear();
        self.made_room = seqs;
    }

    fn push_list(&mut self, home: Option<&Home>, seqs: &mut [u64]) -> Result<(), NotEncrypted> {
        let list = ranges::encode(seqs);
        let draft = Draft::control(Kind::Removal, 0, self.index.last_seq, &list);
        self.push(home, &draft).map(|_| ())
    }

    /// Begins a new segment if the last one would become too long.
    pub(crate) fn make_room(&mut self, home: Option<&Home>, length: u64) -> Result<(), NotEncrypted> {
        if self.in_batch {
            return Ok(());
        }
        let limit = self.options.segment_bytes;
        let fits = |segment: &Segment<Data>| {
            segment.data.end() + length <= limit || segment.data.end() <= SEGMENT_HEADER as u64
        };
        if !self.roll && self.index.segments.back().is_some_and(fits) {
            return Ok(());
        }
        self.begin_segment(home)
    }

    /// Begins a new segment.
    pub(crate) fn begin_segment(&mut self, home: Option<&Home>) -> Result<(), NotEncrypted> {
        let (number, base) = (self.next_number, self.index.last_seq + 1);
        let before = self.index.segments.back();
        let previous = before.map_or(0, |segment| segment.id);
        let previous_end = before.map_or(0, |segment| segment.data.end());
        let (data, tag) = match home {
            None => (Data::Ram(Vec::new()), 0),
            Some(home) => {
                let sealing = Sealing::fresh(home.keys.as_ref()).ok_or(NotEncrypted)?;
                let cipher = FileCipher::new(&sealing, home.keys.as_ref()).ok_or(NotEncrypted)?;
                let tag = cipher.tag();
                let header = Header {
                    content: Content::Messages,
                    generation: 0,
                    number,
                    through: number,
                    base,
                    floor: self.index.first_seq,
                    previous,
                    previous_end,
                    stream: home.id,
                    sealing,
                };
                (Data::File(FileData::begin(SegmentFile::new(&home.dir, header, cipher))), tag)
            }
        };
        if let Some(last) = self.index.segments.back_mut() {
            last.data.seal();
            last.index.seal();
        }
        self.index.segments.push_back(Segment {
            id: number,
            base,
            index: SegmentIndex::default(),
            tag,
            data,
        });
        self.next_number = number + 1;
        self.roll = false;
        // The one before it is complete, and may be sparse or sealed with an old key already.
        self.look_soon();
        Ok(())
    }

    /// Takes the segments off the front in which nothing is alive, up to this number; in memory that is all there is
    /// to do.
    pub(crate) fn take_dead(&mut self, upto: u64) -> Vec<Arc<SegmentFile>> {
        let mut dead = Vec::new();
        let is_dead = |segment: &Segment<Data>| segment.id <= upto && segment.index.live() == 0;
        while self.index.segments.len() > 1 && self.index.segments.front().is_some_and(is_dead) {
            dead.extend(self.index.segments.pop_front().and_then(|segment| segment.data.file().cloned()));
        }
        dead
    }
}

impl Log {
    /// The index as bytes, when this much was written since the last time. What it describes is written but for what
    /// the caller is about to write.
    pub(crate) fn snapshot(&mut self, every: u64) -> Option<Vec<u8>> {
        let due = self.since_snapshot > 0 && self.since_snapshot >= every;
        if !due || !self.erasures.is_empty() {
            return None;
        }
        let bytes = snapshot::encode(&self.index)?;
        self.since_snapshot = 0;
        self.snapshot_bytes = bytes.len() as u64;
        Some(bytes)
    }
}

impl Inner {
    /// Notes a change. In memory it is committed at once; the commit thread is told otherwise.
    pub(crate) fn changed(self: &Arc<Self>, log: &mut Log) -> u64 {
        self.queue(log);
        self.noted(log)
    }

    /// Notes a change that the commit thread is told of later.
    pub(crate) fn noted(&self, log: &mut Log) -> u64 {
        log.position += 1;
        if self.home.is_none() {
            log.committed = Committed { seq: log.index.last_seq, position: log.position };
            log.take_dead(u64::MAX);
            log.compact_memory();
        }
        log.position
    }

    /// Has the commit thread look at the stream.
    pub(crate) fn queue(self: &Arc<Self>, log: &mut Log) {
        if let Some(home) = self.home.as_ref().filter(|_| !log.queued) {
            log.queued = true;
            home.committer.push(super::Stream(Arc::clone(self)));
        }
    }

    /// The error for [`NotEncrypted`].
    pub(crate) fn not_encrypted(&self) -> Stopped {
        Stopped::Io {
            stream: self.name.clone(),
            file: self.home.as_ref().map(|home| home.dir.clone()).unwrap_or_default(),
            error: Arc::new(std::io::Error::other("encryption failed")),
        }
    }
}

impl From<&Inner> for AppendError {
    fn from(inner: &Inner) -> Self {
        Self::Stopped(inner.not_encrypted())
    }
}
