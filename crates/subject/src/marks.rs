//! Patterns with marks, as rights are made of: which marks have the patterns that match a subject?
//!
//! A trie by token in three arrays that is built once and never changes. A lookup compares tokens eight bytes at a
//! time, hashes nothing and does not allocate; it costs a few nanoseconds a token, however many patterns there are.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use smallvec::SmallVec;

/// Nodes put aside during a lookup without touching the heap.
const INLINE_NODES: usize = 8;
/// Up to this many ways on are tried one after the other; more are searched.
const SCAN_UP_TO: usize = 4;
/// Bytes of a token that lie in its edge.
const HEAD: usize = size_of::<u64>();

/// Patterns, each with a set of marks (bits).
#[derive(Clone, Default)]
pub struct PatternMarks {
    /// The first one is the root.
    nodes: Box<[Node]>,
    /// Those of one node lie together, in order.
    edges: Box<[Edge]>,
    /// Tokens, as far as they don't fit into an edge.
    tails: Box<[u8]>,
}

/// A place between two tokens.
#[derive(Clone, Copy, Default)]
struct Node {
    /// Its edges: the first one, and how many.
    first: u32,
    count: u32,
    /// The node after `*`; 0, the root, where there is none.
    star: u32,
    /// Marks of the patterns that end here, of those that go on with `>`, and of all at and below this node.
    end: u8,
    rest: u8,
    below: u8,
}

/// The way on with one literal token.
#[derive(Clone, Copy)]
struct Edge {
    head: u64,
    length: u32,
    /// Where in `tails` what follows the head begins.
    tail: u32,
    /// Where it leads.
    node: u32,
}

/// A node as it is built.
#[derive(Default)]
struct Draft<'p> {
    literals: BTreeMap<&'p [u8], usize>,
    star: Option<usize>,
    end: u8,
    rest: u8,
}

/// A node, and what of the subject is left there.
type Todo<'a> = (u32, Option<&'a [u8]>);

/// A token, in the form it is compared in.
struct Token<'a> {
    head: u64,
    length: usize,
    tail: &'a [u8],
}

impl<'a> Token<'a> {
    /// The first token of `text`, and what follows its dot.
    #[inline]
    fn split(text: &'a [u8]) -> (Self, Option<&'a [u8]>) {
        let head = word(text);
        let dots = equal_bytes(head, b'.');
        if dots != 0 {
            let length = dots.trailing_zeros() as usize / 8;
            let head = head & ((1 << (8 * length)) - 1);
            return (Self { head, length, tail: b"" }, text.get(length + 1..));
        }
        let beyond = text.get(HEAD..).unwrap_or_default();
        let (tail, rest) = crate::pattern::split_token(beyond);
        (Self { head, length: text.len().min(HEAD) + tail.len(), tail }, rest)
    }
}

/// The first eight bytes, the first one lowest; zeros where there are fewer.
#[inline]
fn word(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    let length = text.len();
    // Of fewer than eight: two halves, which may overlap.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first))
            | u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4));
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return u64::from(u16::from_le_bytes(*first))
            | u64::from(u16::from_le_bytes(*last)) << (8 * (length - 2));
    }
    text.first().map_or(0, |byte| u64::from(*byte))
}

/// The highest bit of bytes that equal `wanted`; right for the lowest of them and those below it.
#[inline]
fn equal_bytes(word: u64, wanted: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let different = word ^ (ONES * u64::from(wanted));
    different.wrapping_sub(ONES) & !different & (ONES << 7)
}

