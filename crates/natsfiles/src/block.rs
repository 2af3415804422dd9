//! What is around the records of a block: packed blocks.

use std::borrow::Cow;

use wire::s2::{MAX_BLOCK, Reader};

use crate::cursor::Cursor;

/// Bytes of the largest block that is read; a server's own blocks have 8 MiB and one message.
pub const LARGEST: u64 = 256 * 1024 * 1024;

const PACKED: &[u8] = b"cmp";
const S2: u8 = 1;
const CHECKSUM: usize = 8;

/// The records of a block, as bytes.
///
/// # Errors
/// It is packed in a way that can't be read.
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    let Some(rest) = bytes.strip_prefix(PACKED).filter(|rest| rest.len() >= 2) else {
        return Ok(Cow::Borrowed(bytes));
    };
    let mut read = Cursor(rest);
    let algorithm = read.byte();
    let length = read.varint().ok_or("a packed block without its length")?;
    let (packed, checksum) =
        read.0.split_last_chunk::<CHECKSUM>().ok_or("a packed block without its checksum")?;
    match algorithm {
        Some(0) => return Ok(Cow::Borrowed(read.0)),
        Some(S2) => {}
        _ => return Err("a block packed by an algorithm this release does not know"),
    }
    if length > LARGEST {
        return Err("a packed block larger than any a server writes");
    }
    let mut records = Vec::new();
    let mut reader = Reader::new(MAX_BLOCK);
    reader.feed(packed);
    while reader.next(&mut records).map_err(|_| "a packed block that can't be unpacked")? {
        if records.len() as u64 > length {
            break;
        }
    }
    records.extend_from_slice(checksum);
    if records.len() as u64 == length { Ok(records.into()) } else { Err("a packed block of another length") }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn pack(records: &[u8]) -> Vec<u8> {
        let (body, sum) = records.split_at(records.len() - CHECKSUM);
        let mut bytes = b"cmp\x01".to_vec();
        let mut length = records.len();
        while length >= 0x80 {
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap());
        let mut packed = Vec::new();
        let mut writer = minlz::Writer::new(&mut packed);
        writer.write_all(body).unwrap();
        writer.flush().unwrap();
        drop(writer);
        bytes.extend(packed);
        bytes.extend(sum);
        bytes
    }

    #[test]
    fn what_was_packed_is_found_again() {
        let records: Vec<u8> = (0..40_000_u32).flat_map(|n| (n / 9).to_le_bytes()).collect();
        let packed = pack(&records);
        assert!(packed.len() < records.len() / 2);
        assert_eq!(*unpack(&packed).unwrap(), records);
        assert_eq!(*unpack(b"cmp").unwrap(), *b"cmp");
        assert!(unpack(b"cmp\x07\x10sixteen bytes of").is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_believed(junk in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
            drop(unpack(&[b"cmp\x01", &junk[..]].concat()));
            let mut packed = pack(&[7; 2000]);
            let at = cut % packed.len();
            packed.truncate(at);
            packed.extend(&junk);
            drop(unpack(&packed));
        }
    }
}
