//! Finding what came before: one block of at most 64 KiB, on its own.

/// Bytes a match has at least.
const SHORTEST: usize = 4;
/// Bytes at the end that are not searched, so that eight can always be read.
const MARGIN: usize = 8;
const TABLE_BITS: u32 = 14;
/// The longest block.
const LONGEST: usize = 1 << 16;

/// How much is done for fewer bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// Nothing: bytes go as they are.
    None,
    /// The last place alike.
    #[default]
    Fast,
    /// A few places, and whether waiting for the next byte is better.
    Better,
    /// Many places.
    Best,
}

impl Effort {
    /// Places looked at for each match.
    const fn depth(self) -> usize {
        match self {
            Self::None | Self::Fast => 1,
            Self::Better => 8,
            Self::Best => 64,
        }
    }
}

/// Where four bytes were seen last, and where before that. May be shared by any number of streams.
#[derive(Debug, Default)]
pub struct Tables {
    last: Vec<u16>,
    before: Vec<u16>,
}

impl Tables {
    fn begin(&mut self, length: usize, effort: Effort) -> u32 {
        // A small block does not pay for clearing a large table.
        let bits = (usize::BITS - length.leading_zeros()).clamp(8, TABLE_BITS);
        self.last.clear();
        self.last.resize(1 << bits, 0);
        if effort.depth() > 1 && self.before.len() < LONGEST {
            self.before.resize(LONGEST, 0);
        }
        32 - bits
    }
}

/// Appends `bytes` as a block to `out`; `false` when that does not make them smaller, and `out` holds nothing of use then.
/// Blocks of more than 64 KiB are not made.
#[must_use]
pub fn encode_block(bytes: &[u8], effort: Effort, tables: &mut Tables, out: &mut Vec<u8>) -> bool {
    if bytes.len() < 2 * MARGIN || bytes.len() > LONGEST || effort == Effort::None {
        return false;
    }
    let before = out.len();
    let most = bytes.len() - bytes.len() / 16;
    uvarint(out, bytes.len());
    let shift = tables.begin(bytes.len(), effort);
    let mut search = Search { bytes, shift, effort, tables, repeat: 0 };
    let (mut at, mut told) = (1, 0);
    while at < bytes.len() - MARGIN {
        let Some(mut found) = search.longest(at) else {
            // What does not repeat is passed over in longer and longer steps.
            let stride = if effort == Effort::Fast { 5 } else { 8 };
            at += 1 + ((at - told) >> stride);
            continue;
        };
        if effort != Effort::Fast
            && at + 1 < bytes.len() - MARGIN
            && let Some(next) = search.longest(at + 1).filter(|next| next.length > found.length + 1)
        {
            at += 1;
            found = next;
        }
        let back = search.reach_back(at, found.offset, told);
        at -= back;
        found.length += back;
        literal(out, bytes.get(told..at).unwrap_or_default());
        if found.offset == search.repeat {
            repeat(out, found.length);
        } else {
            copy(out, found.offset, found.length);
            search.repeat = found.offset;
        }
        search.remember(at + back + 1, at + found.length);
        at += found.length;
        told = at;
        if out.len() - before > most {
            return false;
        }
    }
    literal(out, bytes.get(told..).unwrap_or_default());
    out.len() - before <= most
}

/// Something that came before.
#[derive(Clone, Copy)]
struct Found {
    offset: usize,
    length: usize,
}

struct Search<'a> {
    bytes: &'a [u8],
    shift: u32,
    effort: Effort,
    tables: &'a mut Tables,
    /// The offset of the last copy: it need not be named again. 0 before the first.
    repeat: usize,
}

