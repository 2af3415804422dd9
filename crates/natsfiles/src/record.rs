//! The records of a block.

use crate::checksum::Key;
use crate::cursor::Cursor;

const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const TOMBSTONE: u64 = 1 << 62;
/// Bytes before the subject.
const HEAD: usize = 22;
const CHECKSUM: usize = 8;
/// The longest record a server writes.
const LONGEST: usize = 32 * 1024 * 1024;
/// Bytes that are hashed in one block in search of the next intact record.
const SEARCH: usize = 64 * 1024 * 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Message,
    /// What is left of a message that was overwritten.
    Erased,
    /// The message of this sequence is deleted.
    Tombstone,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins in the block.
    pub offset: usize,
    /// What it is.
    pub kind: Kind,
    /// Its sequence, or the one it is about.
    pub sequence: u64,
    /// Nanoseconds since 1970.
    pub time: i64,
    /// A message's subject.
    pub subject: &'a [u8],
    /// Its headers, with their first line.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
    /// The record's checksum.
    pub checksum: [u8; 8],
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {length} bytes are left out")]
pub struct Bad {
    /// Where they begin in the block.
    pub offset: usize,
    /// How many there are.
    pub length: usize,
    /// What is wrong with the first of them.
    pub what: &'static str,
}

/// Reads a block that is neither packed nor encrypted. After bytes that are no record it goes on with the next intact
/// one.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    key: Key,
    at: usize,
    /// What may still be hashed in search.
    search: usize,
}

impl<'a> Records<'a> {
    /// From the beginning of a block.
    #[must_use]
    pub fn new(bytes: &'a [u8], key: Key) -> Self {
        Self { bytes, key, at: 0, search: SEARCH }
    }

