//! Looking over a store that nobody has open, and mending it.
//!
//! A check reads every record of every file and changes nothing. A repair first copies each damaged segment to `quarantine/` as a whole, then
//! writes it again with what is intact.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, RealDisk, read_all, replace};
use crate::error::StoreError;
use crate::problem::{Problem, Severity};
use crate::recover::QUARANTINE;
use crate::scan::{Records, Step};
use crate::segment::{Header, SEGMENT_HEADER, parse_name};
use crate::snapshot::SNAPSHOT;
use crate::store::lock;

/// What was found in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Intact records.
    pub records: u64,
    /// Bytes that are no record.
    pub damaged_bytes: u64,
}

/// What was found in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every segment, in order.
    pub files: Vec<FileReport>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What a repair did, in words.
    pub mended: Vec<String>,
}

/// Reads a whole store and says what is wrong with it. Needs no key: checksums cover what is stored, encrypted or not.
///
/// # Errors
/// Another process has the store, or its directory can't be read.
pub fn check(dir: &Path) -> Result<Report, StoreError> {
    look_over(Arc::new(RealDisk), dir, false)
}

/// Like [`check`], and cuts what is damaged out of the segments, after copying each of them to `quarantine/` as it is.
///
/// # Errors
/// Another process has the store, or its directory can't be read or written.
pub fn repair(dir: &Path) -> Result<Report, StoreError> {
    look_over(Arc::new(RealDisk), dir, true)
}

/// [`check`], or with `mend` [`repair`], on a given disk.
///
/// # Errors
/// Another process has the store, or its directory can't be read or written.
pub fn look_over(disk: Arc<dyn Disk>, dir: &Path, mend: bool) -> Result<Report, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error| StoreError::Io { path, error }
    };
    let streams = dir.join("streams");
    // A directory that is no store is not made one by looking at it.
    let names = disk.list(&streams).map_err(failed(&streams))?;
    let _lock = lock(&*disk, dir)?;
    let mut report = Report::default();
    for name in names {
        let stream = streams.join(&name);
        if !disk.is_dir(&stream) {
            report.problems.push(problem(
                Severity::Notice,
                &stream,
                None,
                "this file is not part of the store",
            ));
            continue;
        }
        for file in disk.list(&stream).map_err(failed(&stream))? {
            if parse_name(&file).is_some() {
                let path = stream.join(&file);
                look_at(&*disk, &path, mend, &mut report).map_err(failed(&path))?;
            }
        }
    }
    Ok(report)
}

fn problem(severity: Severity, path: &Path, offset: Option<u64>, what: &str) -> Problem {
    Problem { severity, stream: None, path: path.into(), offset, sequences: None, what: what.into() }
}

fn look_at(disk: &dyn Disk, path: &Path, mend: bool, report: &mut Report) -> std::io::Result<()> {
    let file = disk.open(path)?;
    let length = file.len()?;
    let mut head = [0; SEGMENT_HEADER];
    let read = file.read_at(&mut head, 0)?;
    let header = match Header::decode(head.get(..read).unwrap_or_default(), path) {
        Ok(header) => header,
        Err(error) => {
            report.problems.push(problem(Severity::Damage, path, Some(0), &error.to_string()));
            return Ok(());
        }
    };
    let mut records = Records::new(&*file, 0, header.seed(), SEGMENT_HEADER as u64, length);
    let mut found = FileReport { path: path.into(), records: 0, damaged_bytes: 0 };
    let mut damaged = Vec::new();
    loop {
        match records.next()? {
            Step::End => break,
            Step::Record { .. } => found.records += 1,
            Step::Damage { from, to } => {
                let bytes = records.without_zeros(from, to)? - from;
                found.damaged_bytes += bytes;
                damaged.push((from, to));
                let at_end = to == length;
                let severity = if at_end { Severity::Notice } else { Severity::Damage };
                let what = if at_end {
                    format!("{bytes} bytes at the end are no record: a write that was cut short, or damage")
                } else {
                    format!("{bytes} bytes are damaged; what is around them is intact")
                };
                report.problems.push(problem(severity, path, Some(from), &what));
            }
        }
    }
    report.files.push(found);
    if mend && !damaged.is_empty() {
        report.mended.push(mend_file(disk, path, &damaged)?);
    }
    Ok(())
}

/// Fills damaged ranges that can hold a record with one that says "erased", so that offsets stay what they are.
fn mend_file(disk: &dyn Disk, path: &Path, damaged: &[(u64, u64)]) -> std::io::Result<String> {
    let dir = path.parent().unwrap_or(Path::new(".")).join(QUARANTINE);
    let name = path.file_name().unwrap_or_default();
    disk.create_dir(&dir)?;
    let mut copy = dir.join(name);
    let mut number = 0;
    while disk.open(&copy).is_ok() {
        number += 1;
        copy = dir.join(format!("{}.{number}", name.to_string_lossy()));
    }
    let original = read_all(disk, path)?;
    replace(disk, &copy, &original)?;
    let header = Header::decode(&original, path).map_err(std::io::Error::other)?;
    let mut mended = original;
    let mut cut = 0;
    for (from, to) in damaged {
        let (from, to) = (*from as usize, *to as usize);
        cut += to - from;
        if to >= mended.len() {
            mended.truncate(from);
        } else if to - from >= crate::record::HEADER {
            let filler = crate::record::erased(0, 0, to - from, header.seed());
            if let Some(place) = mended.get_mut(from..to) {
                place.copy_from_slice(&filler);
            }
        }
    }
    replace(disk, path, &mended)?;
    // The snapshot of the index knows the messages that are gone; the next start makes a new one.
    let _none = disk.remove_file(&path.with_file_name(SNAPSHOT));
    Ok(format!("{}: cut {cut} bytes; the file as it was is {}", path.display(), copy.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::{Append, Store, StoreOptions, StreamOptions};

    #[test]
    fn a_repaired_store_has_no_damage_and_the_original_is_kept() {
        let disk = SimDisk::new(5);
        let store = Store::open_on(Arc::new(disk.boot()), Path::new("/s"), StoreOptions::default()).unwrap();
        let stream = store.create("S", StreamOptions::file(), b"").unwrap();
        for _ in 0..3 {
            let done =
                stream.append(&[Append { subject: b"a", payload: b"some words", ..Append::default() }]);
            stream.wait_for(done.position).unwrap();
        }
        store.close();
        let (path, _) =
            disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "seg")).unwrap();
        assert!(disk.flip(&path, 200 * 8));
        let original = read_all(&disk.boot(), &path).unwrap();
        let found = look_over(Arc::new(disk.boot()), Path::new("/s"), false).unwrap();
        assert_eq!((found.files[0].records, found.problems.len()), (2, 1));
        let mended = look_over(Arc::new(disk.boot()), Path::new("/s"), true).unwrap();
        assert_eq!(mended.mended.len(), 1);
        assert_eq!(look_over(Arc::new(disk.boot()), Path::new("/s"), false).unwrap().problems, vec![]);
        let kept =
            disk.files().into_iter().find(|(path, _)| path.to_string_lossy().contains("quarantine")).unwrap();
        assert_eq!(read_all(&disk.boot(), &kept.0).unwrap(), original);
        let store = Store::open_on(Arc::new(disk.boot()), Path::new("/s"), StoreOptions::default()).unwrap();
        assert!(store.stream("S").unwrap().get(3).unwrap().is_some());
    }
}
