//! What damage means, and where the damaged bytes are kept.

use std::io;
use std::sync::Arc;

use super::{QUARANTINE, Recovery, io_error};
use crate::data::Data;
use crate::disk::{DiskFile, read_all};
use crate::error::StoreError;
use crate::index::Segment;
use crate::options::Sync;
use crate::problem::Severity;
use crate::record::{self, ERASE, Head, Kind, SYNCED};
use crate::scan::{Records, Step};
use crate::segment::{Header, SEGMENT_HEADER, SegmentFile};
use crate::stream::{Erasure, Target};

/// Bytes written again at once.
const AGAIN: usize = 256 * 1024;

/// A damaged range, and the last sequence before it.
#[derive(Clone, Copy)]
pub(super) struct Damage {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Without the zeros at its end.
    pub(super) written: u64,
    pub(super) after: u64,
}

/// What stands behind a damaged range.
#[derive(Default)]
pub(super) struct Rest {
    /// Where the last record stands that was written after a sync; 0 if there is none.
    pub(super) synced: u64,
    /// The highest sequence of a message.
    pub(super) last_seq: u64,
    /// Where messages stand that were overwritten, which is not done before their deletion is committed.
    erased: Vec<(u64, u64)>,
}

impl Rest {
    /// Whether the damaged range is what an overwriting left that was cut short.
    pub(super) fn was_erased(&self, from: u64, to: u64) -> bool {
        self.erased.iter().any(|(begin, end)| *begin <= from && to <= *end)
    }
}

/// Damage that is reported unless it turns out to be an erasure that was cut short.
pub(super) struct Finding {
    pub(super) file: Arc<SegmentFile>,
    pub(super) damage: Damage,
    pub(super) torn: bool,
}

impl Recovery<'_> {
    /// Notes the damage, and decides where the segment ends.
    pub(super) fn settle(
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
        // A compacted file is complete: nothing is ever written behind it.
        self.log.roll = torn_tail.is_some()
            || !self.open.is_empty()
            || file.header.generation > 0
            || !file.header.sealing.is_current(None);
    }

    /// Reports the damage that was found, and keeps it aside.
    pub(super) fn tell_findings(&mut self) {
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
            let what = format!("{} bytes: {what}{kept}", damage.written - damage.from);
            self.report(severity, &file.path, Some(damage.from), seqs, what);
        }
    }

    /// Looks at what stands behind a damaged range, without taking it up.
    pub(super) fn look_ahead(&self, file: &SegmentFile, from: u64, end: u64) -> io::Result<Rest> {
        let mut rest = Rest::default();
        let Some(open) = file.file() else { return Ok(rest) };
        let mut records = Records::new(&**open, file.cipher.tag(), file.seed, from, end);
        loop {
            let (offset, head, bytes) = match records.next()? {
                Step::End => return Ok(rest),
                Step::Damage { .. } => continue,
                Step::Record { offset, head, bytes } => (offset, head, bytes),
            };
            if head.flags & SYNCED != 0 {
                rest.synced = offset;
            }
            if head.kind == Kind::Message as u8 || head.kind == Kind::Erased as u8 {
                rest.last_seq = rest.last_seq.max(head.seq);
            }
            let is_erasure = head.kind == Kind::Removal as u8 && head.flags & ERASE != 0;
            if is_erasure && record::decrypt(bytes, &file.cipher, offset) {
                let target = Target::decode(bytes.get(record::HEADER..).unwrap_or_default());
                let here = target.filter(|target| target.is_in(&file.header));
                rest.erased.extend(here.map(|at| (at.offset, at.offset + u64::from(at.length))));
            }
        }
    }

    /// A file whose header can't be read was being created when the machine stopped, unless something was written to
    /// it after a sync. Then it gets the header it was to have.
    pub(super) fn settle_bad_header(
        &mut self,
        file: &SegmentFile,
        end: u64,
        is_last: bool,
    ) -> Result<(), StoreError> {
        if !self.bad_headers.contains(&file.path) {
            return Ok(());
        }
        let begin = SEGMENT_HEADER as u64;
        let Some(open) = file.file() else { return Ok(()) };
        let synced = last_synced(&**open, file.seed, begin, end).map_err(io_error(&file.path))?;
        let torn = is_last && synced <= begin;
        let mut what = "its header is damaged; what is intact behind it is served".to_owned();
        if torn {
            what.push_str(&self.keep_aside(file, &Damage { from: 0, to: begin, written: begin, after: 0 }));
            let mut segments = self.log.index.segments.iter().rev();
            let base = segments.next().map_or(0, |own| own.base);
            let (previous, previous_end) = segments.next().map_or((0, 0), |s| (s.id, s.data.end()));
            let header = Header { base, previous, previous_end, ..file.header };
            let written = open.write_at(&header.encode(), 0).and_then(|()| open.sync());
            written.map_err(io_error(&file.path))?;
        }
        let severity = if torn { Severity::Notice } else { Severity::Damage };
        self.report(severity, &file.path, Some(0), None, what);
        Ok(())
    }

    /// Writes the end of the log again that may be in the operating system's memory alone, and syncs it: a sync that
    /// failed before the process ended counts its pages as clean, so that another one would do nothing.
    pub(super) fn make_durable(&self, file: &SegmentFile, from: u64, to: u64) {
        if from >= to || self.ends.is_some() || self.log.options.sync != Sync::Commit {
            return;
        }
        let again = || -> io::Result<()> {
            let open = file.file().ok_or(io::ErrorKind::NotFound)?;
            let mut bytes = vec![0; AGAIN];
            let mut at = from;
            while at < to {
                let part = bytes.get_mut(..usize::try_from(to - at).unwrap_or(AGAIN).min(AGAIN));
                let part = part.unwrap_or_default();
                let read = open.read_at(part, at)?;
                open.write_at(part.get(..read).unwrap_or_default(), at)?;
                at += read.max(1) as u64;
            }
            open.sync()?;
            self.home.disk.sync_dir(&self.home.dir)
        };
        if let Err(error) = again() {
            let what = format!(
                "the last {} bytes could not be written again ({error}): they are served, but a power cut may take them",
                to - from
            );
            self.report(Severity::Damage, &file.path, Some(from), None, what);
        }
    }

    /// Reports segments that should be there and are not.
    pub(super) fn missing_before(&self, file: &SegmentFile) {
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

    /// A record that is complete but not intact at the end may have been committed and damaged since: its sequence is
    /// not used again.
    pub(super) fn skip_torn(&mut self, file: &SegmentFile, tail: &Damage) {
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
    pub(super) fn keep_aside(&self, file: &SegmentFile, damage: &Damage) -> String {
        let dir = self.home.dir.join(QUARANTINE);
        let name = format!("{}.{}", file.header.name(), damage.from);
        let path = dir.join(&name);
        let disk = &self.home.disk;
        let copy = || -> io::Result<()> {
            let open = file.file().ok_or(io::ErrorKind::NotFound)?;
            let mut bytes = vec![0; usize::try_from(damage.written - damage.from).map_err(io::Error::other)?];
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
}

/// Where the last record behind an offset stands that was written after a sync; 0 if there is none.
pub(super) fn last_synced(file: &dyn DiskFile, seed: u32, from: u64, end: u64) -> io::Result<u64> {
    // The lengths of parts are of no interest here, so neither is the length of tags.
    let mut records = Records::new(file, 0, seed, from, end);
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
