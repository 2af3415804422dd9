//! Inbox isolation: each isolated connection has an inbox space of its own.
//!
//! A stock client subscribes to `_INBOX.abc.*` and puts `_INBOX.abc.1` as reply into its requests. Here the
//! one becomes `_INBOX.<server>.<connection>.abc.*` and the other `_INBOX.<server>.<connection>.abc.1`, and on
//! delivery the two middle tokens are taken out again. Nobody else is delivered what is published below
//! `_INBOX.<server>.<connection>.`, whatever wildcard he subscribed to, and one link subscription
//! (`_INBOX.<server>.>`) brings back all replies of a server's clients.

use rand::Rng;

/// The prefix of stock clients' inboxes.
pub(crate) const STOCK: &[u8] = b"_INBOX.";

/// Characters that stand for a server.
const SERVER: usize = 10;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` random characters of `[0-9A-Za-z]`.
pub(crate) fn random_token(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

/// Whether a pattern is what a server announces for the inboxes of all its isolated clients: `_INBOX.<server>.>`.
pub(crate) fn is_whole_space(pattern: &[u8]) -> bool {
    let server = pattern.strip_prefix(STOCK).and_then(|rest| rest.strip_suffix(b".>"));
    server.is_some_and(|server| server.len() == SERVER && server.iter().all(u8::is_ascii_alphanumeric))
}

/// The inbox prefix shared by all isolated connections of one server: `_INBOX.<server>.`.
pub(crate) fn server_prefix() -> Box<[u8]> {
    format!("_INBOX.{}.", random_token(SERVER)).into_bytes().into_boxed_slice()
}

/// One connection's inbox space.
#[derive(Debug)]
pub(crate) struct InboxSpace {
    /// `_INBOX.<server>.<connection>.`
    own: Box<[u8]>,
    server_len: usize,
}

impl InboxSpace {
    /// A space below the server's prefix, under a name nobody can guess (128 bits).
    pub(crate) fn new(server_prefix: &[u8]) -> Self {
        let mut own = server_prefix.to_vec();
        own.extend_from_slice(random_token(22).as_bytes());
        own.push(b'.');
        Self { own: own.into_boxed_slice(), server_len: server_prefix.len() }
    }

    fn server(&self) -> &[u8] {
        &self.own[..self.server_len]
    }

    /// What follows `_INBOX.` in a subject or reply of this client that is to be moved into its space.
    pub(crate) fn rest<'a>(&self, subject: &'a [u8]) -> Option<&'a [u8]> {
        let rest = subject.strip_prefix(STOCK)?;
        (!subject.starts_with(self.server())).then_some(rest)
    }

    /// `subject` (or pattern) as it is known inside.
    pub(crate) fn isolate(&self, subject: &[u8]) -> Option<Vec<u8>> {
        if self.restore(subject).is_some() {
            // Streams tell a client where they deliver, as it is known inside, and async-nats, nats.js and nats.go
            // subscribe to what they are told.
            return Some(subject.to_vec());
        }
        // A subscription is always moved, also one that names somebody else's space.
        let rest = subject.strip_prefix(STOCK)?;
        Some([&*self.own, rest].concat())
    }

    /// `_INBOX.<server>.<connection>.`
    pub(crate) fn own(&self) -> &[u8] {
        &self.own
    }

    /// `subject` as the client knows it, when it lies in this space.
    pub(crate) fn restore<'a>(&self, subject: &'a [u8]) -> Option<&'a [u8]> {
        subject.strip_prefix(&*self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let prefix = server_prefix();
        let space = InboxSpace::new(&prefix);
        assert!(is_whole_space(&[&*prefix, b">"].concat()) && !is_whole_space(b"_INBOX.abc.>"));
        let inside = space.isolate(b"_INBOX.abc.1").unwrap();
        assert!(inside.starts_with(&prefix));
        assert_eq!(space.restore(&inside), Some(&b"abc.1"[..]));
        assert_eq!(space.isolate(&inside), Some(inside.clone()), "its own space by its inner name");
        assert_eq!(space.rest(b"_INBOX.abc.1"), Some(&b"abc.1"[..]));
        assert_eq!(space.rest(b"orders.1"), None);
    }

    #[test]
    fn another_space_is_out_of_reach() {
        let prefix = server_prefix();
        let (mine, other) = (InboxSpace::new(&prefix), InboxSpace::new(&prefix));
        let theirs = other.isolate(b"_INBOX.abc.1").unwrap();
        // Publishing an answer there is possible, listening there is not.
        assert_eq!(mine.rest(&theirs), None);
        assert!(mine.isolate(&theirs).unwrap().starts_with(mine.own()));
        assert_eq!(mine.restore(&theirs), None);
    }
}
