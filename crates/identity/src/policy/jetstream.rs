//! Shorthand for streams and key-value buckets: the API subjects stock clients use, and no more.
//!
//! All of them are *publish* rights; answers and deliveries arrive in the client's inbox, for which the role
//! (or inbox isolation) has to provide.
//!
//! **`consume`** serves pull consumers that an operator has made: look at the stream and its consumers, fetch,
//! acknowledge. Creating consumers is left out on purpose. A create request can change an existing consumer
//! that others share, and it names a delivery subject to which the *server* then publishes. Ordered and other
//! ephemeral consumers therefore need an explicit `publish` right.
//!
//! **`kv_read`** serves get (direct, and through the stream where the bucket forbids direct access), history,
//! keys and watch. The latter three are ordered consumers in every stock client, so creating, inspecting and
//! deleting consumers *of the bucket's stream* is in, with the flow-control replies. A bucket's stream has no
//! shared durable consumers in ordinary use.
//!
//! **`kv_write`** serves put, create, update, delete and purge of keys: publishing below the bucket's prefix, and
//! looking at the stream, which every client does when it opens a bucket. Clients read a key before they
//! re-create it after a delete: give `kv_read` too where that matters. Purging the stream itself is left out.

use super::template::Template;

/// Which shorthand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shorthand {
    Consume,
    KvRead,
    KvWrite,
}

/// Subjects as text before and after the name.
type Around = (&'static str, &'static str);

const CONSUME: &[Around] = &[
    ("$JS.API.STREAM.INFO.", ""),
    ("$JS.API.CONSUMER.INFO.", ".*"),
    ("$JS.API.CONSUMER.MSG.NEXT.", ".*"),
    ("$JS.ACK.", ".>"),
];

const KV_READ: &[Around] = &[
    ("$JS.API.STREAM.INFO.KV_", ""),
    ("$JS.API.STREAM.MSG.GET.KV_", ""),
    ("$JS.API.DIRECT.GET.KV_", ""),
    ("$JS.API.DIRECT.GET.KV_", ".>"),
    ("$JS.API.CONSUMER.CREATE.KV_", ""),
    ("$JS.API.CONSUMER.CREATE.KV_", ".>"),
    ("$JS.API.CONSUMER.INFO.KV_", ".*"),
    ("$JS.API.CONSUMER.DELETE.KV_", ".*"),
    ("$JS.FC.KV_", ".>"),
];

const KV_WRITE: &[Around] = &[("$JS.API.STREAM.INFO.KV_", ""), ("$KV.", ".>")];

impl Shorthand {
    /// The key in a role.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::KvRead => "kv_read",
            Self::KvWrite => "kv_write",
        }
    }

    /// The subjects that may be published to for the stream or bucket `name`.
    pub(super) fn publishes(self, name: &Template) -> Vec<Template> {
        let around = match self {
            Self::Consume => CONSUME,
            Self::KvRead => KV_READ,
            Self::KvWrite => KV_WRITE,
        };
        around.iter().map(|(before, after)| name.wrap(before, after)).collect()
    }

    /// Whether `name` (with stand-ins for facts) can be a stream's or bucket's name.
    pub(super) fn names(self, name: &str) -> bool {
        let character = |c: char| match self {
            Self::Consume => !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c),
            Self::KvRead | Self::KvWrite => c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
        };
        !name.is_empty() && name.chars().all(character)
    }
}
