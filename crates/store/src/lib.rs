//! The event log: append-only streams of checksummed records on disk or in memory. Knows no protocol.
//!
//! A [`Store`] owns a directory and holds [`Stream`]s. What is appended to a stream can be read at once and is
//! *committed* when it is as durable as the stream's [`Sync`] says; a [`Listener`] is told, once for everything that
//! one sync covered. Everything here is synchronous and may be called from any thread. Times are given by the caller,
//! in ns since 1970.
//!
//! ```
//! use store::{Append, Filter, Store, StoreOptions, StreamOptions};
//!
//! let store = Store::in_memory(StoreOptions::default());
//! let stream = store.create("ORDERS", StreamOptions::memory(), b"")?;
//! let done = stream.append(&[Append { subject: b"orders.1", payload: b"tea", ..Append::default() }]);
//! assert_eq!((done.first, done.count), (1, 1));
//! let message = stream.next(&Filter::new(["orders.*"]), 1)?.ok_or("no message")?;
//! assert_eq!(message.payload(), b"tea");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
mod commit;
mod crypt;
mod data;
pub mod disk;
mod error;
mod filter;
mod index;
mod manifest;
mod options;
mod problem;
mod ranges;
mod record;
mod recover;
mod removal;
mod scan;
mod segment;
mod snapshot;
mod store;
mod stream;
mod synced;
mod tail;

pub use crypt::{Cipher, Keys, SecretKey, ShortKey};
pub use error::{AppendError, ReadError, Stopped, StoreError};
pub use filter::Filter;
pub use options::{Discard, Limits, Storage, StoreOptions, StreamOptions, Sync};
pub use problem::{Problem, Severity};
pub use record::Message;
pub use removal::{Removal, Removals};
pub use store::{Store, Usage};
pub use stream::{
    Append, Appended, Committed, Erase, Expired, Fate, Listener, Point, Purge, Purged, SavedState, Scan,
    State, Stream, SubjectCount, TooMany,
};
pub use synced::SyncTimes;
