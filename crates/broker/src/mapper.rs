//! Subjects that stand for others: what clients of an account publish to one goes to another.

use std::sync::Arc;

use crate::server::Server;

/// What becomes of a message's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// It stays as it is.
    AsItIs,
    /// It becomes another one, for every message.
    Always,
    /// It becomes another one for this message; the next one may go elsewhere.
    ThisTime,
    /// The message goes nowhere.
    Nowhere,
}

/// Says where the messages of an account go. Rights are asked for the subject they go to.
pub trait SubjectMapper: Send + Sync {
    /// Appends the subject that a message of `subject` goes to, where that is another one.
    fn map(&self, subject: &[u8], to: &mut Vec<u8>) -> Mapped;
}

impl Server {
    /// Has `mapper` decide where messages go that clients of `account` publish from now on. `None`: where they say.
    pub fn map_subjects(&self, account: &str, mapper: Option<Arc<dyn SubjectMapper>>) {
        self.core.account(account).set_mapper(mapper);
    }
}
