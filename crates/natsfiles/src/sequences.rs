//! Sets of sequences, as they stand for what was deleted inside a block.
//!
//! `22  version  nodes u32  sequences u32`, then for each node `base u64  bits u64×n  height u16`: bit `i` of the node
//! stands for `base + i`. Version 2 has 32 words a node, version 1 has 64.

use crate::cursor::Cursor;

const MAGIC: u8 = 22;

/// A set of sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// By base, ascending.
    nodes: Vec<(u64, Vec<u64>)>,
}

impl Sequences {
    pub(crate) fn read(from: &mut Cursor<'_>) -> Option<Self> {
        if from.byte()? != MAGIC {
            return None;
        }
        let words = match from.byte()? {
            1 => 64,
            2 => 32,
            _ => return None,
        };
        let count = usize::try_from(from.u32()?).ok()?;
        from.u32()?;
        if count > from.0.len() / (words * 8 + 10) {
            return None;
        }
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            let base = from.u64()?;
            let bits: Option<Vec<u64>> = (0..words).map(|_| from.u64()).collect();
            from.u16()?;
            nodes.push((base, bits?));
        }
        nodes.sort_unstable_by_key(|(base, _)| *base);
        Some(Self { nodes })
    }

    /// Whether a sequence is in it.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let after = self.nodes.partition_point(|(base, _)| *base <= sequence);
        let Some((base, bits)) = after.checked_sub(1).and_then(|at| self.nodes.get(at)) else { return false };
        let at = sequence - base;
        let word = usize::try_from(at / 64).ok().and_then(|word| bits.get(word));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(base: u64, set: &[u64], words: usize) -> Vec<u8> {
        let mut bits = vec![0_u64; words];
        for sequence in set {
            let at = sequence - base;
            bits[usize::try_from(at / 64).unwrap()] |= 1 << (at % 64);
        }
        let mut bytes = base.to_le_bytes().to_vec();
        bits.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend([1, 0]);
        bytes
    }

    #[test]
    fn what_is_in_it_is_found() {
        for (version, words) in [(1, 64), (2, 32)] {
            let mut bytes = vec![MAGIC, version, 2, 0, 0, 0, 3, 0, 0, 0];
            bytes.extend(node(8192, &[8192, 8300], words));
            bytes.extend(node(0, &[5], words));
            bytes.push(99);
            let mut cursor = Cursor(&bytes);
            let set = Sequences::read(&mut cursor).unwrap();
            assert_eq!(cursor.0, [99]);
            let found: Vec<u64> = (0..20_000).filter(|sequence| set.contains(*sequence)).collect();
            assert_eq!(found, [5, 8192, 8300]);
        }
        assert_eq!(Sequences::read(&mut Cursor(&[MAGIC, 2, 255, 255, 255, 255, 0, 0, 0, 0])), None);
        assert!(!Sequences::default().contains(1));
    }
}
