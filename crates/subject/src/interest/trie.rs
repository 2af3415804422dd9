//! The entries whose pattern has a wildcard: a trie by token.
//!
//! Every walk keeps its own stack: a pattern may have as many tokens as a control line holds, and
//! the stack of a thread is not to be measured by it.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::Entry;
use super::bucket::{Members, Removed};
use crate::pattern::{Tokens, split_token};

/// A node with more children than this finds them by hash.
const LINEAR_CHILDREN: usize = 8;

/// Branches put aside during a lookup without touching the heap.
const INLINE_BRANCHES: usize = 16;

/// Members by pattern.
pub(super) struct Trie<E> {
    root: Node<E>,
    seed: RandomState,
    /// Number of entries.
    len: usize,
}

/// What follows one sequence of pattern tokens.
struct Node<E> {
    /// The literal token that leads here from the parent.
    token: Box<[u8]>,
    children: Children<E>,
    /// What follows the token `*`.
    star: Option<Box<Node<E>>>,
    /// The patterns that go on with `>`.
    gt: Option<Members<E>>,
    /// The patterns that end here.
    end: Option<Members<E>>,
}

enum Children<E> {
    Few(Vec<Box<Node<E>>>),
    Many(Box<HashTable<Box<Node<E>>>>),
}

/// The edge a walk takes for one token of a pattern.
#[derive(Clone, Copy)]
enum Step<'a> {
    Literal(&'a [u8]),
    Star,
    Gt,
}

impl<'a> Step<'a> {
    fn of(token: &'a [u8], is_last: bool) -> Self {
        match token {
            b"*" => Self::Star,
            b">" if is_last => Self::Gt,
            _ => Self::Literal(token),
        }
    }
}

/// A branch of a walk still to be taken: a node, and what is left to match below it.
type Branch<'t, 's, E> = (&'t Node<E>, Option<&'s [u8]>);

