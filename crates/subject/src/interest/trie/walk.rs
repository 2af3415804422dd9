//! Walks of the trie: what matches, covers or overlaps.

use smallvec::SmallVec;

use super::node::{Branch, Node, Place};
use super::{Entry, Members, Trie};
use crate::pattern::{self, split_token};

/// Branches put aside during a lookup without touching the heap.
const INLINE_BRANCHES: usize = 16;

/// A branch whose first token has been matched already.
struct Entered<'t, 's, E> {
    branch: &'t Branch<E>,
    /// Where in the patterns below the branch its label starts.
    at: usize,
    /// Length of the label's first token.
    token: usize,
    /// What the rest of the label and all below it are compared with.
    rest: Option<&'s [u8]>,
}

/// A branch still to be taken.
struct Todo<'t, 's, E> {
    branch: &'t Branch<E>,
    /// Where in the patterns below the branch its label starts.
    at: usize,
    /// What the label and all below it are compared with.
    rest: &'s [u8],
}

impl<E: Entry> Trie<E> {
    /// Every bucket whose pattern matches the literal `subject`.
    pub(in super::super) fn matches<'t>(&'t self, subject: &[u8], mut f: impl FnMut(&'t Members<E>)) {
        let mut aside: SmallVec<[Entered<'t, '_, E>; INLINE_BRANCHES]> = SmallVec::new();
        let mut here = Some((&self.root, 0, Some(subject)));
        loop {
            let mut next = None;
            if let Some((node, at, rest)) = here.take() {
                let held = if rest.is_some() { &node.gt } else { &node.end };
                visit_bucket(held, &mut f);
                let place = rest.map_or(Place::End, |rest| Place::of(rest, 0, &self.seed));
                let rest = rest.and_then(|rest| split_token(rest).1);
                if let Place::Literal { token, .. } = place {
                    let branch = node.branch(&place, at);
                    next = branch.map(|branch| Entered { branch, at, token: token.len(), rest });
                }
                if let (Place::Literal { .. } | Place::Star, Some(branch)) = (place, &node.star) {
                    aside.push(Entered { branch, at, token: 1, rest });
                }
            }
            let Some(Entered { branch, at, token, rest }) = next.or_else(|| aside.pop()) else {
                return;
            };
            let label = branch.label(at).get(token + 1..);
            match branch {
                Branch::Leaf(members) => {
                    if pattern::rest_covers(label, rest) {
                        f(members);
                    }
                }
                Branch::Node(node) => {
                    here = pattern::strip_covered_label(label, rest)
                        .map(|rest| (&**node, at + node.label.len() + 1, rest));
                }
            }
        }
    }

    /// Every bucket.
    pub(in super::super) fn for_each<'t>(&'t self, mut f: impl FnMut(&'t Members<E>)) {
        self.root.visit(&mut f);
    }

    /// Every bucket whose pattern has a subject in common with `pattern`.
    pub(in super::super) fn overlapping<'t>(&'t self, pattern: &[u8], mut f: impl FnMut(&'t Members<E>)) {
        let mut todo: Vec<Todo<'t, '_, E>> = Vec::new();
        let mut here = Some((&self.root, 0, Some(pattern)));
        loop {
            match here.take() {
                Some((node, _, None)) => visit_bucket(&node.end, &mut f),
                Some((node, at, Some(rest))) => {
                    visit_bucket(&node.gt, &mut f);
                    let mut push = |branch| todo.push(Todo { branch, at, rest });
                    node.star.iter().for_each(&mut push);
                    match Place::of(rest, 0, &self.seed) {
                        Place::Star | Place::Gt => node.literals.iter().for_each(&mut push),
                        place => node.branch(&place, at).into_iter().for_each(&mut push),
                    }
                }
                None => {}
            }
            let Some(Todo { branch, at, rest }) = todo.pop() else { return };
            match branch {
                Branch::Leaf(members) if pattern::overlaps(branch.label(at), rest) => f(members),
                Branch::Leaf(_) => {}
                Branch::Node(node) => match strip_overlapping_label(&node.label, rest) {
                    Overlap::None => {}
                    Overlap::All => node.visit(&mut f),
                    Overlap::Then(rest) => here = Some((node, at + node.label.len() + 1, rest)),
                },
            }
        }
    }
}

impl<E: Entry> Node<E> {
    /// Every bucket at and below this node.
    fn visit<'t>(&'t self, f: &mut impl FnMut(&'t Members<E>)) {
        let mut nodes = vec![self];
        while let Some(node) = nodes.pop() {
            visit_bucket(&node.end, f);
            visit_bucket(&node.gt, f);
            for branch in node.literals.iter().chain(&node.star) {
                match branch {
                    Branch::Leaf(members) => f(members),
                    Branch::Node(node) => nodes.push(node),
                }
            }
        }
    }
}

fn visit_bucket<'t, E>(bucket: &'t Option<Members<E>>, f: &mut impl FnMut(&'t Members<E>)) {
    if let Some(members) = bucket {
        f(members);
    }
}

/// How a pattern goes on after a label it was compared with.
enum Overlap<'a> {
    /// The label has no subject in common with it.
    None,
    /// All that starts with the label does: the pattern's `>` was reached.
    All,
    /// What is left of the pattern.
    Then(Option<&'a [u8]>),
}

fn strip_overlapping_label<'a>(label: &[u8], pattern: &'a [u8]) -> Overlap<'a> {
    let mut rest = Some(pattern);
    for token in pattern::Tokens::new(label) {
        let Some(text) = rest else { return Overlap::None };
        if text == b">" {
            return Overlap::All;
        }
        let (want, next) = split_token(text);
        if want != token && want != b"*" && token != b"*" {
            return Overlap::None;
        }
        rest = next;
    }
    Overlap::Then(rest)
}
