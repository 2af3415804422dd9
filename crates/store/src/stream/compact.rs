//! Compaction: segments in which little is alive are written again without what is dead, neighbours together.
//!
//! What is committed as alive when a round is taken is copied, by a thread of its own, into a file that gets its name
//! when it is complete and synced; then it takes the place of the old ones in the index, and they go. Records of
//! removals are not copied but made anew: of everything dead in the segments before, which may still be there. After a
//! crash in between, the generation and the `through` of the new file say which old files it replaces.

use std::io;
use std::sync::Arc;

use super::{Home, Log, Stream};
use crate::crypt::{FileCipher, Sealing};
use crate::data::{Data, FileData};
use crate::index::{Added, Segment, SegmentIndex, SubjectId};
use crate::ranges;
use crate::record::{self, Draft, Head, Kind, Message, encode, verify};
use crate::segment::{Header, SEGMENT_HEADER, SegmentFile};

/// Messages that must have died before it is looked for sparse segments again.
const LOOK_AFTER: u64 = 1024;

/// What a compaction copies.
pub(super) struct Plan {
    /// The segments it replaces.
    files: Vec<Arc<SegmentFile>>,
    /// (segment in `files`, sequence, offset, length) of what was alive.
    alive: Vec<(usize, u64, u64, u32)>,
    /// Dead messages of the segments before.
    dead_before: Vec<u64>,
    base: u64,
    /// Erasures asked for so far: another one makes the plan stale.
    erasures: u64,
}

/// The new file, what was copied into it, and its length.
type Compacted = (Arc<SegmentFile>, Vec<Copied>, u64);

/// A copied message: sequence, where it stands now, and its head.
struct Copied {
    seq: u64,
    offset: u64,
    head: Head,
}

impl Log {
    /// The neighbouring segments that are worth compacting: first and last.
    fn sparse_run(&self, limit: u64) -> Option<(usize, usize)> {
        let segments = &self.index.segments;
        let closed = segments.len().saturating_sub(1);
        let settled = |at: usize| match segments.get(at).map(|segment| &segment.data) {
            Some(Data::File(data)) => data.pending.is_empty() && data.flying.is_none(),
            other => other.is_some(),
        };
        let live = |at: usize| segments.get(at).map_or(0, |segment| segment.index.live_bytes);
        let end = |at: usize| segments.get(at).map_or(0, |segment| segment.data.end());
        let sparse = |at: usize| settled(at) && live(at) * 2 < end(at).saturating_sub(SEGMENT_HEADER as u64);
        let small = |at: usize| settled(at) && end(at) * 4 < limit;
        for first in 0..closed {
            if !sparse(first) && !small(first) {
                continue;
            }
            let (mut last, mut total) = (first, live(first));
            while last + 1 < closed
                && (sparse(last + 1) || small(last + 1))
                && total + live(last + 1) <= limit / 2
                && last - first < 64
            {
                last += 1;
                total += live(last);
            }
            if last > first || sparse(first) {
                return Some((first, last));
            }
        }
        None
    }

    /// A compaction that is due. What is dead now is written by the round this is called for, or was before.
    pub(super) fn plan_compaction(&mut self) -> Option<Plan> {
        if self.index.killed < LOOK_AFTER.min(self.options.segment_bytes / 256) || !self.erasures.is_empty() {
            return None;
        }
        let Some((first, last)) = self.sparse_run(self.options.segment_bytes) else {
            self.index.killed = 0;
            return None;
        };
        let dead = self.index.segments.iter().take(first).flat_map(|segment| {
            let index = &segment.index;
            (0..index.len()).filter(|at| index.is_dead(*at)).map(|at| index.seq(at))
        });
        let mut plan = Plan {
            files: Vec::new(),
            alive: Vec::new(),
            dead_before: dead.collect(),
            base: self.index.segments.get(first)?.base,
            erasures: self.erasures_asked,
        };
        for segment in self.index.segments.iter().skip(first).take(last - first + 1) {
            let (at, index) = (plan.files.len(), &segment.index);
            plan.files.push(Arc::clone(segment.data.file()?));
            let live = (0..index.len()).filter(|position| !index.is_dead(*position));
            plan.alive.extend(
                live.map(|at_| (at, index.seq(at_), u64::from(index.offset(at_)), index.length(at_))),
            );
        }
        Some(plan)
    }

    /// Compacts a stream in memory.
    pub(super) fn compact_memory(&mut self) {
        if self.index.killed < LOOK_AFTER {
            return;
        }
        while let Some((first, last)) = self.sparse_run(self.options.segment_bytes) {
            let (mut bytes, mut index) = (Vec::new(), SegmentIndex::default());
            let mut run: Vec<Segment<Data>> = self.index.segments.drain(first..=last).collect();
            for segment in &run {
                let old = &segment.index;
                let mut at = old.next_live(0);
                while let Some(position) = at {
                    let (offset, length) = (old.offset(position), old.length(position));
                    let record = segment.data.stored(u64::from(offset), length);
                    if let Some(head) = record.and_then(|record| Head::read(record, 0)) {
                        index.push(moved(old, position, bytes.len() as u32, &head));
                        bytes.extend_from_slice(record.unwrap_or_default());
                    }
                    at = old.next_live(position + 1);
                }
            }
            if let (Some(mut segment), true) = (run.drain(..).next(), index.len() > 0) {
                index.seal();
                segment.index = index;
                segment.data = Data::Ram(bytes);
                segment.data.seal();
                self.index.segments.insert(first, segment);
            }
        }
        self.index.killed = 0;
    }
}