impl<E: Entry> Trie<E> {
    pub(super) fn new() -> Self {
        Self { root: Node::new(&[]), seed: RandomState::default(), len: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn insert(&mut self, entry: E) {
        let bucket = self.root.bucket_or_grow(entry.subject(), &self.seed);
        match bucket {
            Some(members) => members.insert(entry.clone()),
            None => *bucket = Some(Members::one(0, entry.clone())),
        }
        self.len += 1;
    }

    pub(super) fn remove(&mut self, entry: &E) -> bool {
        let Some(bucket) = self.root.bucket_mut(entry.subject(), &self.seed) else { return false };
        match bucket.as_mut().map_or(Removed::No, |members| members.remove(entry)) {
            Removed::No => return false,
            Removed::Yes => {}
            Removed::Last => {
                *bucket = None;
                self.prune(entry.subject());
            }
        }
        self.len -= 1;
        true
    }

    pub(super) fn get(&self, pattern: &[u8]) -> Option<&Members<E>> {
        let mut node = &self.root;
        let mut tokens = Tokens::new(pattern);
        while let Some(token) = tokens.next() {
            node = match Step::of(token, tokens.rest().is_none()) {
                Step::Gt => return node.gt.as_ref(),
                Step::Star => node.star.as_deref()?,
                Step::Literal(token) => node.children.get(token, &self.seed)?,
            };
        }
        node.end.as_ref()
    }

    /// Every bucket whose pattern matches the literal `subject`.
    pub(super) fn matches<'t>(&'t self, subject: &[u8], mut f: impl FnMut(&'t Members<E>)) {
        self.walk(subject, |members| {
            f(members);
            false
        });
    }

    pub(super) fn has_match(&self, subject: &[u8]) -> bool {
        self.walk(subject, |_| true)
    }

    /// Visits the buckets that match until `stop` says so; whether it did.
    fn walk<'t>(&'t self, subject: &[u8], mut stop: impl FnMut(&'t Members<E>) -> bool) -> bool {
        let mut aside: SmallVec<[Branch<'t, '_, E>; INLINE_BRANCHES]> = SmallVec::new();
        let mut next = Some((&self.root, Some(subject)));
        while let Some((node, rest)) = next.take().or_else(|| aside.pop()) {
            let Some(rest) = rest else {
                if node.end.as_ref().is_some_and(&mut stop) {
                    return true;
                }
                continue;
            };
            if node.gt.as_ref().is_some_and(&mut stop) {
                return true;
            }
            let (token, rest) = split_token(rest);
            if let Some(star) = &node.star {
                aside.push((star, rest));
            }
            next = node.children.get(token, &self.seed).map(|child| (child, rest));
        }
        false
    }

    /// Whether a single pattern here covers `pattern`.
    pub(super) fn has_cover(&self, pattern: &[u8]) -> bool {
        let mut aside: SmallVec<[Branch<'_, '_, E>; INLINE_BRANCHES]> = SmallVec::new();
        let mut next = Some((&self.root, Some(pattern)));
        while let Some((node, rest)) = next.take().or_else(|| aside.pop()) {
            let Some(rest) = rest else {
                if node.end.is_some() {
                    return true;
                }
                continue;
            };
            if node.gt.is_some() {
                return true;
            }
            let (token, rest) = split_token(rest);
            let step = Step::of(token, rest.is_none());
            if let (Step::Literal(_) | Step::Star, Some(star)) = (step, &node.star) {
                aside.push((star, rest));
            }
            if let Step::Literal(token) = step {
                next = node.children.get(token, &self.seed).map(|child| (child, rest));
            }
        }
        false
    }

    pub(super) fn for_each<'t>(&'t self, mut f: impl FnMut(&'t Members<E>)) {
        self.root.visit_below(&mut f);
    }

    /// Every bucket whose pattern has a subject in common with `pattern`.
    pub(super) fn overlapping<'t>(&'t self, pattern: &[u8], mut f: impl FnMut(&'t Members<E>)) {
        let mut aside: Vec<Branch<'t, '_, E>> = vec![(&self.root, Some(pattern))];
        while let Some((node, rest)) = aside.pop() {
            let Some(rest) = rest else {
                node.end.as_ref().map(&mut f);
                continue;
            };
            let (token, rest) = split_token(rest);
            let step = Step::of(token, rest.is_none());
            if matches!(step, Step::Gt) {
                node.next_nodes(|next| {
                    next.end.as_ref().map(&mut f);
                    next.visit_below(&mut f);
                });
                node.gt.as_ref().map(&mut f);
                continue;
            }
            node.gt.as_ref().map(&mut f);
            match step {
                Step::Literal(token) => {
                    aside.extend(node.star.as_deref().map(|star| (star, rest)));
                    aside.extend(node.children.get(token, &self.seed).map(|child| (child, rest)));
                }
                _ => node.next_nodes(|next| aside.push((next, rest))),
            }
        }
    }

    /// Cuts off what the path of `pattern` no longer needs, now that its bucket is empty.
    fn prune(&mut self, pattern: &[u8]) {
        // How many steps the path must keep: up to the last node that holds something else.
        let (mut keep, mut depth) = (0, 0);
        let mut node = &self.root;
        let mut tokens = Tokens::new(pattern);
        while let Some(token) = tokens.next() {
            let next = match Step::of(token, tokens.rest().is_none()) {
                Step::Gt => None,
                Step::Star => node.star.as_deref(),
                Step::Literal(token) => node.children.get(token, &self.seed),
            };
            let Some(next) = next else { break };
            if !node.is_chain() {
                keep = depth;
            }
            node = next;
            depth += 1;
        }
        if node.is_empty() {
            self.root.cut(pattern, keep, &self.seed);
        }
    }
}

impl<E: Entry> Node<E> {
    fn new(token: &[u8]) -> Self {
        Self { token: token.into(), children: Children::Few(Vec::new()), star: None, gt: None, end: None }
    }

    /// Nothing ends here and nothing follows.
    fn is_empty(&self) -> bool {
        self.end.is_none() && self.gt.is_none() && self.star.is_none() && self.children.len() == 0
    }

    /// Nothing ends here and a single thing follows.
    fn is_chain(&self) -> bool {
        self.end.is_none() && self.gt.is_none() && self.children.len() + usize::from(self.star.is_some()) == 1
    }

    /// The place of `pattern`'s members below this node, with the path to it.
    fn bucket_or_grow(&mut self, pattern: &[u8], seed: &RandomState) -> &mut Option<Members<E>> {
        let mut node = self;
        let mut tokens = Tokens::new(pattern);
        while let Some(token) = tokens.next() {
            node = match Step::of(token, tokens.rest().is_none()) {
                Step::Gt => return &mut node.gt,
                Step::Star => node.star.get_or_insert_with(|| Box::new(Self::new(&[]))),
                Step::Literal(token) => node.children.get_or_insert(token, seed),
            };
        }
        &mut node.end
    }

    fn bucket_mut(&mut self, pattern: &[u8], seed: &RandomState) -> Option<&mut Option<Members<E>>> {
        let mut node = self;
        let mut tokens = Tokens::new(pattern);
        while let Some(token) = tokens.next() {
            node = match Step::of(token, tokens.rest().is_none()) {
                Step::Gt => return Some(&mut node.gt),
                Step::Star => node.star.as_deref_mut()?,
                Step::Literal(token) => node.children.get_mut(token, seed)?,
            };
        }
        Some(&mut node.end)
    }

    /// Drops the branch of `pattern` that starts `keep` steps below this node.
    fn cut(&mut self, pattern: &[u8], keep: usize, seed: &RandomState) {
        let mut node = self;
        for (depth, token) in Tokens::new(pattern).enumerate() {
            let is_star = token == b"*";
            if depth == keep {
                if is_star {
                    node.star = None;
                } else {
                    node.children.remove(token, seed);
                }
                return;
            }
            let next = if is_star { node.star.as_deref_mut() } else { node.children.get_mut(token, seed) };
            let Some(next) = next else { return };
            node = next;
        }
    }

    /// The nodes one token further on.
    fn next_nodes<'t>(&'t self, mut f: impl FnMut(&'t Self)) {
        self.children.iter().chain(self.star.as_deref()).for_each(&mut f);
    }

    /// Every bucket below this node; not the one for patterns that end at it.
    fn visit_below<'t>(&'t self, f: &mut impl FnMut(&'t Members<E>)) {
        let mut nodes = vec![self];
        self.gt.as_ref().map(&mut *f);
        while let Some(node) = nodes.pop() {
            node.next_nodes(|next| {
                next.end.as_ref().map(&mut *f);
                next.gt.as_ref().map(&mut *f);
                nodes.push(next);
            });
        }
    }
}

impl<E> Drop for Node<E> {
    /// Takes a long chain of nodes apart without recursion.
    fn drop(&mut self) {
        let mut nodes = Vec::new();
        self.dismantle(&mut nodes);
        while let Some(mut node) = nodes.pop() {
            node.dismantle(&mut nodes);
        }
    }
}

impl<E> Node<E> {
    fn dismantle(&mut self, into: &mut Vec<Box<Self>>) {
        into.extend(self.star.take());
        match std::mem::replace(&mut self.children, Children::Few(Vec::new())) {
            Children::Few(list) => into.extend(list),
            Children::Many(table) => into.extend(*table),
        }
    }
}

impl<E> Children<E> {
    fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(table) => table.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Node<E>> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list.iter()), None),
            Self::Many(table) => (None, Some(table.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).map(|node| &**node)
    }

