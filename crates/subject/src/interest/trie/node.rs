//! The nodes of the trie: where they branch, how they split and grow together again.

use hashbrown::HashTable;

use super::super::Entry;
use super::super::bucket::{Members, Removed};
use super::super::hash::{Seed, spread};
use crate::pattern::split_token;

/// Below this many slots a table is never made smaller: it would only grow again.
const SHRINK_ABOVE: usize = 16;

/// A place where patterns part. Other than the root, a node holds at least two things.
pub(super) struct Node<E> {
    /// The tokens between the node above and this one, at least one, dots between. There may be `*`
    /// among them, never `>`. Empty for the root.
    pub(super) label: Box<[u8]>,
    /// Hash of the label's first token.
    hash: u32,
    /// What goes on with a literal token, by that token.
    pub(super) literals: HashTable<Branch<E>>,
    /// What goes on with `*`.
    pub(super) star: Option<Branch<E>>,
    /// What goes on with `>`, and so ends.
    pub(super) gt: Option<Members<E>>,
    /// What ends here.
    pub(super) end: Option<Members<E>>,
}

/// What goes on from a node.
pub(super) enum Branch<E> {
    /// A single pattern; its label is the rest of its text.
    Leaf(Members<E>),
    /// Several.
    Node(Box<Node<E>>),
}

/// Where in a node a pattern goes on.
pub(super) enum Place<'a> {
    End,
    Gt,
    Star,
    Literal { hash: u32, token: &'a [u8] },
}

impl<'a> Place<'a> {
    /// The place for `pattern` in a node that starts at its byte `at`; one past the end (where the
    /// next dot would have been) when the pattern is used up.
    #[inline]
    pub(super) fn of(pattern: &'a [u8], at: usize, seed: &Seed) -> Self {
        match pattern.get(at..).map(split_token) {
            None => Self::End,
            Some((b">", None)) => Self::Gt,
            Some((b"*", _)) => Self::Star,
            Some((token, _)) => Self::Literal { hash: seed.hash(token), token },
        }
    }
}

impl<E: Entry> Node<E> {
    pub(super) fn new(hash: u32, label: &[u8]) -> Self {
        Self { label: label.into(), hash, literals: HashTable::new(), star: None, gt: None, end: None }
    }

    /// The branch at a place, in a node that starts at byte `at` of its patterns.
    #[inline]
    pub(super) fn branch(&self, place: &Place<'_>, at: usize) -> Option<&Branch<E>> {
        match *place {
            Place::End | Place::Gt => None,
            Place::Star => self.star.as_ref(),
            Place::Literal { hash, token } => {
                self.literals.find(spread(hash), |branch| branch.starts_with(hash, token, at))
            }
        }
    }

    pub(super) fn branch_mut(&mut self, place: &Place<'_>, at: usize) -> Option<&mut Branch<E>> {
        match *place {
            Place::End | Place::Gt => None,
            Place::Star => self.star.as_mut(),
            Place::Literal { hash, token } => {
                self.literals.find_mut(spread(hash), |branch| branch.starts_with(hash, token, at))
            }
        }
    }

    /// Takes out an entry this node holds itself; `None` when its pattern goes on in a node below.
    pub(super) fn take(&mut self, entry: &E, at: usize, seed: &Seed) -> Option<bool> {
        match Place::of(entry.subject(), at, seed) {
            Place::End => Some(super::take(&mut self.end, entry)),
            Place::Gt => Some(super::take(&mut self.gt, entry)),
            Place::Star => {
                let removed = self.star.as_mut().map_or(Some(Removed::No), |star| star.take(entry))?;
                if removed == Removed::Last {
                    self.star = None;
                }
                Some(removed != Removed::No)
            }
            Place::Literal { hash, token } => {
                let same = |branch: &Branch<E>| branch.starts_with(hash, token, at);
                let Ok(mut slot) = self.literals.find_entry(spread(hash), same) else { return Some(false) };
                let removed = slot.get_mut().take(entry)?;
                if removed == Removed::Last {
                    slot.remove();
                    self.shrink();
                }
                Some(removed != Removed::No)
            }
        }
    }

    /// Puts a branch in its place, which must be free. The node starts at byte `at`.
    pub(super) fn adopt(&mut self, mut branch: Branch<E>, at: usize, seed: &Seed) {
        let place = Place::of(branch.label(at), 0, seed);
        if let Place::Literal { hash, .. } = place {
            branch.set_hash(hash);
            self.literals.insert_unique(spread(hash), branch, |branch| spread(branch.hash()));
        } else if matches!(place, Place::Star) {
            self.star = Some(branch);
        } else if let Branch::Leaf(members) = branch {
            self.gt = Some(members);
        }
    }

