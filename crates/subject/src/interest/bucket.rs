//! The members of one pattern: a single entry in place, or plain and queue members in lists.

use std::hash::BuildHasher;
use std::slice;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Entry;

/// Lists longer than this keep an index from key to position, so that taking one member out of
/// very many does not mean looking at all of them.
const INDEX_ABOVE: usize = 64;

/// The entries that share one pattern; never empty.
pub struct Members<E> {
    repr: Repr<E>,
}

/// The hash sits in what would otherwise be padding beside the discriminant.
enum Repr<E> {
    One { hash: u32, entry: E },
    Many { hash: u32, lists: Box<Lists<E>> },
}

struct Lists<E> {
    plain: List<E>,
    queues: List<Group<E>>,
}

/// One queue group; never empty.
struct Group<E> {
    members: List<E>,
}

/// What a removal left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// There was no such entry.
    No,
    /// The entry is out and others remain.
    Yes,
    /// The entry was the only one: the bucket itself must go now.
    Last,
}

impl<E: Entry> std::fmt::Debug for Members<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<E: Entry> Members<E> {
    pub(super) fn one(hash: u32, entry: E) -> Self {
        Self { repr: Repr::One { hash, entry } }
    }

    /// Members outside any queue group: each gets every message.
    #[must_use]
    #[inline]
    pub fn plain(&self) -> &[E] {
        match &self.repr {
            Repr::One { entry, .. } if entry.queue().is_none() => slice::from_ref(entry),
            Repr::One { .. } => &[],
            Repr::Many { lists, .. } => &lists.plain.items,
        }
    }

    /// The queue groups by name with their members: one member of each gets a message. No group is
    /// empty.
    #[inline]
    pub fn queues(&self) -> impl Iterator<Item = (&[u8], &[E])> {
        let (alone, groups) = match &self.repr {
            Repr::One { entry, .. } => (entry.queue().map(|name| (name, slice::from_ref(entry))), &[][..]),
            Repr::Many { lists, .. } => (None, &lists.queues.items[..]),
        };
        alone.into_iter().chain(groups.iter().map(|group| (group.name(), &group.members.items[..])))
    }

    /// Number of entries, queue members included.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::One { .. } => 1,
            Repr::Many { lists, .. } => lists.len(),
        }
    }

    /// Always false: a bucket goes with its last entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pattern all members share.
    #[must_use]
    #[inline]
    pub fn subject(&self) -> &[u8] {
        match &self.repr {
            Repr::One { entry, .. } => entry.subject(),
            Repr::Many { lists, .. } => lists.subject(),
        }
    }

    /// Every entry, plain ones first.
    pub(super) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a E)) {
        self.plain().iter().for_each(&mut *f);
        self.queues().for_each(|(_, members)| members.iter().for_each(&mut *f));
    }

    #[inline]
    pub(super) fn hash(&self) -> u32 {
        match &self.repr {
            Repr::One { hash, .. } | Repr::Many { hash, .. } => *hash,
        }
    }

    pub(super) fn set_hash(&mut self, new: u32) {
        match &mut self.repr {
            Repr::One { hash, .. } | Repr::Many { hash, .. } => *hash = new,
        }
    }

    pub(super) fn insert(&mut self, added: E) {
        match &mut self.repr {
            Repr::One { hash, entry } => {
                debug_assert!(entry.id() != added.id(), "an entry is inserted once");
                let mut lists = Box::new(Lists { plain: List::new(), queues: List::new() });
                lists.insert(entry.clone());
                lists.insert(added);
                self.repr = Repr::Many { hash: *hash, lists };
            }
            Repr::Many { lists, .. } => lists.insert(added),
        }
    }

    pub(super) fn remove(&mut self, gone: &E) -> Removed {
        match &mut self.repr {
            Repr::One { entry, .. } if entry.id() == gone.id() => Removed::Last,
            Repr::One { .. } => Removed::No,
            Repr::Many { hash, lists } => {
                if !lists.remove(gone) {
                    return Removed::No;
                }
                if let Some(entry) = lists.only() {
                    self.repr = Repr::One { hash: *hash, entry: entry.clone() };
                }
                Removed::Yes
            }
        }
    }
}

impl<E: Entry> Lists<E> {
    fn len(&self) -> usize {
        self.plain.items.len()
            + self.queues.items.iter().map(|group| group.members.items.len()).sum::<usize>()
    }

    fn first(&self) -> Option<&E> {
        self.plain.items.first().or_else(|| self.queues.items.first()?.members.items.first())
    }

    fn subject(&self) -> &[u8] {
        self.first().map_or(&[], Entry::subject)
    }

    /// The one entry that is left, if only one is.
    fn only(&self) -> Option<&E> {
        match (&self.plain.items[..], &self.queues.items[..]) {
            ([entry], []) => Some(entry),
            ([], [group]) if group.members.items.len() == 1 => group.members.items.first(),
            _ => None,
        }
    }