    #[inline]
    fn get(&self, token: &[u8], seed: &RandomState) -> Option<&Node<E>> {
        match self {
            Self::Few(list) => list.iter().find(|node| *node.token == *token),
            Self::Many(table) => table.find(seed.hash_one(token), |node| *node.token == *token),
        }
        .map(|node| &**node)
    }

    fn get_mut(&mut self, token: &[u8], seed: &RandomState) -> Option<&mut Node<E>> {
        match self {
            Self::Few(list) => list.iter_mut().find(|node| *node.token == *token),
            Self::Many(table) => table.find_mut(seed.hash_one(token), |node| *node.token == *token),
        }
        .map(|node| &mut **node)
    }
}

impl<E: Entry> Children<E> {
    fn get_or_insert(&mut self, token: &[u8], seed: &RandomState) -> &mut Node<E> {
        if let Self::Few(list) = self
            && list.len() >= LINEAR_CHILDREN
            && !list.iter().any(|node| *node.token == *token)
        {
            let mut table = Box::new(HashTable::with_capacity(2 * LINEAR_CHILDREN));
            for node in list.drain(..) {
                table.insert_unique(seed.hash_one(&*node.token), node, |node: &Box<Node<E>>| {
                    seed.hash_one(&*node.token)
                });
            }
            *self = Self::Many(table);
        }
        match self {
            Self::Few(list) => {
                let at = list.iter().position(|node| *node.token == *token).unwrap_or_else(|| {
                    list.push(Box::new(Node::new(token)));
                    list.len() - 1
                });
                &mut list[at]
            }
            Self::Many(table) => table
                .entry(seed.hash_one(token), |node| *node.token == *token, |node| seed.hash_one(&*node.token))
                .or_insert_with(|| Box::new(Node::new(token)))
                .into_mut(),
        }
    }

    fn remove(&mut self, token: &[u8], seed: &RandomState) {
        match self {
            Self::Few(list) => list.retain(|node| *node.token != *token),
            Self::Many(table) => {
                if let Ok(slot) = table.find_entry(seed.hash_one(token), |node| *node.token == *token) {
                    slot.remove();
                }
                if table.len() <= LINEAR_CHILDREN / 2 {
                    let table = std::mem::take(&mut **table);
                    *self = Self::Few(table.into_iter().collect());
                } else if table.len() < table.capacity() / 8 {
                    table.shrink_to(table.len() * 2, |node| seed.hash_one(&*node.token));
                }
            }
        }
    }
}
