//! Questions that need no message: counts, bounds, subjects, gaps.

use std::ops::RangeInclusive;

use super::Stream;
use super::read::LOOK_AT;
use crate::error::ReadError;
use crate::filter::Filter;
use crate::index::Matcher;
use crate::options::Storage;

/// A stream in numbers. Counts what was appended, whether or not it is committed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Messages.
    pub messages: u64,
    /// Bytes, counted per message as nats-server counts them: on disk subject, headers, payload and 30 (34 with
    /// headers), in memory subject, headers, payload and 16.
    pub bytes: u64,
    /// Sequence of the first message; one more than the last sequence when there is none.
    pub first_seq: u64,
    /// Time of the first message, ns since 1970; 0 when there is none.
    pub first_time: u64,
    /// The last sequence used.
    pub last_seq: u64,
    /// Time of the last message appended, ns since 1970; 0 when there was none.
    pub last_time: u64,
    /// Subjects with messages.
    pub subjects: u64,
    /// Sequences between the first and the last without a message.
    pub deleted: u64,
}

/// A point up to which something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The end.
    Now,
    /// This sequence, included.
    Seq(u64),
    /// This time, included; ns since 1970.
    Time(u64),
}

/// More subjects match than were to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} subjects match, more than {most}")]
pub struct TooMany {
    /// How many match.
    pub found: usize,
    /// How many were allowed.
    pub most: usize,
}

/// A subject and how many messages it has.
pub type SubjectCount = (Box<[u8]>, u64);

impl Stream {
    /// The stream in numbers.
    #[must_use]
    pub fn state(&self) -> State {
        let log = self.0.log.read();
        let index = &log.index;
        let mut state = State {
            messages: index.messages,
            bytes: index.bytes,
            first_seq: index.first_seq,
            first_time: 0,
            last_seq: index.last_seq,
            last_time: index.last_time,
            subjects: index.subjects.len() as u64,
            deleted: 0,
        };
        if index.messages > 0 {
            state.deleted = index.last_seq + 1 - index.first_seq - index.messages;
        }
        let known = log.first_time.filter(|(seq, _)| *seq == state.first_seq);
        drop(log);
        if state.messages > 0 {
            state.first_time =
                known.map_or_else(|| self.look_up_first_time(state.first_seq), |(_, time)| time);
        }
        state
    }

    fn look_up_first_time(&self, seq: u64) -> u64 {
        let Ok(Some(message)) = self.get(seq) else { return 0 };
        self.0.log.write().first_time = Some((seq, message.time));
        message.time
    }

