//! Revocation: what was issued and is good no longer, by whatever names it, until it would have ended by itself.
//!
//! [`Revocations`] is asked at login and about live sessions; it is bounded, and refuses entries rather than forget
//! one. [`Journal`] keeps entries on disk. Entries have unique ids and merging them is idempotent and commutative, so
//! that several gateways can exchange them in any order.

mod entry;
mod journal;
mod request;
mod share;
mod store;
#[cfg(test)]
mod tests;

pub use self::entry::{Entry, EntryError, MAX_TEXT, Target};
pub use self::journal::{Journal, JournalError};
pub use self::request::{Instant, Request, RequestError};
pub use self::share::{ShareError, ShareKey, Told, summary};
pub use self::store::{RevocationError, Revocations};

/// How ids of entries begin that stand in a file an operator edits. They are that file's, not the journal's.
pub const FILE_PREFIX: &str = "file-";
