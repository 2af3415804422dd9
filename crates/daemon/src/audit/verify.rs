//! Finding out whether a log is whole: every line there, in order, unaltered, to the last one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::chain::{Head, Line, MAX_LINE};
use super::config::head_beside;
use super::file::{self, rotated};

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what was written.
    #[error("{path}, line {line}: {problem}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line of the file, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The chain ends before its recorded head.
    #[error(
        "the log ends at number {last}, its head is number {head}: {missing} lines were cut off its end",
        missing = head.saturating_sub(*last)
    )]
    CutOff {
        /// The last number there is.
        last: u64,
        /// The number of the recorded head.
        head: u64,
    },
    /// The recorded head is a line of another log.
    #[error("line number {0} is not the one whose hash was recorded as the log's head")]
    OtherHead(u64),
    /// Nothing to verify.
    #[error("there is not one line to verify")]
    Empty,
}

/// What a whole log amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Lines read.
    pub lines: u64,
    /// Number of the first line; above 1 the lines before it were not among the files.
    pub first: u64,
    /// The last line.
    pub head: Head,
    /// Whether a recorded head was compared with. Without one, lines cut off the end are not noticed.
    pub head_compared: bool,
}

/// Verifies the lines of `files`, taken in the order of their numbers. A single `file` brings along those that were
/// put aside from it, and the head beside it; `known`, a head kept elsewhere, is stronger: who can write the log can
/// write the file beside it, too.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(files: &[PathBuf], known: Option<Head>) -> Result<Verified, VerifyError> {
    let mut ordered = Vec::new();
    let mut heads: Vec<Head> = known.into_iter().collect();
    let failed = |path: &Path, source| VerifyError::Read { path: path.to_owned(), source };
    for path in files {
        if files.len() == 1 {
            ordered.extend(
                rotated(path).map_err(|error| failed(path, error))?.into_iter().map(|(_, path)| path),
            );
        }
        ordered.push(path.clone());
        heads.extend(file::read_head(&head_beside(path)).map_err(|error| failed(path, error))?);
    }
    let mut walk = Walk::default();
    if files.len() > 1 {
        ordered.sort_by_key(|path| first_number(path).unwrap_or(u64::MAX));
    }
    for path in &ordered {
        walk.file(path, &heads)?;
    }
    let (Some(first), Some(last)) = (walk.first, walk.last) else {
        return match heads.iter().map(|head| head.seq).max() {
            Some(head) => Err(VerifyError::CutOff { last: 0, head }),
            None => Err(VerifyError::Empty),
        };
    };
    if let Some(head) = heads.iter().map(|head| head.seq).max().filter(|head| *head > last.seq) {
        return Err(VerifyError::CutOff { last: last.seq, head });
    }
    Ok(Verified { lines: walk.lines, first, head: last, head_compared: !heads.is_empty() })
}

fn first_number(path: &Path) -> Option<u64> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).take(MAX_LINE as u64).read_line(&mut line).ok()?;
    Some(Line::parse(line.trim_end_matches('\n')).ok()?.seq)
}

#[derive(Default)]
struct Walk {
    lines: u64,
    first: Option<u64>,
    last: Option<Head>,
}

impl Walk {
    fn file(&mut self, path: &Path, heads: &[Head]) -> Result<(), VerifyError> {
        let failed = |source| VerifyError::Read { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read = reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut text).map_err(failed)?;
            if read == 0 {
                break;
            }
            let wrong = |problem: String| VerifyError::Line { path: path.to_owned(), line: number, problem };
            if text.pop() != Some(b'\n') {
                return Err(wrong("is not complete".to_owned()));
            }
            let line = std::str::from_utf8(&text).map_err(|_| "is not UTF-8").and_then(Line::parse);
            let line = line.map_err(|problem| wrong(problem.to_owned()))?;
            self.follow(line).map_err(wrong)?;
            if heads.iter().any(|head| head.seq == line.seq && head.hash != line.hash) {
                return Err(VerifyError::OtherHead(line.seq));
            }
        }
        Ok(())
    }

    fn follow(&mut self, line: Line) -> Result<(), String> {
        if let Some(last) = self.last {
            if line.seq != last.seq + 1 {
                return Err(format!(
                    "has number {}, expected {}: lines were removed, repeated or put in another order",
                    line.seq,
                    last.seq + 1
                ));
            }
            if line.prev != last.hash {
                return Err("does not follow the line before it: that one was exchanged".to_owned());
            }
        } else if line.seq == 0 || (line.seq == 1) != (line.prev == super::Hash::ZERO) {
            return Err("is not the beginning it claims to be".to_owned());
        }
        self.first.get_or_insert(line.seq);
        self.last = Some(line.head());
        self.lines += 1;
        Ok(())
    }
}
