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

mod damage;
mod files;
mod records;
mod states;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::{Data, FileData};
use crate::error::StoreError;
use crate::index::{Segment, SegmentIndex};
use crate::options::StreamOptions;
use crate::problem::{Problem, Severity};
use crate::record::Head;
use crate::segment::{Content, Header, SEGMENT_HEADER, SegmentFile};
use crate::snapshot::{self, Snapshot};
use crate::stream::{Erasure, Home, Log};
use damage::Finding;

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
    /// What the snapshot covers: segments up to this one, and this much of it.
    known: Option<(u64, u64)>,
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
    /// It was deleted and overwritten.
    erased: bool,
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
            known: None,
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
        self.load_snapshot(&files);
        for (at, file) in
            files.iter().enumerate().filter(|(_, file)| file.header.content == Content::Messages)
        {
            if self.known.is_some_and(|(number, _)| file.header.number < number) {
                continue;
            }
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

    /// Begins with the snapshot of the index, if there is one that fits.
    fn load_snapshot(&mut self, files: &[Arc<SegmentFile>]) {
        if self.ends.is_some() || !self.bad_headers.is_empty() {
            return;
        }
        let messages: Vec<_> =
            files.iter().filter(|file| file.header.content == Content::Messages).cloned().collect();
        let Some(Snapshot { index, number, end }) = snapshot::load(self.home, self.log.options, &messages)
        else {
            return;
        };
        self.log.index = index;
        self.known = Some((number, end));
    }

    /// Reads a segment of messages.
    fn segment(
        &mut self,
        file: &Arc<SegmentFile>,
        next: Option<Header>,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let Some(open) = file.file() else { return Ok(()) };
        // A batch is in one file: without its end there, it was never committed.
        self.open.clear();
        let length = open.len().map_err(io_error(&file.path))?;
        // A compacted file is complete when it has its name, and shorter than the one it replaced.
        let is_original = file.header.generation == 0;
        let next = next.filter(|header| header.previous == file.header.number);
        let told = next.map(|header| header.previous_end).filter(|end| *end > 0 && is_original);
        let known = self.ends.and_then(|ends| ends.get(&file.path)).copied().or(told);
        if let Some(known) = known.filter(|known| *known > length) {
            let what = format!("{} bytes are missing at its end", known - length);
            let seqs = next.map(|next| (self.log.index.last_seq + 1, next.base.saturating_sub(1)));
            let seqs = seqs.filter(|(first, last)| first <= last);
            self.report(Severity::Damage, &file.path, Some(length), seqs, what);
        }
        let end = known.unwrap_or(length).min(length);
        let known_to = self.known.filter(|(number, _)| *number == file.header.number).map(|(_, end)| end);
        if let Some(from) = known_to {
            if let Some(Segment { data: Data::File(data), .. }) = self.log.index.segments.back_mut() {
                data.written = end;
            }
            return self.records(file, from, end, is_last);
        }
        self.missing_before(file);
        if file.header.generation > 0 {
            // Files before it that should have gone, and whose removals it does not list.
            self.remove(&[(0, file.header.floor)]);
        }
        let base = file.header.base.max(self.log.index.last_seq + 1);
        self.log.index.skip_to(file.header.base.saturating_sub(1));
        let data = Data::File(FileData::existing(Arc::clone(file), end));
        let (id, tag) = (file.header.number, file.cipher.tag());
        self.log.index.segments.push_back(Segment { id, base, index: SegmentIndex::default(), tag, data });
        self.log.next_number = self.log.next_number.max(file.header.through + 1);
        self.records(file, SEGMENT_HEADER as u64, end, is_last)?;
        self.settle_bad_header(file, end, is_last)?;
        if !is_last && let Some(segment) = self.log.index.segments.back_mut() {
            segment.index.seal();
        }
        Ok(())
    }
}
