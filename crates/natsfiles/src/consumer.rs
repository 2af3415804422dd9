//! `o.dat`: where a consumer is.
//!
//! ```text
//! 22 version  floor's delivery, floor's sequence, last delivery, its sequence
//! n  [seconds since 1970, n × (sequence − floor, [delivery − floor], seconds before that)]   what waits
//! n  n × (sequence − floor, times it was delivered again)
//! ```

use crate::cursor::Cursor;

const MAGIC: u8 = 22;
/// The greatest sequence that is believed.
const MOST: u64 = 1 << 62;

/// Where a consumer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerState {
    /// The delivery and the sequence up to which all is done with.
    pub floor: (u64, u64),
    /// The last delivery, and the sequence it was of.
    pub delivered: (u64, u64),
    /// What was delivered and waits for an acknowledgement, by sequence.
    pub pending: Vec<Pending>,
    /// Sequences, and how often more than once they were delivered.
    pub again: Vec<(u64, u64)>,
}

/// A message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Its sequence.
    pub sequence: u64,
    /// The delivery that was its first.
    pub delivery: u64,
    /// When it was delivered, in seconds since 1970.
    pub since: i64,
}

impl ConsumerState {
    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut read = Cursor(bytes);
        match (read.byte(), read.byte()) {
            (Some(MAGIC), Some(version @ 1..=2)) => {
                parse(&mut read, version).ok_or("a consumer's state ends where it should not")
            }
            _ => Err("a consumer's state has a form this release does not know"),
        }
    }
}

fn parse(read: &mut Cursor<'_>, version: u8) -> Option<ConsumerState> {
    let mut place = || read.varint().filter(|place| *place < MOST);
    let floor = (place()?, place()?);
    let mut delivered = (place()?, place()?);
    if version == 1 {
        // It has what comes next, counted from the floor.
        delivered.0 += floor.0.saturating_sub(1);
        delivered.1 += floor.1.saturating_sub(1);
    }
    let mut state = ConsumerState { floor, delivered, ..ConsumerState::default() };
    let count = read.count(2)?;
    let base = if count > 0 { read.signed()? } else { 0 };
    for _ in 0..count {
        let sequence = floor.1.checked_add(read.varint()?).filter(|sequence| (1..MOST).contains(sequence))?;
        let delivery = if version == 1 {
            0
        } else {
            floor.0.checked_add(read.varint()?).filter(|delivery| *delivery < MOST)?
        };
        let seconds = read.signed()?;
        let since = if version == 1 { base.saturating_add(seconds) } else { base.saturating_sub(seconds) };
        state.pending.push(Pending { sequence, delivery, since });
    }
    state.pending.sort_unstable_by_key(|pending| pending.sequence);
    state.pending.dedup_by_key(|pending| pending.sequence);
    for _ in 0..read.count(2)? {
        let (sequence, times) = (floor.1.checked_add(read.varint()?)?, read.varint()?);
        if (1..MOST).contains(&sequence) && times > 0 {
            state.again.push((sequence, times));
        }
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        // Floor 3/5, delivered 6/9; 7 and 9 wait, 7 since 2 s before second 100; 7 was delivered once more.
        let bytes = [MAGIC, 2, 3, 5, 6, 9, 2, 0xc8, 0x01, 4, 3, 0, 2, 1, 4, 1, 2, 1];
        let state = ConsumerState::read(&bytes).unwrap();
        assert_eq!((state.floor, state.delivered), ((3, 5), (6, 9)));
        let waits = [
            Pending { sequence: 7, delivery: 4, since: 98 },
            Pending { sequence: 9, delivery: 6, since: 100 },
        ];
        assert_eq!((state.pending.as_slice(), state.again.as_slice()), (&waits[..], &[(7, 1)][..]));
        assert!(ConsumerState::read(&bytes[..bytes.len() - 1]).is_err());
        assert!(ConsumerState::read(&[MAGIC, 9]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_believed(junk in proptest::collection::vec(any::<u8>(), 0..200), version in 1_u8..3) {
            drop(ConsumerState::read(&[&[MAGIC, version], &junk[..]].concat()));
        }
    }
}
