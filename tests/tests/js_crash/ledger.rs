//! What publishers know: what they have sent, and what was acknowledged where.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    published: HashSet<String>,
    acknowledged: HashMap<String, u64>,
}

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn published(&self, id: &str) {
        self.book().published.insert(id.to_owned());
    }

    pub(crate) fn acknowledge(&self, id: &str, seq: u64) {
        self.book().acknowledged.insert(id.to_owned(), seq);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.book().acknowledged.len() as u64
    }

    pub(crate) fn was_published(&self, id: &str) -> bool {
        self.book().published.contains(id)
    }

    pub(crate) fn all_acknowledged(&self) -> Vec<(String, u64)> {
        self.book().acknowledged.iter().map(|(id, seq)| (id.clone(), *seq)).collect()
    }
}