    /// Messages and their bytes, as [`State`] has them.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        let log = self.0.log.read();
        (log.index.messages, log.index.bytes)
    }

    /// Bytes of the messages, as [`State::bytes`] counts them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.size().1
    }

    /// The last sequence used.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.0.log.read().index.last_seq
    }

    /// Sequence of the newest message of exactly this subject. Needs no I/O.
    #[must_use]
    pub fn last_seq_of(&self, subject: &[u8]) -> Option<u64> {
        let log = self.0.log.read();
        let id = log.index.subjects.find(subject)?;
        Some(log.index.subjects.entry(id).last)
    }

    /// The greatest sequence among the newest messages of the choice. Needs no I/O.
    #[must_use]
    pub fn last_seq_among(&self, filter: &Filter) -> Option<u64> {
        let log = self.0.log.read();
        log.index.subjects_of(filter).into_iter().map(|id| log.index.subjects.entry(id).last).max()
    }

    /// The sequence of the first message of the choice. Needs no I/O.
    #[must_use]
    pub fn first_seq_among(&self, filter: &Filter) -> Option<u64> {
        let mut from = 0;
        loop {
            let log = self.0.log.read();
            match *log.index.subjects_of(filter) {
                [] => return None,
                // Alone, it is the newest, too: nothing has to be looked through.
                [id] if log.index.subjects.entry(id).count == 1 => {
                    return Some(log.index.subjects.entry(id).last);
                }
                _ => {}
            }
            let last = log.index.last_seq;
            let found = log.index.next_matching(from, last, &log.index.matcher(filter), LOOK_AT);
            match found.place {
                Some(place) => return Some(log.index.seq_at(place)),
                None if found.next > last => return None,
                None => from = found.next,
            }
        }
    }

    /// Sequences of the newest message of each subject of the choice up to a point, ascending.
    ///
    /// # Errors
    /// More than `most` subjects match.
    pub fn last_per_subject(&self, filter: &Filter, upto: Point, most: usize) -> Result<Vec<u64>, TooMany> {
        let upto = match upto {
            Point::Now => u64::MAX,
            Point::Seq(seq) => seq,
            Point::Time(time) => self.seq_at(time.saturating_add(1)).saturating_sub(1),
        };
        let log = self.0.log.read();
        let ids = log.index.subjects_of(filter);
        let before = upto.saturating_add(1);
        let mut seqs: Vec<u64> = ids.into_iter().filter_map(|id| log.index.last_before(id, before)).collect();
        if seqs.len() > most {
            return Err(TooMany { found: seqs.len(), most });
        }
        seqs.sort_unstable();
        Ok(seqs)
    }

    /// Subjects of the choice with their number of messages, in no order, at most `most` of them.
    ///
    /// # Errors
    /// More than `most` subjects match.
    pub fn subjects(&self, filter: &Filter, most: usize) -> Result<Vec<SubjectCount>, TooMany> {
        let log = self.0.log.read();
        let ids = log.index.subjects_of(filter);
        if ids.len() > most {
            return Err(TooMany { found: ids.len(), most });
        }
        let subjects = &log.index.subjects;
        Ok(ids
            .into_iter()
            .map(|id| (subjects.text(id).into(), u64::from(subjects.entry(id).count)))
            .collect())
    }

    /// How many subjects of the choice have messages.
    #[must_use]
    pub fn num_subjects(&self, filter: &Filter) -> u64 {
        let log = self.0.log.read();
        log.index.subjects_of(filter).len() as u64
    }

    /// Messages of the choice from `from` on; with `last_per_subject`, only those that are the newest of their
    /// subject.
    #[must_use]
    pub fn num_pending(&self, filter: &Filter, from: u64, last_per_subject: bool) -> u64 {
        let log = self.0.log.read();
        if last_per_subject { log.index.count_last(from, filter) } else { log.index.count(from, filter) }
    }

    /// Sequence of the first message stored at `time` (ns since 1970) or later; one more than the last sequence when
    /// there is none. Assumes that times ascend.
    #[must_use]
    pub fn seq_at(&self, time: u64) -> u64 {
        let state = self.state();
        let (mut low, mut high) = (state.first_seq, state.last_seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time_from(middle, high) {
                Ok(Some((seq, at))) if at < time => low = seq + 1,
                _ => high = middle,
            }
        }
        self.next_seq(low).unwrap_or(state.last_seq + 1)
    }

    /// The first message at or after `seq` and before `end`: its sequence and time.
    fn time_from(&self, seq: u64, end: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let Some(seq) = self.next_seq(seq).filter(|seq| *seq < end) else { return Ok(None) };
        Ok(self.get(seq)?.map(|message| (seq, message.time)))
    }

    /// The sequence of the first message at or after `seq`. Needs no I/O.
    #[must_use]
    pub fn next_seq(&self, seq: u64) -> Option<u64> {
        let log = self.0.log.read();
        log.index.next_live(seq).map(|place| log.index.seq_at(place))
    }

    /// Ranges of sequences between the first and the last message that have no message, at most `most` ranges.
    #[must_use]
    pub fn deleted(&self, most: usize) -> Vec<RangeInclusive<u64>> {
        let log = self.0.log.read();
        let index = &log.index;
        let mut gaps = Vec::new();
        let mut expected = index.first_seq;
        while gaps.len() < most && expected <= index.last_seq {
            let found = index.next_matching(expected, index.last_seq, &Matcher::All, usize::MAX);
            let seq = found.place.map_or(index.last_seq + 1, |place| index.seq_at(place));
            if seq > expected {
                gaps.push(expected..=seq - 1);
            }
            expected = seq + 1;
        }
        gaps
    }

    /// Bytes its messages and index take: on disk, and in memory.
    #[must_use]
    pub fn footprint(&self) -> (u64, u64) {
        let log = self.0.log.read();
        let (data, memory) = (log.file_bytes(), log.index.memory() as u64);
        match log.options.storage {
            Storage::File => (data, memory),
            Storage::Memory => (0, memory + data),
        }
    }
}
