//! The form of a line: JSON, chained by SHA-256 to the line before it.
//!
//! A line is a JSON object whose first member is `seq`, and whose last two are `prev`, the hash of the line before it,
//! and `hash`. `hash` is the SHA-256 of the 32 bytes of `prev` followed by the text of the line without its `hash`
//! member. The first line of all has a `prev` of zeros.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

/// Longest line read, in bytes. Longer than anything written: events are bounded.
pub(super) const MAX_LINE: usize = 64 << 10;

const HASH_MEMBER: &str = ",\"hash\":\"";

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first line.
    pub const ZERO: Self = Self([0; 32]);

    /// Reads 64 hex digits as they are written here, in lower case: another spelling is another text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut out = [0; 32];
        if bytes.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(out))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Where a chain has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line; 0 before the first one.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: Hash::ZERO };

    /// Makes the next line of `members` and moves on to it. The line ends with a line break.
    pub(super) fn append<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a str, &'a Value)>,
        out: &mut String,
    ) {
        let seq = self.seq + 1;
        let start = out.len();
        out.push_str(&format!("{{\"seq\":{seq}"));
        for (name, value) in members {
            // A `Value` of a text is the text as JSON; Display of a Value can't fail.
            out.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        out.push_str(&format!(",\"prev\":\"{}\"}}", self.hash));
        let hash = digest_of(self.hash, &out[start..]);
        out.pop();
        out.push_str(&format!("{HASH_MEMBER}{hash}\"}}\n"));
        *self = Self { seq, hash };
    }
}

fn digest_of(prev: Hash, body: &str) -> Hash {
    let mut context = Vec::with_capacity(32 + body.len());
    context.extend_from_slice(&prev.0);
    context.extend_from_slice(body.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &context).as_ref());
    Hash(out)
}

/// A line that was read, its own hash found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

impl Line {
    pub(super) fn head(self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// Reads a line without its line break and checks its hash.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let at = text.rfind(HASH_MEMBER).ok_or("is no line of an audit log")?;
        let claimed = text[at + HASH_MEMBER.len()..].strip_suffix("\"}").and_then(Hash::parse);
        let claimed = claimed.ok_or("is no line of an audit log")?;
        let body = format!("{}}}", &text[..at]);
        let value: Map<String, Value> = serde_json::from_str(&body).map_err(|_| "is not JSON")?;
        let seq = value.get("seq").and_then(Value::as_u64).ok_or("has no number")?;
        let prev = value.get("prev").and_then(Value::as_str).and_then(Hash::parse);
        let prev = prev.ok_or("does not name the line before it")?;
        if digest_of(prev, &body) != claimed {
            return Err("was altered: its hash does not fit its text");
        }
        Ok(Self { seq, prev, hash: claimed })
    }
}
