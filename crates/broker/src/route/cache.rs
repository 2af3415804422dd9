//! The routes one connection has used lately.
//!
//! The last subject is kept as it is; a subject seen a second time moves into the table; subjects that are
//! used once (inboxes, acknowledgements) never do.

use hashbrown::HashMap;

use super::{Query, Route};

/// Subjects kept per connection.
const KEPT: usize = 256;
/// Slots that remember which subjects were seen once.
const SEEN: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    /// The key of `last`.
    last_key: Vec<u8>,
    last: Route,
    table: Option<Box<Table>>,
}

#[derive(Debug)]
struct Table {
    /// Position in `routes`, by key.
    index: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    routes: Vec<Route>,
    seen: [u16; SEEN],
    generation: u64,
}

impl RouteCache {
    /// The route for a query, derived now or earlier in this generation. `key` is the subject, with the
    /// queues of a link's message appended. A route of generation 0 lasts until [`Self::forget_last`], and is not
    /// found by anybody who asks for another one.
    pub(crate) fn route(&mut self, key: &[u8], query: &Query<'_>, generation: u64) -> &Route {
        if self.last.generation == generation && self.last_key == key {
            return &self.last;
        }
        if generation == 0 || is_used_once(query.subject) {
            return self.derive_last(key, query, generation);
        }
        if self.last.generation != generation {
            // Out of date: it would keep alive who was connected then.
            self.last_key.clear();
            self.last.clear();
            self.last.generation = generation;
        }
        let table = self.table.get_or_insert_with(|| Box::new(Table::new(generation)));
        if table.generation != generation {
            table.clear();
            table.generation = generation;
        }
        let known = match table.index.get(key) {
            Some(at) => Some(*at),
            None => table.seen_before(key).then(|| table.keep(key, query)),
        };
        match known {
            Some(at) => self.table.as_ref().and_then(|table| table.routes.get(at)).unwrap_or(&self.last),
            None => self.derive_last(key, query, generation),
        }
    }

    fn derive_last(&mut self, key: &[u8], query: &Query<'_>, generation: u64) -> &Route {
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last.derive(query, generation);
        &self.last
    }

    /// Forgets the route at hand: of one derived for a single answer nobody can tell how old it is.
    pub(crate) fn forget_last(&mut self) {
        self.last_key.clear();
    }

    /// Lets go of everything: nothing is held for an idle connection, nor for one that has ended.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last_key.capacity() == 0 && self.table.is_none()
    }
}

impl Table {
    fn new(generation: u64) -> Self {
        Self { index: HashMap::default(), routes: Vec::new(), seen: [0; SEEN], generation }
    }

    fn clear(&mut self) {
        self.index.clear();
        self.routes.clear();
    }

    /// Derives a route and keeps it; returns its position.
    fn keep(&mut self, key: &[u8], query: &Query<'_>) -> usize {
        if self.routes.len() >= KEPT {
            self.clear();
        }
        let mut route = Route::default();
        route.derive(query, self.generation);
        self.routes.push(route);
        self.index.insert(key.into(), self.routes.len() - 1);
        self.routes.len() - 1
    }

    fn seen_before(&mut self, key: &[u8]) -> bool {
        use std::hash::BuildHasher;
        let hash = self.index.hasher().hash_one(key);
        let slot = &mut self.seen[(hash as usize) % SEEN];
        let tag = ((hash >> 48) as u16) | 1;
        std::mem::replace(slot, tag) == tag
    }
}

fn is_used_once(subject: &[u8]) -> bool {
    subject.starts_with(b"_INBOX.")
        || subject.starts_with(b"_R_.")
        || subject.starts_with(b"_GR_.")
        || subject.starts_with(b"$JS.ACK.")
}
