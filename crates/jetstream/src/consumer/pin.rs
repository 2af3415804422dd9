//! The client a pinned consumer is tied to for a while.

use super::config::Nanos;

/// A pin: the next requests have to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// What the client has to say.
    pub(super) id: String,
    /// Its group.
    pub(super) group: String,
    /// When it was given.
    pub(super) since: i64,
    /// When it ends, unless its client asks again.
    pub(super) until: i64,
}

impl Pin {
    /// A new pin for a group.
    pub(super) fn new(group: &str, ttl: Nanos, now: i64, random: &mut dyn FnMut() -> u64) -> Self {
        Self { id: token(random), group: group.into(), since: now, until: now.saturating_add(ttl) }
    }
}

/// A name nobody guesses: 22 digits and letters.
fn token(random: &mut dyn FnMut() -> u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..22).map(|_| char::from(DIGITS.get((random() % 62) as usize).copied().unwrap_or(b'0'))).collect()
}
