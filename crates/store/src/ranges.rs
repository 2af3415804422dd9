//! A list of sequences as it stands in a removal record: ranges, as pairs of LEB128 numbers (gap since the end of the
//! range before, length of the range), ascending.

/// Appends `value` in groups of seven bits, lowest first.
pub(crate) fn put_number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number written by [`put_number`] off the front of `bytes`.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Encodes sequences, which need not be sorted.
pub(crate) fn encode(seqs: &mut [u64]) -> Vec<u8> {
    seqs.sort_unstable();
    let mut out = Vec::with_capacity(seqs.len() * 2);
    let mut end = 0;
    let mut rest = &*seqs;
    while let Some(&start) = rest.first() {
        let run = rest.iter().zip(start..).take_while(|(seq, want)| **seq == *want).count();
        put_number(start.saturating_sub(end), &mut out);
        put_number(run as u64, &mut out);
        end = start + run as u64;
        rest = &rest[run..];
    }
    out
}

/// Decodes into half-open ranges; `None` when the list is malformed.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    let mut end = 0u64;
    while !bytes.is_empty() {
        let start = end.checked_add(take_number(&mut bytes)?)?;
        end = start.checked_add(take_number(&mut bytes)?)?;
        ranges.push((start, end));
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_comes_back_as_it_was_written(mut seqs in proptest::collection::btree_set(1u64..2000, 0..200)
            .prop_map(|set| set.into_iter().collect::<Vec<_>>())) {
            let ranges = decode(&encode(&mut seqs)).unwrap();
            let back: Vec<u64> = ranges.iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(back, seqs);
        }

        #[test]
        fn noise_is_no_list_or_a_list_but_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(ranges) = decode(&bytes) {
                prop_assert!(ranges.iter().all(|(from, to)| from <= to));
            }
        }
    }

    #[test]
    fn a_run_costs_two_numbers() {
        let mut seqs: Vec<u64> = (100..100_100).collect();
        assert!(encode(&mut seqs).len() <= 5);
    }
}
