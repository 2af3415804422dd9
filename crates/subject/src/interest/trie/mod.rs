//! The entries whose pattern has a wildcard: a trie by token, with runs of tokens that don't branch
//! pulled together.
//!
//! A pattern costs one slot where it parts from the others; the text of what follows is not stored,
//! it is the entry's own. So memory is bounded by the number of entries, whatever the number of
//! their tokens, and most lookups end in one comparison of two texts.
//!
//! No walk recurses: a pattern may have as many tokens as a control line has room for.

mod node;
mod walk;

use node::{Branch, Node, Place};

use super::Entry;
use super::bucket::{Members, Removed};
use super::hash::Seed;

/// Members by pattern.
pub(super) struct Trie<E> {
    root: Node<E>,
    seed: Seed,
    /// Number of entries.
    len: usize,
}

impl<E: Entry> Trie<E> {
    pub(super) fn new() -> Self {
        Self { root: Node::new(0, &[]), seed: Seed::default(), len: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn insert(&mut self, entry: E) {
        let key = entry.clone();
        let pattern = key.subject();
        self.len += 1;
        let (mut node, mut at) = (&mut self.root, 0);
        loop {
            let place = Place::of(pattern, at, &self.seed);
            match place {
                Place::End => return add(&mut node.end, entry),
                Place::Gt => return add(&mut node.gt, entry),
                _ if node.branch(&place, at).is_none() => {
                    return node.adopt(Branch::Leaf(Members::one(0, entry)), at, &self.seed);
                }
                _ => {}
            }
            let Some(branch) = node.branch_mut(&place, at) else { return };
            let shared = branch.shared(pattern, at);
            match branch {
                Branch::Leaf(members) if members.subject() == pattern => return members.insert(entry),
                Branch::Node(next) if next.label.len() == shared => {}
                _ => branch.split(shared, at, &self.seed),
            }
            let Branch::Node(next) = branch else { return };
            (node, at) = (next, at + shared + 1);
        }
    }

    pub(super) fn remove(&mut self, entry: &E) -> bool {
        let removed = self.take(entry);
        self.len -= usize::from(removed);
        removed
    }

    fn take(&mut self, entry: &E) -> bool {
        let pattern = entry.subject();
        let (mut node, mut at) = (&mut self.root, 0);
        if let Some(removed) = node.take(entry, at, &self.seed) {
            return removed;
        }
        while let Some(branch) = node.branch_mut(&Place::of(pattern, at, &self.seed), at) {
            let removed = match branch {
                Branch::Node(next) if leads(&next.label, pattern, at) => {
                    at += next.label.len() + 1;
                    next.take(entry, at, &self.seed)
                }
                _ => Some(false),
            };
            if removed == Some(true) {
                branch.collapse();
            }
            match (removed, branch) {
                (None, Branch::Node(next)) => node = next,
                (removed, _) => return removed == Some(true),
            }
        }
        false
    }

    pub(super) fn get(&self, pattern: &[u8]) -> Option<&Members<E>> {
        let (mut node, mut at) = (&self.root, 0);
        loop {
            let branch = match Place::of(pattern, at, &self.seed) {
                Place::End => return node.end.as_ref(),
                Place::Gt => return node.gt.as_ref(),
                place => node.branch(&place, at)?,
            };
            match branch {
                Branch::Leaf(members) => return (members.subject() == pattern).then_some(members),
                Branch::Node(next) if leads(&next.label, pattern, at) => {
                    (node, at) = (next, at + next.label.len() + 1);
                }
                Branch::Node(_) => return None,
            }
        }
    }
}

/// Adds to a bucket that may not exist yet.
fn add<E: Entry>(bucket: &mut Option<Members<E>>, entry: E) {
    match bucket {
        Some(members) => members.insert(entry),
        None => *bucket = Some(Members::one(0, entry)),
    }
}

/// Takes an entry out of a bucket that goes with its last one; whether it was there.
fn take<E: Entry>(bucket: &mut Option<Members<E>>, entry: &E) -> bool {
    match bucket.as_mut().map_or(Removed::No, |members| members.remove(entry)) {
        Removed::No => return false,
        Removed::Yes => {}
        Removed::Last => *bucket = None,
    }
    true
}

/// Whether `pattern`, from byte `at` on, starts with the tokens of `label`.
fn leads(label: &[u8], pattern: &[u8], at: usize) -> bool {
    let rest = pattern.get(at..).and_then(|rest| rest.strip_prefix(label));
    matches!(rest, Some([] | [b'.', ..]))
}