/// A message at its new place.
fn moved(old: &SegmentIndex, position: usize, offset: u32, head: &Head) -> Added {
    Added {
        seq: head.seq,
        subject: old.subject(position),
        offset,
        length: head.length as u32,
        time: head.time,
        headers: head.headers > 0,
        expires: head.flags & record::EXPIRES != 0,
    }
}

impl Stream {
    /// Does a compaction. When it can't be done, everything is as before.
    pub(super) fn compact(&self, plan: &Plan) {
        let Some(home) = &self.0.home else { return };
        let Ok(Some((file, copied, end))) = self.write_compacted(home, plan) else { return };
        if !self.swap(plan, &file, &copied, end) {
            let _stays = home.disk.remove_file(&file.path);
            return;
        }
        for old in &plan.files {
            let _stays = home.disk.remove_file(&old.path);
        }
    }

    /// Writes the new file; `None` when there is nothing sensible to write.
    fn write_compacted(&self, home: &Home, plan: &Plan) -> io::Result<Option<Compacted>> {
        let failed = || io::Error::other("encryption failed");
        let (Some(first), Some(last)) = (plan.files.first(), plan.files.last()) else { return Ok(None) };
        let sealing = Sealing::fresh(home.keys.as_ref()).ok_or_else(failed)?;
        let cipher = FileCipher::new(&sealing, home.keys.as_ref()).ok_or_else(failed)?;
        let header = Header {
            generation: first.header.generation + 1,
            through: last.header.through,
            base: plan.base,
            sealing,
            ..first.header
        };
        let seed = header.seed();
        let mut out = header.encode().to_vec();
        let mut copied = Vec::with_capacity(plan.alive.len());
        for (at, seq, offset, length) in &plan.alive {
            let Some(message) = plan.files.get(*at).and_then(|file| read_message(file, *offset, *length))
            else {
                // Damaged: the segment stays as it is. Whoever reads the message is told.
                return Ok(None);
            };
            let draft = Draft {
                kind: Kind::Message,
                flags: 0,
                seq: *seq,
                time: message.time,
                expires: message.expires,
                subject: message.subject(),
                headers: message.headers(),
                payload: message.payload(),
            };
            let offset = out.len() as u64;
            if !encode(&draft, &cipher, seed, offset, &mut out) {
                return Err(failed());
            }
            let head = out.get(offset as usize..).and_then(|record| Head::read(record, cipher.tag()));
            copied.push(Copied { seq: *seq, offset, head: head.ok_or_else(failed)? });
        }
        if !plan.dead_before.is_empty() {
            let list = ranges::encode(&mut plan.dead_before.clone());
            let removal = Draft::control(Kind::Removal, 0, plan.base, &list);
            let offset = out.len() as u64;
            if !encode(&removal, &cipher, seed, offset, &mut out) {
                return Err(failed());
            }
        }
        let path = home.dir.join(header.name());
        let new = home.dir.join(format!("{}.new", header.name()));
        let open = home.disk.create(&new)?;
        open.write_at(&out, 0)?;
        open.sync()?;
        home.disk.rename(&new, &path)?;
        home.disk.sync_dir(&home.dir)?;
        let file = SegmentFile::existing(path, header, cipher, open);
        Ok(Some((Arc::new(file), copied, out.len() as u64)))
    }

    /// Puts the new file in the place of the old ones; false when they are not what they were.
    fn swap(&self, plan: &Plan, file: &Arc<SegmentFile>, copied: &[Copied], end: u64) -> bool {
        let mut log = self.0.log.write();
        let is_first = |segment: &Segment<Data>| {
            segment.data.file().zip(plan.files.first()).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
        };
        let Some(at) = log.index.segments.iter().position(is_first) else { return false };
        let now = log.index.segments.iter().skip(at).take(plan.files.len());
        let same = now.filter_map(|segment| segment.data.file()).zip(&plan.files);
        let all_same = same.filter(|(a, b)| Arc::ptr_eq(a, b)).count() == plan.files.len();
        if !all_same || log.erasures_asked != plan.erasures || log.stopped.is_some() {
            return false;
        }
        let mut index = SegmentIndex::default();
        for message in copied {
            let place = log.index.find(message.seq);
            let subject = place.map_or(SubjectId::MAX, |place| log.index.subject_at(place));
            index.push(Added {
                seq: message.seq,
                subject,
                offset: message.offset as u32,
                length: message.head.length as u32,
                time: message.head.time,
                headers: message.head.headers > 0,
                expires: message.head.flags & record::EXPIRES != 0,
            });
            if place.is_none() {
                // It went meanwhile.
                index.kill(index.len() - 1);
            }
        }
        index.seal();
        let data =
            Data::File(FileData { file: Arc::clone(file), written: end, flying: None, pending: Vec::new() });
        let segment =
            Segment { id: file.header.number, base: plan.base, index, tag: file.cipher.tag(), data };
        log.index.segments.drain(at..at + plan.files.len());
        log.index.segments.insert(at, segment);
        // The last snapshot knows the old files.
        log.since_snapshot = log.since_snapshot.max(self.0.store.snapshot_every);
        true
    }
}

/// An intact message of a segment.
fn read_message(file: &SegmentFile, offset: u64, length: u32) -> Option<Message> {
    let mut record = bytes::BytesMut::zeroed(length as usize);
    let read = file.file()?.read_at(&mut record, offset).ok()?;
    let intact = read == record.len() && verify(&record, file.seed);
    let readable = intact && record::decrypt(&mut record, &file.cipher, offset);
    if readable { Message::from_record(&record.freeze(), file.cipher.tag()) } else { None }
}