impl PatternMarks {
    /// Compiles patterns, which must be valid. One that is there twice has the marks of both.
    #[must_use]
    pub fn new<'p>(patterns: impl IntoIterator<Item = (&'p [u8], u8)>) -> Self {
        let mut drafts = vec![Draft::default()];
        for (pattern, marks) in patterns {
            let (mut at, mut rest) = (0, Some(pattern));
            while let Some(text) = rest.filter(|text| *text != b">") {
                let (token, following) = crate::pattern::split_token(text);
                let new = drafts.len();
                let Some(draft) = drafts.get_mut(at) else { break };
                at = match token {
                    b"*" => *draft.star.get_or_insert(new),
                    _ => *draft.literals.entry(token).or_insert(new),
                };
                if at == new {
                    drafts.push(Draft::default());
                }
                rest = following;
            }
            if let Some(draft) = drafts.get_mut(at) {
                *(if rest.is_some() { &mut draft.rest } else { &mut draft.end }) |= marks;
            }
        }
        Self::laid_out(&drafts)
    }

    fn laid_out(drafts: &[Draft<'_>]) -> Self {
        let (mut nodes, mut edges, mut tails) = (Vec::with_capacity(drafts.len()), Vec::new(), Vec::new());
        for draft in drafts {
            let first = edges.len();
            for (token, node) in &draft.literals {
                let (Token { head, length, tail }, _) = Token::split(token);
                edges.push(Edge {
                    head,
                    length: narrow(length),
                    tail: narrow(tails.len()),
                    node: narrow(*node),
                });
                tails.extend_from_slice(tail);
            }
            if let Some(own) = edges.get_mut(first..) {
                own.sort_unstable_by(|a, b| compare(a, &tails, (b.head, b.length), b.tail(&tails)));
            }
            nodes.push(Node {
                first: narrow(first),
                count: narrow(edges.len() - first),
                star: draft.star.map_or(0, narrow),
                end: draft.end,
                rest: draft.rest,
                below: draft.end | draft.rest,
            });
        }
        // A node comes after the one above it.
        for at in (0..nodes.len()).rev() {
            let Some(Node { first, count, star, below, .. }) = nodes.get(at).copied() else { continue };
            let own = edges.iter().skip(first as usize).take(count as usize);
            let ways = own.map(|edge: &Edge| edge.node).chain((star != 0).then_some(star));
            let marks =
                ways.filter_map(|way| nodes.get(way as usize)).fold(below, |all, way| all | way.below);
            if let Some(node) = nodes.get_mut(at) {
                node.below = marks;
            }
        }
        Self { nodes: nodes.into(), edges: edges.into(), tails: tails.into() }
    }

    /// The marks of the patterns that match the subject `text`; of those that cover it, if it is a pattern. Once one of
    /// `until` is among them, others may be missing.
    #[must_use]
    pub fn of(&self, text: &[u8], until: u8) -> u8 {
        let mut found = 0;
        let mut aside: SmallVec<[Todo<'_>; INLINE_NODES]> = SmallVec::new();
        let mut here = Some((0, Some(text)));
        while let Some((at, rest)) = here.take().or_else(|| aside.pop()) {
            let Some(node) = self.nodes.get(at as usize) else { continue };
            // What lies below may have nothing to add.
            if node.below & !found == 0 {
                continue;
            }
            found |= if rest.is_some() { node.rest } else { node.end };
            if found & until != 0 {
                return found;
            }
            // What covers `>` is `>` alone.
            let Some(text) = rest.filter(|text| *text != b">") else { continue };
            let (token, rest) = Token::split(text);
            if node.star != 0
                && self.nodes.get(node.star as usize).is_some_and(|star| star.below & !found != 0)
            {
                aside.push((node.star, rest));
            }
            here = self.way(node, &token).map(|node| (node, rest));
        }
        found
    }

    /// Where a token leads.
    #[inline]
    fn way(&self, node: &Node, token: &Token<'_>) -> Option<u32> {
        let first = node.first as usize;
        let edges = self.edges.get(first..first + node.count as usize)?;
        let key = (token.head, narrow(token.length));
        if edges.len() > SCAN_UP_TO {
            let found = edges.binary_search_by(|edge| compare(edge, &self.tails, key, token.tail));
            return found.ok().and_then(|at| edges.get(at)).map(|edge| edge.node);
        }
        let same = |edge: &&Edge| {
            (edge.head, edge.length) == key && (token.tail.is_empty() || edge.tail(&self.tails) == token.tail)
        };
        edges.iter().find(same).map(|edge| edge.node)
    }
}

impl Edge {
    fn tail<'t>(&self, tails: &'t [u8]) -> &'t [u8] {
        let at = self.tail as usize;
        tails.get(at..at + (self.length as usize).saturating_sub(HEAD)).unwrap_or_default()
    }
}

/// The order of edges: any, so long as it is one.
fn compare(edge: &Edge, tails: &[u8], key: (u64, u32), tail: &[u8]) -> Ordering {
    (edge.head, edge.length).cmp(&key).then_with(|| edge.tail(tails).cmp(tail))
}

/// Numbers of nodes, edges and bytes: a list of patterns is far below 4 GiB.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for PatternMarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatternMarks").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}
