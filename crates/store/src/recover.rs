//! Reading a stream back from its files: every record that is intact, and what is wrong with the others.
//!
//! Nothing is deleted here but what is known to be replaced. What can't be read is told apart:
//!
//! - Damage with an intact record behind it that was written after a sync, or in a segment that another follows, hit
//!   what had been committed. The damaged bytes are copied to `quarantine/`, the records around them serve.
//! - Damage without such a record behind it may be the torn end of what was being written when the machine stopped,
//!   and never was committed; it is kept aside and told all the same, as a notice. Appends go on in a new segment whose
//!   header says where the old one ends.
//! - An atomic batch without its end was never committed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::crypt::FileCipher;
use crate::data::{Data, FileData};
use crate::disk::read_all;
use crate::error::StoreError;
use crate::index::{Segment, SegmentIndex};
use crate::options::StreamOptions;
use crate::problem::{Problem, Severity};
use crate::ranges;
use crate::record::{self, ERASE, Head, JOINED, Kind, OPEN, SYNCED, body_at, decrypt};
use crate::removal::Removals;
use crate::scan::{Records, Step};
use crate::segment::{Content, Header, SEGMENT_HEADER, SegmentFile, parse_name};
use crate::stream::{Erasure, Home, Log, Target};

/// Where the directory of a stream keeps what could not be read.
pub(crate) const QUARANTINE: &str = "quarantine";
/// The name of a stream's manifest.
pub(crate) const MANIFEST: &str = "stream.manifest";

/// How far files count, when that is known better than from the files: after a write failed.
pub(crate) type Ends = BTreeMap<PathBuf, u64>;

/// Reading one stream.
pub(crate) struct Recovery<'a> {
    home: &'a Home,
    name: &'a str,
    ends: Option<&'a Ends>,
    pub(crate) log: Log,
    /// Messages of an atomic batch whose end has not come yet.
    open: Vec<Pending>,
    findings: Vec<Finding>,
    /// Files whose headers are damaged.
    bad_headers: Vec<PathBuf>,
    /// Where messages stand that were to be overwritten: number and generation of the segment, offset, length.
    erased: Vec<(u64, Erasure)>,
}

/// A message that counts once its batch is complete.
struct Pending {
    head: Head,
    subject: Vec<u8>,
    expires: Option<u64>,
    offset: u64,
}

/// A damaged range, and the last sequence before it.
#[derive(Clone, Copy)]
struct Damage {
    from: u64,
    to: u64,
    after: u64,
}

/// Damage that is reported unless it turns out to be an erasure that was cut short.
struct Finding {
    file: Arc<SegmentFile>,
    damage: Damage,
    torn: bool,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |error| StoreError::Io { path, error }
}

