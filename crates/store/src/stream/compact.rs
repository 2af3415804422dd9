//! Compaction: segments in which much is dead are written again without it, neighbours together; so are those that are
//! sealed with a key that is no longer the current one.
//!
//! What is committed as alive when a round is taken is copied, by a thread of its own, into a file that gets its name
//! when it is complete and synced; then it takes the place of the old ones in the index, and they go. Records of
//! removals are not copied but made anew: of everything dead in the segments before, which may still be there. After a
//! crash in between, the generation and the `through` of the new file say which old files it replaces.
//!
//! Three rules keep that sound. A compacted file is never appended to. A number that it stands for is not used again.
//! Files go in one order, see [`Stream::discard_in_order`]: none while one that must go before it is there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Home, Log, Stream};
use crate::crypt::{FileCipher, Keys, Sealing};
use crate::data::{Data, FileData};
use crate::index::{Added, Segment, SegmentIndex, SubjectId};
use crate::options::Sync;
use crate::ranges;
use crate::record::{self, Draft, Head, Kind, Message, encode, verify};
use crate::segment::{Header, SegmentFile};

/// Percent of a segment in memory that may be dead.
const MEMORY_PERCENT: u8 = 50;
/// Bytes written at once.
const CHUNK: usize = 256 * 1024;

/// What a compaction copies.
pub(super) struct Plan {
    /// The segments it replaces.
    files: Vec<Arc<SegmentFile>>,
    /// (segment in `files`, sequence, offset, length) of what was alive.
    alive: Vec<(usize, u64, u64, u32)>,
    /// Dead messages of the segments before.
    dead_before: Vec<u64>,
    base: u64,
    /// Every message below is gone.
    floor: u64,
    /// Erasures asked for so far: another one makes the plan stale.
    erasures: u64,
}