    /// The record at `offset`, and where it ends.
    fn read(&self, offset: usize) -> Result<(Record<'a>, usize), &'static str> {
        const SHORT: &str = "a record is cut short";
        let rest = self.bytes.get(offset..).ok_or(SHORT)?;
        let mut head = Cursor(rest);
        let length = head.u32().ok_or(SHORT)?;
        let has_headers = length & HAS_HEADERS != 0;
        let length = usize::try_from(length & !HAS_HEADERS).map_err(|_| SHORT)?;
        let numbers = head.bytes(16).ok_or(SHORT)?;
        let subject_length = usize::from(head.u16().ok_or(SHORT)?);
        if !(HEAD + CHECKSUM..=LONGEST).contains(&length) {
            return Err("a record has a length that can't be");
        }
        let body = rest.get(HEAD..length - CHECKSUM).ok_or(SHORT)?;
        let checksum = rest.get(length - CHECKSUM..length).and_then(|sum| sum.first_chunk::<8>());
        let checksum = *checksum.ok_or(SHORT)?;
        let fit = "a record's parts are longer than the record";
        let (subject, mut rest) = body.split_at_checked(subject_length).ok_or(fit)?;
        let mut headers_length = None;
        if has_headers {
            let (word, after) = rest.split_first_chunk::<4>().ok_or(fit)?;
            headers_length = Some(u32::from_le_bytes(*word));
            rest = after;
        }
        if self.key.sum(&[numbers, subject, rest]) != checksum {
            return Err("a record's checksum is another");
        }
        // The length of the headers is not under the checksum.
        let headers_length = usize::try_from(headers_length.unwrap_or(0)).map_err(|_| fit)?;
        let (headers, payload) = rest.split_at_checked(headers_length).ok_or(fit)?;
        let mut numbers = Cursor(numbers);
        let (Some(sequence), Some(time)) = (numbers.u64(), numbers.u64()) else { return Err(SHORT) };
        let kind = match sequence {
            _ if sequence & ERASED != 0 || sequence == 0 => Kind::Erased,
            _ if sequence & TOMBSTONE != 0 => Kind::Tombstone,
            // Where it ends is not under the checksum either.
            _ if !subject::valid_subject(subject) => return Err("a message's subject can't be one"),
            _ => Kind::Message,
        };
        let sequence = sequence & !(ERASED | TOMBSTONE);
        let time = time.cast_signed();
        Ok((Record { offset, kind, sequence, time, subject, headers, payload, checksum }, offset + length))
    }

    /// The length that is said at `offset`, where it can be one.
    fn length_at(&self, offset: usize) -> Option<usize> {
        let length = usize::try_from(Cursor(self.bytes.get(offset..)?).u32()? & !HAS_HEADERS).ok()?;
        ((HEAD + CHECKSUM..=LONGEST).contains(&length) && offset + length <= self.bytes.len())
            .then_some(length)
    }

    /// Where the next intact record begins, or the block ends.
    fn next_intact(&mut self, bad: usize) -> usize {
        let end = self.bytes.len();
        // Most likely only the inside of the record is damaged.
        if let Some(length) = self.length_at(bad)
            && (bad + length == end || self.read(bad + length).is_ok())
        {
            return bad + length;
        }
        for offset in bad + 1..end {
            let Some(length) = self.length_at(offset) else { continue };
            let Some(left) = self.search.checked_sub(length) else { return end };
            self.search = left;
            if self.read(offset).is_ok() {
                return offset;
            }
        }
        end
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let offset = self.at;
        match self.read(offset) {
            Ok((record, end)) => {
                self.at = end;
                Some(Ok(record))
            }
            Err(what) => {
                self.at = self.next_intact(offset);
                Some(Err(Bad { offset, length: self.at - offset, what }))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as a server writes it.
    pub(crate) fn write(
        key: Key,
        sequence: u64,
        time: i64,
        subject: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let flag = if headers.is_empty() { 0 } else { HAS_HEADERS };
        let extra = if headers.is_empty() { 0 } else { 4 };
        let length = HEAD + subject.len() + extra + headers.len() + payload.len() + CHECKSUM;
        let mut bytes = (u32::try_from(length).unwrap() | flag).to_le_bytes().to_vec();
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(time.to_le_bytes());
        bytes.extend(u16::try_from(subject.len()).unwrap().to_le_bytes());
        bytes.extend(subject);
        if !headers.is_empty() {
            bytes.extend(u32::try_from(headers.len()).unwrap().to_le_bytes());
            bytes.extend(headers);
        }
        bytes.extend(payload);
        let sum = key.sum(&[&bytes[4..20], subject, headers, payload]);
        bytes.extend(sum);
        bytes
    }

    fn block(key: Key) -> Vec<u8> {
        let mut bytes = write(key, 1, 7, b"a.b", b"", b"one");
        bytes.extend(write(key, 2, 8, b"a.c", b"NATS/1.0\r\n\r\n", b"two"));
        bytes.extend(write(key, 1 | TOMBSTONE, 9, b"", b"", b""));
        bytes.extend(write(key, 3 | ERASED, 0, b"", b"", b"rest"));
        bytes
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let key = Key::of("S-1");
        let bytes = block(key);
        let read: Vec<_> = Records::new(&bytes, key).collect::<Result<_, _>>().unwrap();
        let kinds: Vec<_> = read.iter().map(|record| (record.kind, record.sequence, record.time)).collect();
        let wanted =
            [(Kind::Message, 1, 7), (Kind::Message, 2, 8), (Kind::Tombstone, 1, 9), (Kind::Erased, 3, 0)];
        assert_eq!(kinds, wanted);
        assert_eq!((read[0].subject, read[0].headers, read[0].payload), (&b"a.b"[..], &b""[..], &b"one"[..]));
        assert_eq!((read[1].headers, read[1].payload), (&b"NATS/1.0\r\n\r\n"[..], &b"two"[..]));
    }

    #[test]
    fn another_blocks_key_reads_nothing() {
        let bytes = block(Key::of("S-1"));
        assert!(Records::new(&bytes, Key::of("S-2")).all(|record| record.is_err()));
    }

    proptest! {
        /// Whatever is on the disk: no panic, every byte is either in a record or called bad, in order.
        #[test]
        fn nothing_is_believed(junk in proptest::collection::vec(any::<u8>(), 0..400), seam in 0_usize..200) {
            let key = Key::of("S-1");
            let intact = block(key);
            let seam = seam.min(intact.len());
            let bytes = [&intact[..seam], &junk, &intact].concat();
            let mut at = 0;
            for record in Records::new(&bytes, key) {
                match record {
                    Ok(record) => {
                        prop_assert_eq!(record.offset, at);
                        at = Records::new(&bytes, key).read(at).unwrap().1;
                    }
                    Err(bad) => {
                        prop_assert!(bad.offset == at && bad.length > 0);
                        at += bad.length;
                    }
                }
            }
            prop_assert_eq!(at, bytes.len());
        }

        /// A flipped bit costs one record, and is told.
        #[test]
        fn a_flipped_bit_costs_one_record(at in 0_usize..160, bit in 0_u8..8) {
            let key = Key::of("S-1");
            let mut bytes = block(key);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let whole: Vec<_> = Records::new(&bytes, key).collect();
            let good = whole.iter().filter(|record| record.is_ok()).count();
            // Lengths of subjects and headers are not under the checksum: another one that fits is not always noticed.
            let lengths = [20..22, 56..58, 61..65, 108..110, 138..140];
            if lengths.iter().any(|length| length.contains(&at)) {
                prop_assert!(good >= 3);
            } else {
                prop_assert_eq!((good, whole.len()), (3, 4));
            }
        }
    }
}