impl<'a> Recovery<'a> {
    pub(crate) fn new(home: &'a Home, name: &'a str, options: StreamOptions, ends: Option<&'a Ends>) -> Self {
        Self {
            home,
            name,
            ends,
            log: Log::new(options),
            open: Vec::new(),
            findings: Vec::new(),
            bad_headers: Vec::new(),
            erased: Vec::new(),
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The directory or a file can't be read, is of a later version, or encrypted with a key that was not given.
    pub(crate) fn run(mut self) -> Result<Log, StoreError> {
        let files = self.files()?;
        let last = files.iter().rposition(|file| file.header.content == Content::Messages);
        for (at, file) in
            files.iter().enumerate().filter(|(_, file)| file.header.content == Content::Messages)
        {
            // What the file after this one says about where this one ends.
            let follower = files.get(at + 1).filter(|next| next.header.content == Content::Messages);
            self.segment(file, follower.map(|next| next.header), Some(at) == last)?;
        }
        self.open.clear();
        let states: Vec<_> =
            files.into_iter().filter(|file| file.header.content == Content::States).collect();
        self.states(&states)?;
        self.tell_findings();
        self.log.committed.seq = self.log.index.last_seq;
        Ok(self.log)
    }

    pub(crate) fn report(
        &self,
        severity: Severity,
        path: &Path,
        offset: Option<u64>,
        seqs: Option<(u64, u64)>,
        what: String,
    ) {
        self.home.problems.add(Problem {
            severity,
            stream: Some(self.name.to_owned()),
            path: path.into(),
            offset,
            sequences: seqs,
            what,
        });
    }

    /// The files that count, messages first, in order.
    fn files(&mut self) -> Result<Vec<Arc<SegmentFile>>, StoreError> {
        let dir = &self.home.dir;
        let mut names = Vec::new();
        for name in self.home.disk.list(dir).map_err(io_error(dir))? {
            match parse_name(&name) {
                Some((number, generation, content)) => names.push((content as u8, number, generation, name)),
                None if is_ours(&name) => {}
                None => self.report(
                    Severity::Notice,
                    &dir.join(&name),
                    None,
                    None,
                    "this file is not part of the stream; it is left alone".into(),
                ),
            }
        }
        names.sort_unstable();
        let mut files: Vec<Arc<SegmentFile>> = Vec::new();
        for (_, number, generation, name) in names {
            let path = dir.join(name);
            if self.ends.is_some_and(|ends| !ends.contains_key(&path)) {
                continue;
            }
            let Some(file) = self.open(&path, number, generation)? else { continue };
            self.drop_replaced(&mut files, &file);
            let replaced = files.last().is_some_and(|last| {
                last.header.content == file.header.content && last.header.through >= file.header.number
            });
            if replaced {
                let _stays = self.home.disk.remove_file(&file.path);
            } else {
                files.push(Arc::new(file));
            }
        }
        Ok(files)
    }

    /// A compaction wrote `file` in place of its earlier generation.
    fn drop_replaced(&self, files: &mut Vec<Arc<SegmentFile>>, file: &SegmentFile) {
        let same = |last: &Arc<SegmentFile>| {
            last.header.content == file.header.content && last.header.number == file.header.number
        };
        if files.last().is_some_and(same)
            && let Some(old) = files.pop()
        {
            let _stays = self.home.disk.remove_file(&old.path);
        }
    }

    /// Opens a file and believes its header, if it can.
    fn open(&mut self, path: &Path, number: u64, generation: u32) -> Result<Option<SegmentFile>, StoreError> {
        self.log.next_number = self.log.next_number.max(number + 1);
        let file = self.home.disk.open(path).map_err(io_error(path))?;
        let mut bytes = [0; SEGMENT_HEADER];
        let read = file.read_at(&mut bytes, 0).map_err(io_error(path))?;
        let header = match Header::decode(bytes.get(..read).unwrap_or_default(), path) {
            Ok(header) => header,
            Err(newer @ StoreError::Newer { .. }) => return Err(newer),
            Err(_) => {
                let guess = self.guess_header(path, number, generation);
                let empty = bytes.iter().all(|byte| *byte == 0) || read < SEGMENT_HEADER;
                if empty && file.len().map_err(io_error(path))? <= SEGMENT_HEADER as u64 {
                    // It was being created when the machine stopped: nothing in it was ever committed.
                    return Ok(None);
                }
                if self.home.keys.is_some() {
                    let what =
                        "its header is damaged, and without it nothing can be decrypted; it is left alone";
                    self.report(Severity::Damage, path, Some(0), None, what.into());
                    return Ok(None);
                }
                self.bad_headers.push(path.into());
                guess
            }
        };
        if header.stream != self.home.id || (header.number, header.generation) != (number, generation) {
            let what = "this file belongs to another stream; it is left alone".into();
            self.report(Severity::Notice, path, None, None, what);
            return Ok(None);
        }
        let no_key = || StoreError::NoKey { path: path.into() };
        let cipher = FileCipher::new(&header.sealing, self.home.keys.as_ref()).ok_or_else(no_key)?;
        Ok(Some(SegmentFile::existing(path.into(), header, cipher, file)))
    }

    /// What the header must have been, as far as the name tells.
    fn guess_header(&self, path: &Path, number: u64, generation: u32) -> Header {
        let is_states = path.extension().is_some_and(|extension| extension == "sta");
        Header {
            content: if is_states { Content::States } else { Content::Messages },
            generation,
            number,
            through: number,
            base: 0,
            floor: 0,
            previous: 0,
            previous_end: 0,
            stream: self.home.id,
            sealing: crate::crypt::Sealing::default(),
        }
    }

    /// Reads a segment of messages.
    fn segment(
        &mut self,
        file: &Arc<SegmentFile>,
        next: Option<Header>,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let Some(open) = file.file() else { return Ok(()) };
        let length = open.len().map_err(io_error(&file.path))?;
        let told = next.map(|header| header.previous_end).filter(|end| *end > 0);
        let known = self.ends.and_then(|ends| ends.get(&file.path)).copied().or(told);
        if let Some(known) = known.filter(|known| *known > length) {
            let what = format!("{} bytes are missing at its end", known - length);
            let seqs = next.map(|next| (self.log.index.last_seq + 1, next.base.saturating_sub(1)));
            let seqs = seqs.filter(|(first, last)| first <= last);
            self.report(Severity::Damage, &file.path, Some(length), seqs, what);
        }
        let end = known.unwrap_or(length).min(length);
        self.missing_before(file);
        let base = file.header.base.max(self.log.index.last_seq + 1);
        self.log.index.skip_to(file.header.base.saturating_sub(1));
        let data =
            Data::File(FileData { file: Arc::clone(file), written: end, flying: None, pending: Vec::new() });
        let (id, tag) = (file.header.number, file.cipher.tag());
        self.log.index.segments.push_back(Segment { id, base, index: SegmentIndex::default(), tag, data });
        self.log.next_number = self.log.next_number.max(file.header.through + 1);
        self.records(file, end, is_last)?;
        self.tell_bad_header(file, end, is_last)?;
        if !is_last && let Some(segment) = self.log.index.segments.back_mut() {
            segment.index.seal();
        }
        Ok(())
    }

    /// A file whose header can't be read was being created when the machine stopped, unless something was written to
    /// it after a sync.
    fn tell_bad_header(&self, file: &SegmentFile, end: u64, is_last: bool) -> Result<(), StoreError> {
        if !self.bad_headers.contains(&file.path) {
            return Ok(());
        }
        let begin = SEGMENT_HEADER as u64;
        let torn = is_last && last_synced(file, begin, end).map_err(io_error(&file.path))? <= begin;
        let severity = if torn { Severity::Notice } else { Severity::Damage };
        let what = "its header is damaged; what is intact behind it is served";
        self.report(severity, &file.path, Some(0), None, what.into());
        Ok(())
    }

    /// Reports segments that should be there and are not.
    fn missing_before(&self, file: &SegmentFile) {
        let before = self.log.index.segments.back().and_then(|segment| segment.data.file());
        let Some(before) = before.filter(|before| before.header.through < file.header.previous) else {
            return;
        };
        let what = format!(
            "segments {} to {} before it are missing",
            before.header.through + 1,
            file.header.previous
        );
        let seqs = (self.log.index.last_seq + 1, file.header.base.saturating_sub(1));
        self.report(Severity::Damage, &file.path, None, (seqs.0 <= seqs.1).then_some(seqs), what);
    }

    fn records(&mut self, file: &Arc<SegmentFile>, end: u64, is_last: bool) -> Result<(), StoreError> {
        let Some(open) = file.file() else { return Ok(()) };
        let mut records = Records::new(&**open, file.cipher.tag(), file.seed, SEGMENT_HEADER as u64, end);
        let mut damages: Vec<Damage> = Vec::new();
        let mut intact_to = SEGMENT_HEADER as u64;
        // What stands before this offset had been committed.
        let mut synced = if is_last { 0 } else { u64::MAX };
        loop {
            match records.next().map_err(io_error(&file.path))? {
                Step::End => break,
                Step::Damage { from, to } => {
                    if synced == 0 {
                        synced = last_synced(file, to, end).map_err(io_error(&file.path))?;
                    }
                    damages.push(Damage { from, to, after: self.log.index.last_seq });
                    self.end_broken_batch(from < synced);
                }
                Step::Record { offset, head, bytes } => {
                    intact_to = offset + head.length as u64;
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
        Ok(())
    }

    /// Part of an atomic batch is damaged. If the batch was committed, what is left of it is served; otherwise it never
    /// was, and none of it may come back.
    fn end_broken_batch(&mut self, committed: bool) {
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

    /// Notes the damage, and decides where the segment ends.
    fn settle(
        &mut self,
        file: &Arc<SegmentFile>,
        damages: &[Damage],
        synced: u64,
        intact_to: u64,
        end: u64,
        is_last: bool,
    ) {
        for damage in damages {
            let torn = is_last && damage.from >= synced;
            self.findings.push(Finding { file: Arc::clone(file), damage: *damage, torn });
        }
        if !is_last {
            return;
        }
        if let Some(Segment { data: Data::File(data), .. }) = self.log.index.segments.back_mut() {
            data.written = intact_to;
        }
        let torn_tail = damages.last().filter(|damage| damage.to == end);
        if let Some(tail) = torn_tail {
            self.skip_torn(file, tail);
        }
        self.log.roll = torn_tail.is_some() || !self.open.is_empty() || !file.header.sealing.is_current(None);
    }

    /// Reports the damage that was found, and keeps it aside.
    fn tell_findings(&mut self) {
        for Finding { file, damage, torn } in std::mem::take(&mut self.findings) {
            let is_erasure = |(_, erasure): &(u64, Erasure)| {
                Arc::ptr_eq(&erasure.file, &file)
                    && erasure.offset <= damage.from
                    && damage.to <= erasure.offset + u64::from(erasure.length)
            };
            if let Some(at) = self.erased.iter().position(is_erasure) {
                self.log.erasures.push(self.erased.swap_remove(at).1);
                continue;
            }
            let kept = self.keep_aside(&file, &damage);
            let next = self.log.index.next_seq_after(damage.after);
            let (severity, what) = if torn {
                (
                    Severity::Notice,
                    "the end of what was being written when the machine stopped; it was not committed",
                )
            } else {
                (Severity::Damage, "these bytes are damaged; the messages around them are served")
            };
            let seqs = (damage.after + 1, next.map_or(u64::MAX, |next| next - 1));
            let seqs = (!torn && seqs.0 <= seqs.1 && seqs.1 < u64::MAX).then_some(seqs);
            let what = format!("{} bytes: {what}{kept}", damage.to - damage.from);
            self.report(severity, &file.path, Some(damage.from), seqs, what);
        }
    }

    /// A record that is complete but not intact at the end may have been committed and damaged since: its sequence is
    /// not used again.
    fn skip_torn(&mut self, file: &SegmentFile, tail: &Damage) {
        let mut bytes = vec![0; record::HEADER];
        let read = file.file().map(|open| open.read_at(&mut bytes, tail.from));
        let Some(Ok(_)) = read else { return };
        let Some(head) = Head::read(&bytes, file.cipher.tag()) else { return };
        let last = self.log.index.last_seq;
        if head.kind == Kind::Message as u8
            && head.seq == last + 1
            && tail.from + head.length as u64 <= tail.to
        {
            self.log.index.skip_to(head.seq);
        }
    }

    /// Copies damaged bytes into the quarantine; says where they are.
    fn keep_aside(&self, file: &SegmentFile, damage: &Damage) -> String {
        let dir = self.home.dir.join(QUARANTINE);
        let name = format!("{}.{}", file.header.name(), damage.from);
        let path = dir.join(&name);
        let disk = &self.home.disk;
        let copy = || -> io::Result<()> {
            let open = file.file().ok_or(io::ErrorKind::NotFound)?;
            let mut bytes = vec![0; usize::try_from(damage.to - damage.from).map_err(io::Error::other)?];
            let read = open.read_at(&mut bytes, damage.from)?;
            bytes.truncate(read);
            disk.create_dir(&dir)?;
            if disk.open(&path).is_ok() && read_all(&**disk, &path)? == bytes {
                return Ok(());
            }
            crate::disk::replace(&**disk, &path, &bytes)
        };
        match copy() {
            Ok(()) => format!("; they are kept in {QUARANTINE}/{name}"),
            Err(error) => {
                format!("; they could not be copied to {QUARANTINE}/ ({error}) and stay where they are")
            }
        }
    }

    fn record(
        &mut self,
        file: &SegmentFile,
        offset: u64,
        head: &Head,
        bytes: &mut [u8],
    ) -> Result<(), String> {
        let Some(kind) = Kind::from_byte(head.kind) else { return Ok(()) };
        if kind == Kind::Erased {
            if head.flags & OPEN == 0 {
                self.close_batch();
                self.log.index.skip_to(head.seq);
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
                self.open.push(Pending { head: *head, subject, expires, offset });
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
    fn erase(&mut self, seq: u64, record: &[u8]) {
        let Some(target) = Target::decode(record.get(record::HEADER..).unwrap_or_default()) else { return };
        let file =
            self.log.index.segments.iter().filter_map(|segment| segment.data.file()).find(|file| {
                (file.header.number, file.header.generation) == (target.number, target.generation)
            });
        if let Some(file) = file.cloned() {
            let erasure = Erasure { file, offset: target.offset, length: target.length, seq };
            if self.log.index.find(seq).is_some() {
                self.log.erasures.push(erasure);
            } else {
                self.erased.push((seq, erasure));
            }
        }
        self.remove(&[(seq, seq + 1)]);
    }

    fn close_batch(&mut self) {
        for message in std::mem::take(&mut self.open) {
            self.log.index.add(&message.head, &message.subject, message.expires, message.offset as u32);
        }
    }

    fn remove(&mut self, ranges: &[(u64, u64)]) {
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

    /// Reads the saved states from the newest file that is complete.
    fn states(&mut self, files: &[Arc<SegmentFile>]) -> Result<(), StoreError> {
        for file in files.iter().rev() {
            self.log.states.number = self.log.states.number.max(file.header.number);
            if self.states_file(file)? {
                let older = files.iter().filter(|other| other.header.number < file.header.number);
                older.for_each(|old| drop(self.home.disk.remove_file(&old.path)));
                break;
            }
            self.log.states.by_name.clear();
        }
        Ok(())
    }

    /// Reads a file of states; whether it is complete.
    fn states_file(&mut self, file: &Arc<SegmentFile>) -> Result<bool, StoreError> {
        let Some(open) = file.file() else { return Ok(false) };
        let length = open.len().map_err(io_error(&file.path))?;
        let end = self.ends.and_then(|ends| ends.get(&file.path)).map_or(length, |end| length.min(*end));
        let mut records = Records::new(&**open, file.cipher.tag(), file.seed, SEGMENT_HEADER as u64, end);
        let (mut complete, mut intact_to, mut damage) = (false, SEGMENT_HEADER as u64, None);
        loop {
            match records.next().map_err(io_error(&file.path))? {
                Step::End => break,
                Step::Damage { from, to } => damage = Some((from, to)),
                Step::Record { offset, head, bytes } => {
                    intact_to = offset + head.length as u64;
                    complete |= head.flags & OPEN == 0;
                    if !decrypt(bytes, &file.cipher, offset) {
                        damage = Some((offset, intact_to));
                        continue;
                    }
                    apply_state(&mut self.log.states, &head, bytes, file.cipher.tag());
                }
            }
        }
        if !complete {
            return Ok(false);
        }
        let goes_on = damage.is_none() && intact_to <= end && file.header.sealing.is_current(None);
        if let Some((from, to)) = damage {
            let kept = self.keep_aside(file, &Damage { from, to, after: 0 });
            let severity = if to >= end { Severity::Notice } else { Severity::Damage };
            let what = format!("{} bytes of saved states can't be read{kept}", to - from);
            self.report(severity, &file.path, Some(from), None, what);
        }
        let data = FileData { file: Arc::clone(file), written: intact_to, flying: None, pending: Vec::new() };
        if goes_on {
            self.log.states.data = Some(data);
        } else {
            self.log.states.old.push((file.path.clone(), intact_to));
        }
        Ok(true)
    }
}

fn apply_state(states: &mut crate::stream::States, head: &Head, bytes: &[u8], tag: usize) {
    let Some(kind) = Kind::from_byte(head.kind) else { return };
    let name = bytes.get(record::HEADER..record::HEADER + head.subject).unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else { return };
    let content = bytes.get(record::HEADER + head.subject..bytes.len() - tag).unwrap_or_default();
    // An addition to a state whose snapshot was lost is of no use: the damage is reported.
    let _applied = states.apply(kind, name, Bytes::copy_from_slice(content));
}

/// Where the last record behind an offset stands that was written after a sync; 0 if there is none.
fn last_synced(file: &SegmentFile, from: u64, end: u64) -> io::Result<u64> {
    let Some(open) = file.file() else { return Ok(0) };
    let mut records = Records::new(&**open, file.cipher.tag(), file.seed, from, end);
    let mut synced = 0;
    loop {
        match records.next()? {
            Step::End => return Ok(synced),
            Step::Damage { .. } => {}
            Step::Record { offset, head, .. } if head.flags & SYNCED != 0 => synced = offset,
            Step::Record { .. } => {}
        }
    }
}

/// Whether this is a file of ours that holds no records.
fn is_ours(name: &str) -> bool {
    name == MANIFEST || name == QUARANTINE || name.ends_with(".idx") || name.ends_with(".new")
}
