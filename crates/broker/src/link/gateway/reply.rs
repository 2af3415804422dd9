//! Replies that name the way back: `_GR_.<cluster>.<server>.<reply>`, and the older `$GR.<cluster>.<reply>`.
//!
//! A request may reach another cluster before the interest in its reply does. Its reply subject is then sent with the
//! origin in front; whoever answers sends the answer to that cluster whatever interest is known, and there the front is
//! taken off again. Clusters and servers are named by hashes of their names and ids.

use aws_lc_rs::digest::{SHA256, digest};

/// Start of a mapped reply.
const PREFIX: &[u8] = b"_GR_.";
/// Start of the form that servers before 2.2 use.
const OLD_PREFIX: &[u8] = b"$GR.";
/// Characters of a hash.
const HASH: usize = 6;
/// Characters of a hash in the older form.
const OLD_HASH: usize = 4;
/// `_GR_.cccccc.ssssss.`
const FRONT: usize = PREFIX.len() + 2 * (HASH + 1);
/// `$GR.cccc.`
const OLD_FRONT: usize = OLD_PREFIX.len() + OLD_HASH + 1;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How a cluster is named in mapped replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterHash {
    new: [u8; HASH],
    old: [u8; OLD_HASH],
}

impl ClusterHash {
    pub(crate) fn of(name: &str) -> Self {
        let hash = digest(&SHA256, name.as_bytes());
        let mut old = [0; OLD_HASH];
        for (at, digit) in old.iter_mut().enumerate() {
            let byte = hash.as_ref().get(at / 2).copied().unwrap_or_default();
            let half = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
            *digit = b"0123456789abcdef".get(half as usize).copied().unwrap_or(b'0');
        }
        Self { new: short_hash(name), old }
    }

    /// The patterns of all subjects that lead to this cluster.
    pub(crate) fn patterns(&self) -> [Vec<u8>; 2] {
        [[PREFIX, &self.new, b".>"].concat(), [OLD_PREFIX, &self.old, b".>"].concat()]
    }

    /// Whether a mapped reply leads to this cluster.
    fn is_target(&self, routed: &Routed<'_>) -> bool {
        routed.cluster == self.new || routed.cluster == self.old
    }
}

/// The first six bytes of a SHA-256, each as a digit of base 62.
fn short_hash(text: &str) -> [u8; HASH] {
    let hash = digest(&SHA256, text.as_bytes());
    let mut out = [b'0'; HASH];
    for (out, byte) in out.iter_mut().zip(hash.as_ref()) {
        *out = DIGITS.get((byte % 62) as usize).copied().unwrap_or(b'0');
    }
    out
}

/// `_GR_.<cluster>.<server>.`: what is put in front of replies to this server.
pub(crate) fn front(cluster: &ClusterHash, server_id: &str) -> Vec<u8> {
    [PREFIX, &cluster.new, b".", &short_hash(server_id), b"."].concat()
}

/// A mapped reply, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Routed<'a> {
    cluster: &'a [u8],
    /// Bytes before the reply proper.
    pub(crate) front: usize,
    /// The reply proper.
    pub(crate) reply: &'a [u8],
}

/// Takes a mapped reply apart; `None` for any other subject.
#[inline]
pub(crate) fn split(subject: &[u8]) -> Option<Routed<'_>> {
    let (front, start, hash) = if subject.starts_with(PREFIX) {
        (FRONT, PREFIX.len(), HASH)
    } else if subject.starts_with(OLD_PREFIX) {
        (OLD_FRONT, OLD_PREFIX.len(), OLD_HASH)
    } else {
        return None;
    };
    let reply = subject.get(front..).filter(|reply| !reply.is_empty())?;
    (subject.get(front - 1) == Some(&b'.')).then_some(())?;
    Some(Routed { cluster: subject.get(start..start + hash)?, front, reply })
}

/// Where a message to a mapped reply is to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// It is none: an ordinary subject.
    Ordinary,
    /// To this cluster, under this subject.
    Here(&'a [u8]),
    /// To another cluster.
    Elsewhere,
}

/// Where a message to `subject` that came from another cluster is to go; `own` is this cluster.
pub(crate) fn destination<'a>(subject: &'a [u8], own: &ClusterHash) -> Destination<'a> {
    match split(subject) {
        None => Destination::Ordinary,
        Some(routed) if own.is_target(&routed) => Destination::Here(routed.reply),
        Some(_) => Destination::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_nats_server() {
        // SHA-256 of "A" begins 55 9a ea d0 82 64.
        let hash = ClusterHash::of("A");
        assert_eq!(&hash.old, b"559a");
        let digits: Vec<u8> =
            [0x55_u8, 0x9a, 0xea, 0xd0, 0x82, 0x64].iter().map(|byte| DIGITS[(byte % 62) as usize]).collect();
        assert_eq!(hash.new.as_slice(), digits);
    }

    #[test]
    fn there_and_back() {
        let (a, b) = (ClusterHash::of("A"), ClusterHash::of("B"));
        let mapped = [front(&a, "NSERVER").as_slice(), b"_INBOX.x.1"].concat();
        assert_eq!(split(&mapped).unwrap().front, FRONT);
        assert_eq!(destination(&mapped, &a), Destination::Here(b"_INBOX.x.1"));
        assert_eq!(destination(&mapped, &b), Destination::Elsewhere);
        let old = [b"$GR.559a.".as_slice(), b"_INBOX.x.1"].concat();
        assert_eq!(destination(&old, &a), Destination::Here(b"_INBOX.x.1"));
        for pattern in a.patterns() {
            assert!(subject::matches(&pattern, &mapped) || subject::matches(&pattern, &old));
        }
    }

    #[test]
    fn other_subjects_are_left_alone() {
        for subject in [
            "orders.1",
            "_GR_.",
            "_GR_.abc",
            "_GR_.aaaaaa.bbbbbb.",
            "$GR.aaaa.",
            "_INBOX.x",
            "_GR_.aaaaaaxbbbbbbxx",
        ] {
            assert_eq!(split(subject.as_bytes()), None, "{subject}");
        }
    }
}
