//! Reading a segment file from end to end, over damage: each record in turn, and what can't be read between them.

use std::io;

use crate::disk::DiskFile;
use crate::record::{HEADER, Head, Kind, MAX_RECORD, verify};

/// Bytes read at once.
const WINDOW: usize = 512 * 1024;
/// While looking for the next record, how far its sequence may be ahead of the last one.
const PLAUSIBLE: u64 = 1 << 40;

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// An intact record.
    Record { offset: u64, head: Head, bytes: &'a mut [u8] },
    /// Bytes that are no record. When they reach to the end of the file, nothing intact follows.
    Damage { from: u64, to: u64 },
    /// Nothing more was written.
    End,
}

/// The records of a file between two offsets.
pub(crate) struct Records<'a> {
    file: &'a dyn DiskFile,
    tag: usize,
    seed: u32,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    last_seq: u64,
}

impl<'a> Records<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, tag: usize, seed: u32, from: u64, end: u64) -> Self {
        Self { file, tag, seed, at: from, end, window: Vec::new(), window_at: from, last_seq: 0 }
    }

    /// Reads on.
    ///
    /// # Errors
    /// The file can't be read, which is not the same as damaged.
    pub(crate) fn next(&mut self) -> io::Result<Step<'_>> {
        if self.at >= self.end {
            return Ok(Step::End);
        }
        if let Some(head) = self.intact(self.at)? {
            let offset = self.at;
            self.at += head.length as u64;
            self.last_seq = self.last_seq.max(head.seq);
            let from = (offset - self.window_at) as usize;
            let bytes = self.window.get_mut(from..from + head.length).unwrap_or_default();
            return Ok(Step::Record { offset, head, bytes });
        }
        if self.rest_is_zero()? {
            self.at = self.end;
            return Ok(Step::End);
        }
        let from = self.at;
        self.at = self.find_next(from + 1)?;
        Ok(Step::Damage { from, to: self.at })
    }

    /// Where the last byte of a range stands that is not zero, and one more.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn without_zeros(&mut self, from: u64, to: u64) -> io::Result<u64> {
        let (mut at, mut last) = (from, from);
        while at < to {
            let part = self.load(at, WINDOW.min((to - at) as usize))?;
            if let Some(found) = part.iter().rposition(|byte| *byte != 0) {
                last = at + found as u64 + 1;
            }
            if part.is_empty() {
                break;
            }
            at += part.len() as u64;
        }
        Ok(last)
    }

    /// Makes sure the window holds `length` bytes at `at`, or as many as there are.
    fn load(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let inside = at >= self.window_at && at + length as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let want = (length.max(WINDOW) as u64).min(self.end.saturating_sub(at)) as usize;
            self.window.resize(want, 0);
            let read = self.file.read_at(&mut self.window, at)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        let rest = self.window.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    /// The head of the record at `at` if there is an intact one. The window holds it then.
    fn intact(&mut self, at: u64) -> io::Result<Option<Head>> {
        let (tag, seed, left) = (self.tag, self.seed, self.end - at);
        let Some(head) = Head::read(self.load(at, HEADER)?, 0) else { return Ok(None) };
        let fits = head.length >= HEADER && head.length as u64 <= left && head.length <= MAX_RECORD;
        if !fits || Kind::from_byte(head.kind).is_none() {
            return Ok(None);
        }
        let bytes = self.load(at, head.length)?;
        let head = if head.kind == Kind::Erased as u8 { Some(head) } else { Head::read(bytes, tag) };
        Ok(head.filter(|_| verify(bytes, seed)))
    }

    fn rest_is_zero(&mut self) -> io::Result<bool> {
        let mut at = self.at;
        while at < self.end {
            let part = self.load(at, WINDOW.min((self.end - at) as usize))?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            if part.is_empty() {
                break;
            }
            at += part.len() as u64;
        }
        Ok(true)
    }

    /// The next offset at which an intact record stands, or the end.
    fn find_next(&mut self, from: u64) -> io::Result<u64> {
        let mut at = from;
        while at + HEADER as u64 <= self.end {
            let last_seq = self.last_seq;
            let head = Head::read(self.load(at, HEADER)?, 0);
            let plausible = head.is_some_and(|head| {
                head.length >= HEADER && head.seq < last_seq.saturating_add(PLAUSIBLE) && head.flags < 32
            });
            if plausible && self.intact(at)?.is_some() {
                return Ok(at);
            }
            at += 1;
        }
        Ok(self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::crypt::FileCipher;
    use crate::disk::{Disk, SimDisk};
    use crate::record::{Draft, encode};

    /// A file of these payloads, and where each record begins.
    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (at, payload) in payloads.iter().enumerate() {
            starts.push(bytes.len() as u64);
            let draft =
                Draft { subject: b"a.b", payload, ..Draft::control(Kind::Message, 0, at as u64 + 1, b"") };
            assert!(encode(&draft, &FileCipher::default(), 7, bytes.len() as u64, &mut bytes));
        }
        (bytes, starts)
    }

    /// Offsets of intact records, and damaged ranges.
    fn walk(bytes: &[u8]) -> (Vec<u64>, Vec<(u64, u64)>) {
        let disk = SimDisk::new(1);
        let file = disk.create(Path::new("/f")).unwrap();
        file.write_at(bytes, 0).unwrap();
        let mut records = Records::new(&*file, 0, 7, 0, bytes.len() as u64);
        let (mut intact, mut damaged) = (Vec::new(), Vec::new());
        loop {
            match records.next().unwrap() {
                Step::Record { offset, .. } => intact.push(offset),
                Step::Damage { from, to } => damaged.push((from, to)),
                Step::End => return (intact, damaged),
            }
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_costs_one_record(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
            bit in any::<prop::sample::Index>(),
            zeros in 0usize..200,
        ) {
            let (mut bytes, starts) = file(&payloads);
            let length = bytes.len();
            let bit = bit.index(length * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.resize(length + zeros, 0);
            let hit = starts.iter().rposition(|start| *start <= bit as u64 / 8).unwrap();
            let (intact, damaged) = walk(&bytes);
            let others: Vec<u64> = starts.iter().enumerate().filter(|(at, _)| *at != hit).map(|(_, s)| *s).collect();
            prop_assert_eq!(intact, others);
            prop_assert_eq!(damaged.len(), 1);
            prop_assert_eq!(damaged[0].0, starts[hit]);
        }

        #[test]
        fn a_cut_file_ends_where_it_was_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let (bytes, starts) = file(&payloads);
            let cut = cut.index(bytes.len());
            let (intact, damaged) = walk(&bytes[..cut]);
            let ends = starts.iter().skip(1).copied().chain([bytes.len() as u64]);
            let whole: Vec<u64> =
                starts.iter().zip(ends).filter(|(_, end)| *end <= cut as u64).map(|(start, _)| *start).collect();
            prop_assert_eq!(damaged.len(), usize::from(!starts.contains(&(cut as u64)) && cut > 0));
            prop_assert_eq!(intact, whole);
        }

        #[test]
        fn noise_holds_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert!(walk(&bytes).0.is_empty());
        }
    }

    #[test]
    fn a_record_in_a_payload_passes_for_none_of_this_file() {
        let mut forged = Vec::new();
        let draft = Draft::control(Kind::Message, 0, 2, b"forged");
        assert!(encode(&draft, &FileCipher::default(), 8, 0, &mut forged));
        let (mut bytes, _) = file(&[forged]);
        bytes[33] ^= 1;
        assert!(walk(&bytes).0.is_empty());
    }
}
