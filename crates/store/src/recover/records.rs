//! The records of a segment of messages, one after the other.

use std::sync::Arc;

use super::damage::Damage;
use super::{Pending, Recovery, io_error};
use crate::error::StoreError;
use crate::options::Sync;
use crate::problem::Severity;
use crate::ranges;
use crate::record::{self, ERASE, Head, JOINED, Kind, OPEN, body_at, decrypt};
use crate::removal::Removals;
use crate::scan::{Records, Step};
use crate::segment::{SEGMENT_HEADER, SegmentFile};
use crate::stream::{Erasure, Target};

impl Recovery<'_> {
    pub(super) fn records(
        &mut self,
        file: &Arc<SegmentFile>,
        from: u64,
        end: u64,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let Some(open) = file.file() else { return Ok(()) };
        let mut records = Records::new(&**open, file.cipher.tag(), file.seed, from, end);
        let mut damages: Vec<Damage> = Vec::new();
        let mut intact_to = from;
        // A record that was written after a sync says that what is before it is on disk.
        let mut proven = if from == SEGMENT_HEADER as u64 { 0 } else { from };
        // What stands before this offset had been committed: all of it, but for the end of the log after a crash.
        let may_be_torn = is_last && file.header.generation == 0 && self.ends.is_none();
        let (mut synced, mut rest) = (if may_be_torn { 0 } else { u64::MAX }, None);
        loop {
            match records.next().map_err(io_error(&file.path))? {
                Step::End => break,
                Step::Damage { from, to } => {
                    let after = self.log.index.last_seq;
                    if from < synced {
                        let written = records.without_zeros(from, to).map_err(io_error(&file.path))?;
                        damages.push(Damage { from, to, written, after });
                        self.end_broken_batch(true);
                        continue;
                    }
                    let rest = match &mut rest {
                        Some(rest) => rest,
                        None => rest.insert(self.look_ahead(file, to, end).map_err(io_error(&file.path))?),
                    };
                    synced = rest.synced;
                    let is_torn = from >= synced && !rest.was_erased(from, to);
                    let whole = is_torn && self.log.options.sync == Sync::Commit;
                    let to = if whole { end } else { to };
                    let written = records.without_zeros(from, to).map_err(io_error(&file.path))?;
                    damages.push(Damage { from, to, written, after });
                    self.end_broken_batch(!is_torn);
                    if whole {
                        // One write, of which a part is missing: what stands behind it counts as little, as if the
                        // write had never begun there. Its sequences are used up, should it have been damaged since.
                        self.log.index.skip_to(rest.last_seq);
                        break;
                    }
                }
                Step::Record { offset, head, bytes } => {
                    intact_to = offset + head.length as u64;
                    if head.flags & record::SYNCED != 0 && offset > SEGMENT_HEADER as u64 {
                        proven = offset;
                    }
                    let is_broken = head.flags & JOINED != 0 && self.open.is_empty() && !damages.is_empty();
                    if let Err(what) = self.record(file, offset, &head, bytes) {
                        self.report(
                            Severity::Damage,
                            &file.path,
                            Some(offset),
                            Some((head.seq, head.seq)),
                            what,
                        );
                    } else if is_broken {
                        self.end_broken_batch(offset < synced);
                    }
                }
            }
        }
        if let Some(open) = self.open.first().filter(|_| is_last) {
            intact_to = open.offset;
        }
        self.settle(file, &damages, synced, intact_to, end, is_last);
        if is_last && file.header.generation == 0 {
            self.make_durable(file, proven, intact_to);
        }
        Ok(())
    }

    /// Part of an atomic batch is damaged. If the batch was committed, what is left of it is served; otherwise it never
    /// was, and none of it may come back.
    pub(super) fn end_broken_batch(&mut self, committed: bool) {
        let seqs: Vec<u64> = self.open.iter().map(|message| message.head.seq).collect();
        self.close_batch();
        if !committed {
            for seq in seqs {
                if let Some(place) = self.log.index.find(seq) {
                    self.log.index.kill(place, &mut self.log.owed);
                }
            }
        }
    }

    pub(super) fn record(
        &mut self,
        file: &SegmentFile,
        offset: u64,
        head: &Head,
        bytes: &mut [u8],
    ) -> Result<(), String> {
        let Some(kind) = Kind::from_byte(head.kind) else { return Ok(()) };
        if kind == Kind::Erased {
            let last = self.open.last().map_or(self.log.index.last_seq, |last| last.head.seq);
            if head.seq > last {
                let subject = Vec::new();
                self.open.push(Pending { head: *head, subject, expires: None, offset, erased: true });
            }
            if head.flags & OPEN == 0 {
                self.close_batch();
            }
            return Ok(());
        }
        if !decrypt(bytes, &file.cipher, offset) {
            return Err("this record can't be decrypted".into());
        }
        let body = body_at(head.flags & record::EXPIRES != 0);
        match kind {
            Kind::Message => {
                if head.seq <= self.open.last().map_or(self.log.index.last_seq, |last| last.head.seq) {
                    return Err(
                        "this message has a sequence that was used before it; it is not served".into()
                    );
                }
                let subject = bytes.get(body..body + head.subject).unwrap_or_default().to_vec();
                let expires = record::expires(bytes, head);
                self.open.push(Pending { head: *head, subject, expires, offset, erased: false });
                if head.flags & OPEN == 0 {
                    self.close_batch();
                }
            }
            Kind::Removal if head.flags & ERASE != 0 => self.erase(head.seq, bytes),
            Kind::Removal => {
                let list = bytes.get(body..bytes.len() - file.cipher.tag()).unwrap_or_default();
                let ranges = ranges::decode(list).ok_or("this list of removed messages is malformed")?;
                self.remove(&ranges);
            }
            Kind::Floor => self.remove(&[(0, head.seq)]),
            Kind::Skip => self.log.index.skip_to(head.seq),
            _ => {}
        }
        Ok(())
    }

    /// A message was deleted and was to be overwritten: if it still stands there, it is overwritten now.
    pub(super) fn erase(&mut self, seq: u64, record: &[u8]) {
        let Some(target) = Target::decode(record.get(record::HEADER..).unwrap_or_default()) else { return };
        let file = self
            .log
            .index
            .segments
            .iter()
            .filter_map(|segment| segment.data.file())
            .find(|file| target.is_in(&file.header));
        if file.is_none() {
            // A compaction copied the message before it was deleted: it is overwritten where it stands now.
            self.log.erasures.extend(self.log.index.find(seq).and_then(|place| self.log.erasure(place)));
        }
        if let Some(file) = file.cloned() {
            let erasure = Erasure { file, offset: target.offset, length: target.length, seq };
            if self.log.index.find(seq).is_some() {
                self.log.erasures.push(erasure);
            } else {
                self.erased.push((seq, erasure));
            }
        }
        self.remove(&[(seq, seq + 1)]);
        // Where it was, there may be nothing left that says so.
        self.log.index.skip_to(seq);
    }

    pub(super) fn close_batch(&mut self) {
        for message in std::mem::take(&mut self.open) {
            if message.erased {
                self.log.index.add_dead(&message.head, message.offset as u32);
                continue;
            }
            self.log.index.add(&message.head, &message.subject, message.expires, message.offset as u32);
        }
    }

    pub(super) fn remove(&mut self, ranges: &[(u64, u64)]) {
        let mut removals = Removals::default();
        for (from, to) in ranges {
            let mut next = *from;
            while let Some(place) = self.log.index.next_live(next) {
                let seq = self.log.index.seq_at(place);
                if seq >= *to {
                    break;
                }
                self.log.index.kill(place, &mut removals);
                next = seq + 1;
            }
        }
    }
}