    fn insert(&mut self, entry: E) {
        let Some(name) = entry.queue() else {
            self.plain.push(entry);
            return;
        };
        if let Some(at) = self.queues.position(Key::Name(name)) {
            self.queues.items[at].members.push(entry);
        } else {
            let mut members = List::new();
            members.push(entry);
            self.queues.push(Group { members });
        }
    }

    fn remove(&mut self, entry: &E) -> bool {
        let id = Key::Id(entry.id());
        let Some(name) = entry.queue() else { return self.plain.remove(id) };
        let Some(at) = self.queues.position(Key::Name(name)) else { return false };
        let members = &mut self.queues.items[at].members;
        match &members.items[..] {
            // The group goes with its last member, while that one still lends it its name.
            [last] if last.id() == entry.id() => self.queues.remove(Key::Name(name)),
            _ => members.remove(id),
        }
    }
}

impl<E: Entry> Group<E> {
    fn name(&self) -> &[u8] {
        self.members.items.first().and_then(Entry::queue).unwrap_or_default()
    }
}

/// What tells the items of one list apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Id(u64),
    Name(&'a [u8]),
}

trait Keyed {
    fn key(&self) -> Key<'_>;
}

impl<E: Entry> Keyed for E {
    fn key(&self) -> Key<'_> {
        Key::Id(self.id())
    }
}

impl<E: Entry> Keyed for Group<E> {
    fn key(&self) -> Key<'_> {
        Key::Name(self.name())
    }
}

/// Items in no particular order, found by key: by looking at each while they are few.
struct List<T> {
    items: Vec<T>,
    index: Option<Box<Index>>,
}

/// Positions in a list by the key of the item there.
struct Index {
    positions: HashTable<u32>,
    seed: RandomState,
}

impl<T> List<T> {
    fn new() -> Self {
        Self { items: Vec::new(), index: None }
    }
}

impl<T: Keyed> List<T> {
    fn position(&self, key: Key<'_>) -> Option<usize> {
        match &self.index {
            None => self.items.iter().position(|item| item.key() == key),
            Some(index) => index.find(&self.items, key),
        }
    }

    fn push(&mut self, item: T) {
        self.items.push(item);
        match &mut self.index {
            Some(index) => index.add(&self.items, self.items.len() - 1),
            None if self.items.len() > INDEX_ABOVE => {
                let mut index = Box::new(Index { positions: HashTable::new(), seed: RandomState::default() });
                (0..self.items.len()).for_each(|at| index.add(&self.items, at));
                self.index = Some(index);
            }
            None => {}
        }
    }

    fn remove(&mut self, key: Key<'_>) -> bool {
        let Some(at) = self.position(key) else { return false };
        if let Some(index) = &mut self.index {
            index.swap_remove(&self.items, at);
        }
        self.items.swap_remove(at);
        match &mut self.index {
            Some(_) if self.items.len() <= INDEX_ABOVE / 2 => self.index = None,
            Some(index) => index.shrink(&self.items),
            None => {}
        }
        if self.items.len() < self.items.capacity() / 8 {
            self.items.shrink_to(self.items.len() * 2);
        }
        true
    }
}

impl Index {
    fn hash(&self, key: Key<'_>) -> u64 {
        self.seed.hash_one(key)
    }

    fn find<T: Keyed>(&self, items: &[T], key: Key<'_>) -> Option<usize> {
        let same = |&at: &u32| items[at as usize].key() == key;
        self.positions.find(self.hash(key), same).map(|&at| at as usize)
    }

    fn add<T: Keyed>(&mut self, items: &[T], at: usize) {
        let Self { positions, seed } = self;
        let hash = |&at: &u32| seed.hash_one(items[at as usize].key());
        let at = at as u32;
        positions.insert_unique(hash(&at), at, hash);
    }

    /// Follows what `Vec::swap_remove(at)` is about to do to `items`.
    fn swap_remove<T: Keyed>(&mut self, items: &[T], at: usize) {
        let last = items.len() - 1;
        let at = at as u32;
        let hash = self.hash(items[at as usize].key());
        if let Ok(slot) = self.positions.find_entry(hash, |&position| position == at) {
            slot.remove();
        }
        let hash = self.hash(items[last].key());
        if let Some(moved) = self.positions.find_mut(hash, |&position| position as usize == last) {
            *moved = at;
        }
    }

    /// Gives memory back after most items went.
    fn shrink<T: Keyed>(&mut self, items: &[T]) {
        let Self { positions, seed } = self;
        if positions.len() < positions.capacity() / 8 {
            positions.shrink_to(positions.len() * 2, |&at| seed.hash_one(items[at as usize].key()));
        }
    }
}