impl Search<'_> {
    fn four(&self, at: usize) -> u32 {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
    }

    /// Takes down that `at` was seen; where the same was seen before.
    fn note(&mut self, at: usize, four: u32) -> usize {
        let slot = (four.wrapping_mul(0x9e37_79b1) >> self.shift) as usize;
        let Some(last) = self.tables.last.get_mut(slot) else { return 0 };
        let mut before = std::mem::replace(last, at as u16);
        if self.effort.depth() > 1
            && let Some(place) = self.tables.before.get_mut(at)
        {
            if usize::from(before) == at {
                // It was taken down a moment ago.
                before = *place;
            }
            *place = before;
        }
        usize::from(before)
    }

    /// The longest match for what begins at `at`.
    fn longest(&mut self, at: usize) -> Option<Found> {
        let four = self.four(at);
        let mut place = self.note(at, four);
        let mut best: Option<Found> = None;
        if self.repeat > 0 && self.four(at - self.repeat) == four {
            best = Some(Found { offset: self.repeat, length: self.common(at - self.repeat, at) });
        }
        for _ in 0..self.effort.depth() {
            if place < at && self.four(place) == four {
                let length = self.common(place, at);
                // A copy costs a byte or two more than a repeat.
                if best.is_none_or(|best| length > best.length + 1) {
                    best = Some(Found { offset: at - place, length });
                }
            }
            let next = self.tables.before.get(place).map_or(0, |next| usize::from(*next));
            if next >= place {
                break;
            }
            place = next;
        }
        best.filter(|best| best.length >= SHORTEST)
    }

    /// How many bytes at `one` and `two` are the same.
    fn common(&self, one: usize, two: usize) -> usize {
        let (Some(a), Some(b)) = (self.bytes.get(one..), self.bytes.get(two..)) else { return 0 };
        let mut length = 0;
        for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
            let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if differ != 0 {
                return length + differ.trailing_zeros() as usize / 8;
            }
            length += 8;
        }
        let rest = a.iter().zip(b).skip(length);
        length + rest.take_while(|(a, b)| a == b).count()
    }

    /// How far the match also reaches to what is not told yet.
    fn reach_back(&self, at: usize, offset: usize, told: usize) -> usize {
        let most = (at - told).min(at - offset);
        let same = |back: &usize| self.bytes.get(at - back) == self.bytes.get(at - offset - back);
        (1..=most).take_while(same).count()
    }

    /// Takes down places that were passed over within a match.
    fn remember(&mut self, from: usize, to: usize) {
        let to = to.min(self.bytes.len() - MARGIN);
        if self.effort == Effort::Fast {
            if let Some(at) = to.checked_sub(2).filter(|at| *at >= from) {
                self.note(at, self.four(at));
            }
            return;
        }
        for at in from..to {
            self.note(at, self.four(at));
        }
    }
}

fn uvarint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn literal(out: &mut Vec<u8>, bytes: &[u8]) {
    let Some(length) = bytes.len().checked_sub(1) else { return };
    match length {
        0..60 => out.push((length as u8) << 2),
        60..256 => out.extend_from_slice(&[60 << 2, length as u8]),
        _ => out.extend_from_slice(&[61 << 2, length as u8, (length >> 8) as u8]),
    }
    out.extend_from_slice(bytes);
}

/// A copy from `offset`, which is below 64 KiB.
fn copy(out: &mut Vec<u8>, offset: usize, length: usize) {
    if length < 12 && offset < 2048 {
        out.push(((offset >> 8) as u8) << 5 | ((length - 4) as u8) << 2 | 1);
        out.push(offset as u8);
        return;
    }
    // What is too long for one copy goes on as a repeat of at least four.
    let first = if length > 64 { 60.min(length - 4) } else { length };
    out.extend_from_slice(&[((first - 1) as u8) << 2 | 2, offset as u8, (offset >> 8) as u8]);
    if length > first {
        repeat(out, length - first);
    }
}

/// A copy from where the last one was from.
fn repeat(out: &mut Vec<u8>, length: usize) {
    let tag = |short: u8| short << 2 | 1;
    match length - 4 {
        more @ 0..5 => out.extend_from_slice(&[tag(more as u8), 0]),
        more @ 5..260 => out.extend_from_slice(&[tag(5), 0, (more - 4) as u8]),
        more @ 260..65_792 => {
            let more = more - 256;
            out.extend_from_slice(&[tag(6), 0, more as u8, (more >> 8) as u8]);
        }
        more => {
            let more = more - 65_536;
            out.extend_from_slice(&[tag(7), 0, more as u8, (more >> 8) as u8, (more >> 16) as u8]);
        }
    }
}
