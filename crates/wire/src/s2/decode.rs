//! One block: a length, then literals and copies of what came before.

use super::S2Error;

/// Decodes `block` and appends what it holds, at most `most` bytes, to `out`.
///
/// # Errors
/// See [`S2Error`]. `out` is then as it was.
pub fn decode_block(block: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), S2Error> {
    let base = out.len();
    let decoded = decode(block, most, out);
    if decoded.is_err() {
        out.truncate(base);
    }
    decoded
}

fn decode(block: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), S2Error> {
    let base = out.len();
    let mut rest = block;
    let length = uvarint(&mut rest)?;
    if length > most {
        return Err(S2Error::TooLarge);
    }
    let end = base + length;
    out.reserve(length);
    let mut offset = 0;
    while let Some((&tag, after)) = rest.split_first() {
        rest = after;
        if tag & 3 == 0 {
            let length = literal_length(tag, &mut rest)?;
            let literal = take(&mut rest, length)?;
            if length > end - out.len() {
                return Err(S2Error::Corrupt);
            }
            out.extend_from_slice(literal);
            continue;
        }
        let length = copy(tag, &mut rest, &mut offset)?;
        if offset == 0 || offset > out.len() - base || length > end - out.len() {
            return Err(S2Error::Corrupt);
        }
        copy_back(out, offset, length);
    }
    if out.len() == end { Ok(()) } else { Err(S2Error::Corrupt) }
}

/// How long the literal is that `tag` begins.
fn literal_length(tag: u8, rest: &mut &[u8]) -> Result<usize, S2Error> {
    let short = usize::from(tag >> 2);
    let length = match short {
        0..60 => short,
        _ => little_endian(take(rest, short - 59)?),
    };
    Ok(length + 1)
}

/// How long the copy is that `tag` begins; it goes back `offset`, which stays what it was where the copy names none.
fn copy(tag: u8, rest: &mut &[u8], offset: &mut usize) -> Result<usize, S2Error> {
    let short = usize::from(tag >> 2);
    match tag & 3 {
        1 => {
            let low = little_endian(take(rest, 1)?);
            let named = usize::from(tag & 0xe0) << 3 | low;
            let short = short & 7;
            if named != 0 {
                *offset = named;
                return Ok(short + 4);
            }
            Ok(4 + match short {
                5 => little_endian(take(rest, 1)?) + 4,
                6 => little_endian(take(rest, 2)?) + (1 << 8),
                7 => little_endian(take(rest, 3)?) + (1 << 16),
                short => short,
            })
        }
        2 => {
            *offset = little_endian(take(rest, 2)?);
            Ok(short + 1)
        }
        _ => {
            *offset = little_endian(take(rest, 4)?);
            Ok(short + 1)
        }
    }
}

/// Appends `length` bytes from `offset` bytes before the end; they may reach into what is being appended.
fn copy_back(out: &mut Vec<u8>, offset: usize, length: usize) {
    let from = out.len() - offset;
    let mut left = length;
    while left > 0 {
        let now = left.min(out.len() - from);
        out.extend_from_within(from..from + now);
        left -= now;
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], S2Error> {
    let (taken, after) = rest.split_at_checked(count).ok_or(S2Error::Corrupt)?;
    *rest = after;
    Ok(taken)
}

/// Up to four bytes as a number.
fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A number of at most 32 bits, seven in a byte.
fn uvarint(rest: &mut &[u8]) -> Result<usize, S2Error> {
    let mut number = 0u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = little_endian(take(rest, 1)?) as u64;
        number |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            let number = u32::try_from(number).map_err(|_| S2Error::TooLarge)?;
            return usize::try_from(number).map_err(|_| S2Error::TooLarge);
        }
    }
    Err(S2Error::Corrupt)
}
