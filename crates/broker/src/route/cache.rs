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
    routes: HashMap<Box<[u8]>, Route, foldhash::fast::RandomState>,
    seen: [u16; SEEN],
    generation: u64,
}

impl RouteCache {
    /// The route for a query, derived now or earlier in this generation. `key` is the subject, with the
    /// queues of a link's message appended. Generation 0 is never current: such a route is not found again.
    pub(crate) fn route(&mut self, key: &[u8], query: &Query<'_>, generation: u64) -> &Route {
        if self.last.generation == generation && self.last_key == key {
            return &self.last;
        }
        if generation == 0 || is_used_once(query.subject) {
            return self.derive_last(key, query, generation);
        }
        let table = self.table.get_or_insert_with(|| {
            Box::new(Table { routes: HashMap::default(), seen: [0; SEEN], generation })
        });
        if table.generation != generation {
            table.routes.clear();
            table.generation = generation;
        }
        if table.routes.contains_key(key) {
            // Looked up twice, for the borrow checker's sake; the polonius of a later compiler can do with one.
            return &self.table.as_ref().map_or(&self.last, |table| table.routes.get(key).unwrap_or(&self.last));
        }
        if table.seen_before(key) {
            if table.routes.len() >= KEPT {
                table.routes.clear();
            }
            let mut route = Route::default();
            route.derive(query, generation);
            return table.routes.entry(key.into()).insert_entry(route).into_mut();
        }
        self.derive_last(key, query, generation)
    }

    fn derive_last(&mut self, key: &[u8], query: &Query<'_>, generation: u64) -> &Route {
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last.derive(query, generation);
        &self.last
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
    fn seen_before(&mut self, key: &[u8]) -> bool {
        use std::hash::BuildHasher;
        let hash = self.routes.hasher().hash_one(key);
        let slot = &mut self.seen[(hash as usize) % SEEN];
        let tag = ((hash >> 48) as u16) | 1;
        std::mem::replace(slot, tag) == tag
    }
}

fn is_used_once(subject: &[u8]) -> bool {
    subject.starts_with(b"_INBOX.") || subject.starts_with(b"_R_.") || subject.starts_with(b"_GR_.") || subject.starts_with(b"$JS.ACK.")
}