/// Why nothing came of a compaction.
enum Failed {
    /// A message can't be read: its segment stays as it is, and whoever reads the message is told.
    Damaged(u64),
    /// The disk, or encryption: it is tried again when more has died.
    Disk,
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Disk
    }
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
    /// A compaction that is due. What is dead now is written by the round this is called for, or was before.
    pub(super) fn plan_compaction(&mut self, percent: u8, keys: Option<&Keys>) -> Option<Plan> {
        if percent == 0 || !self.is_time_to_look() || !self.erasures.is_empty() {
            return None;
        }
        self.looked();
        let goes = self.front_goes();
        let (first, last) = self.sparse_run(percent, keys, goes)?;
        let dead = self.index.segments.iter().take(first).flat_map(|segment| {
            let index = &segment.index;
            (0..index.len()).filter(|at| index.is_dead(*at)).map(|at| index.seq(at))
        });
        let mut plan = Plan {
            files: Vec::new(),
            alive: Vec::new(),
            dead_before: dead.collect(),
            base: self.index.segments.get(first)?.base,
            floor: self.index.segments.front()?.base,
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
        if !self.is_time_to_look() {
            return;
        }
        while let Some((first, last)) = self.sparse_run(MEMORY_PERCENT, None, false) {
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
        self.looked();
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
    /// Does a compaction, and those that are due after it. When one can't be done, everything is as before.
    pub(super) fn compact(&self, plan: Plan) {
        let Some(home) = &self.0.home else { return };
        let mut next = Some(plan);
        while let Some(plan) = next {
            if !self.compact_once(home, &plan) || self.0.closing.load(Ordering::Relaxed) {
                return;
            }
            let mut log = self.0.log.write();
            log.look_soon();
            // What is dead must be durable as dead; otherwise the next commit sees to the rest.
            let settled = log.committed.position == log.position && log.options.sync == Sync::Commit;
            next = if settled && log.stopped.is_none() {
                log.plan_compaction(self.0.store.compact_percent, home.keys.as_ref())
            } else {
                None
            };
        }
    }

    /// Does one compaction; whether it was done.
    fn compact_once(&self, home: &Home, plan: &Plan) -> bool {
        if !self.discard_in_order([].into_iter()) {
            // One of those that are to go may have the name of the new one.
            return false;
        }
        let (file, copied, end) = match self.write_compacted(home, plan) {
            Ok(Some(written)) => written,
            Ok(None) => return false,
            Err(why) => {
                if let Failed::Damaged(number) = why {
                    let mut log = self.0.log.write();
                    log.unreadable.insert(number);
                    log.look_soon();
                }
                // It may have its name already, and must not be taken for good at a later start.
                let names = plan.header().map(|header| [new_name(&header), header.name()]);
                self.discard_in_order(names.into_iter().flatten().map(|name| home.dir.join(name)));
                return false;
            }
        };
        if !self.swap(plan, &file, &copied, end) {
            self.discard_in_order([file.path.clone()].into_iter());
            return false;
        }
        self.discard_in_order(plan.files.iter().map(|old| old.path.clone()));
        true
    }

    /// Writes the new file; `None` when there is nothing to do.
    fn write_compacted(&self, home: &Home, plan: &Plan) -> Result<Option<Compacted>, Failed> {
        let failed = || Failed::Disk;
        let Some(header) = plan.header() else { return Ok(None) };
        let sealing = Sealing::fresh(home.keys.as_ref()).ok_or_else(failed)?;
        let cipher = FileCipher::new(&sealing, home.keys.as_ref()).ok_or_else(failed)?;
        let header = Header { sealing, ..header };
        let seed = header.seed();
        let new = home.dir.join(new_name(&header));
        let open = home.disk.create(&new)?;
        let (mut out, mut written) = (header.encode().to_vec(), 0);
        let mut copied = Vec::with_capacity(plan.alive.len());
        for (at, seq, offset, length) in &plan.alive {
            let old = plan.files.get(*at).ok_or_else(failed)?;
            let message = read_message(old, *offset, *length);
            let message = message.ok_or(Failed::Damaged(old.header.number))?;
            let start = out.len();
            let offset = written + start as u64;
            if !encode(&copy_of(&message, *seq), &cipher, seed, offset, &mut out) {
                return Err(failed());
            }
            let head = out.get(start..).and_then(|record| Head::read(record, cipher.tag()));
            copied.push(Copied { seq: *seq, offset, head: head.ok_or_else(failed)? });
            if out.len() >= CHUNK {
                open.write_at(&out, written)?;
                written += out.len() as u64;
                out.clear();
                if self.0.closing.load(Ordering::Relaxed) {
                    return Err(Failed::Disk);
                }
            }
        }
        if !plan.dead_before.is_empty() {
            let list = ranges::encode(&mut plan.dead_before.clone());
            let removal = Draft::control(Kind::Removal, 0, plan.base, &list);
            let offset = written + out.len() as u64;
            if !encode(&removal, &cipher, seed, offset, &mut out) {
                return Err(failed());
            }
        }
        open.write_at(&out, written)?;
        open.sync()?;
        let path = home.dir.join(header.name());
        home.disk.rename(&new, &path)?;
        home.disk.sync_dir(&home.dir)?;
        let file = SegmentFile::existing(path, header, cipher, open);
        Ok(Some((Arc::new(file), copied, written + out.len() as u64)))
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
        let data = Data::File(FileData::existing(Arc::clone(file), end));
        let segment =
            Segment { id: file.header.number, base: plan.base, index, tag: file.cipher.tag(), data };
        log.index.segments.drain(at..at + plan.files.len());
        log.index.segments.insert(at, segment);
        // The last snapshot knows the old files.
        log.since_snapshot = log.since_snapshot.max(self.0.store.snapshot_every);
        true
    }
}

impl Plan {
    /// The header of the new file, but for how it is sealed.
    fn header(&self) -> Option<Header> {
        let (first, last) = (self.files.first()?, self.files.last()?);
        Some(Header {
            generation: first.header.generation + 1,
            through: last.header.through,
            base: self.base,
            floor: self.floor,
            ..first.header
        })
    }
}

/// What a compacted file is called until it is complete.
fn new_name(header: &Header) -> String {
    format!("{}.new", header.name())
}

fn copy_of(message: &Message, seq: u64) -> Draft<'_> {
    Draft {
        kind: Kind::Message,
        flags: 0,
        seq,
        time: message.time,
        expires: message.expires,
        subject: message.subject(),
        headers: message.headers(),
        payload: message.payload(),
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