    /// Number of things held.
    fn count(&self) -> usize {
        self.literals.len()
            + usize::from(self.star.is_some())
            + usize::from(self.gt.is_some())
            + usize::from(self.end.is_some())
    }

    /// Gives memory back after most branches went; by eighths, so that the work stays amortised.
    fn shrink(&mut self) {
        let (len, capacity) = (self.literals.len(), self.literals.capacity());
        if capacity > SHRINK_ABOVE && len < capacity / 8 {
            self.literals.shrink_to(len * 2, |branch| spread(branch.hash()));
        }
    }
}

impl<E: Entry> Branch<E> {
    /// The tokens between the node above, which starts at byte `at` of its patterns, and this.
    #[inline]
    pub(super) fn label(&self, at: usize) -> &[u8] {
        match self {
            Self::Leaf(members) => members.subject().get(at..).unwrap_or_default(),
            Self::Node(node) => &node.label,
        }
    }

    fn hash(&self) -> u32 {
        match self {
            Self::Leaf(members) => members.hash(),
            Self::Node(node) => node.hash,
        }
    }

    fn set_hash(&mut self, hash: u32) {
        match self {
            Self::Leaf(members) => members.set_hash(hash),
            Self::Node(node) => node.hash = hash,
        }
    }

    /// Whether `token` is the label's first.
    #[inline]
    fn starts_with(&self, hash: u32, token: &[u8], at: usize) -> bool {
        self.hash() == hash && super::leads(token, self.label(at), 0)
    }

    /// Takes an entry out of a leaf; `None` when there is a node to look in instead.
    fn take(&mut self, entry: &E) -> Option<Removed> {
        match self {
            Self::Leaf(members) if members.subject() == entry.subject() => Some(members.remove(entry)),
            Self::Leaf(_) => Some(Removed::No),
            Self::Node(_) => None,
        }
    }

    /// Length of the leading tokens the label shares with `pattern` from byte `at` on.
    pub(super) fn shared(&self, pattern: &[u8], at: usize) -> usize {
        let label = self.label(at);
        let rest = pattern.get(at..).unwrap_or_default();
        let same = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let ends = |text: &[u8]| matches!(text.get(same), None | Some(b'.'));
        if ends(label) && ends(rest) {
            return same;
        }
        // The last token is shared in part only: leave it out, with its dot.
        label[..same].iter().rposition(|&byte| byte == b'.').unwrap_or(0)
    }

    /// Puts a node in this branch's place that holds what follows the label's first `shared` bytes,
    /// a whole number of tokens.
    pub(super) fn split(&mut self, shared: usize, at: usize, seed: &Seed) {
        let node = Box::new(Node::new(self.hash(), &self.label(at)[..shared]));
        let mut old = std::mem::replace(self, Self::Node(node));
        let Self::Node(node) = self else { return };
        let below = at + shared + 1;
        match &mut old {
            Self::Node(old) => old.label = old.label[shared + 1..].into(),
            // A pattern that ends where the others go on.
            Self::Leaf(members) if members.subject().len() < below => {
                if let Self::Leaf(members) = old {
                    node.end = Some(members);
                }
                return;
            }
            Self::Leaf(_) => {}
        }
        node.adopt(old, below, seed);
    }

    /// Puts the only thing a node still holds in the node's place.
    pub(super) fn collapse(&mut self) {
        let Self::Node(node) = self else { return };
        if node.count() != 1 {
            return;
        }
        let ended = node.end.take().or_else(|| node.gt.take()).map(Self::Leaf);
        let Some(mut only) = ended.or_else(|| node.star.take()).or_else(|| node.literals.drain().next())
        else {
            return;
        };
        if let Self::Node(below) = &mut only {
            below.label = [&node.label, &below.label[..]].join(&b'.').into();
        }
        only.set_hash(node.hash);
        *self = only;
    }
}

impl<E> Drop for Node<E> {
    /// Takes a long chain of nodes apart without recursion.
    fn drop(&mut self) {
        let mut nodes = Vec::new();
        self.empty_into(&mut nodes);
        while let Some(mut node) = nodes.pop() {
            node.empty_into(&mut nodes);
        }
    }
}

impl<E> Node<E> {
    fn empty_into(&mut self, nodes: &mut Vec<Box<Self>>) {
        let branches = std::mem::take(&mut self.literals).into_iter().chain(self.star.take());
        nodes.extend(branches.filter_map(|branch| match branch {
            Branch::Node(node) => Some(node),
            Branch::Leaf(_) => None,
        }));
    }
}
