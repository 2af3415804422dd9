//! What is remembered about answers of services that are asked over the network: verdicts with their lifetime, and
//! whether the service is worth asking. State machines without I/O; `now` and randomness are arguments.

mod breaker;
mod verdicts;

use aws_lc_rs::digest::{SHA256, digest};

pub use breaker::{Breaker, BreakerLimits, Permit};
pub use verdicts::{Found, Key, Verdicts};

/// The key of a question: SHA-256 of what is asked, so that no token is kept.
#[must_use]
pub fn key_of(question: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, question).as_ref());
    key
}
