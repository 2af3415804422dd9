//! Shorthand for streams and key-value buckets: the API subjects stock clients use, and no more.
//!
//! All of them are *publish* rights; answers and deliveries arrive in the client's inbox, for which the role
//! (or inbox isolation) has to provide.
//!
//! **`consume`** serves pull consumers that an operator has made: look at the stream and its consumers, fetch,
//! acknowledge. Creating consumers is left out on purpose. A create request can change an existing consumer
//! that others share, and it names a delivery subject to which the *server* then publishes.
//!
//! **`stream_read`** serves reading a stream from wherever one likes: single messages, and consumers of one's own,
//! ordered ones above all. So creating, inspecting and deleting consumers of the stream is in, with flow control:
//! it is for streams without consumers that others share.
//!
//! **`kv_read`** serves get (direct, and through the stream where the bucket forbids direct access), history,
//! keys and watch. The latter three are ordered consumers in every stock client, so it is `stream_read` of the
//! bucket's stream. A bucket's stream has no shared durable consumers in ordinary use.
//!
//! **`kv_write`** serves put, create, update, delete and purge of keys: publishing below the bucket's prefix, and
//! looking at the stream, which every client does when it opens a bucket. Clients read a key before they
//! re-create it after a delete: give `kv_read` too where that matters. Purging the stream itself is left out.
//!
//! With each of them come the questions clients ask before they work, about the account and about which stream takes a
//! subject. The gateway answers them with what their asker may look at.

use super::template::Template;

/// Which shorthand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shorthand {
    Consume,
    StreamRead,
    KvRead,
    KvWrite,
}

/// Subjects as text before and after the name.
type Around = (&'static str, &'static str);

/// Without a name: what every client may ask that may do anything with a stream.
const LOOK_AROUND: [&str; 3] = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"];

const CONSUME: &[Around] = &[
    ("$JS.API.STREAM.INFO.", ""),
    ("$JS.API.CONSUMER.INFO.", ".*"),
    ("$JS.API.CONSUMER.MSG.NEXT.", ".*"),
    ("$JS.ACK.", ".>"),
];

const STREAM_READ: &[Around] = &[
    ("$JS.API.STREAM.INFO.", ""),
    ("$JS.API.STREAM.MSG.GET.", ""),
    ("$JS.API.DIRECT.GET.", ""),
    ("$JS.API.DIRECT.GET.", ".>"),
    ("$JS.API.CONSUMER.CREATE.", ""),
    ("$JS.API.CONSUMER.CREATE.", ".>"),
    ("$JS.API.CONSUMER.INFO.", ".*"),
    ("$JS.API.CONSUMER.MSG.NEXT.", ".*"),
    ("$JS.API.CONSUMER.DELETE.", ".*"),
    ("$JS.ACK.", ".>"),
    ("$JS.FC.", ".>"),
];

const KV_WRITE: &[Around] = &[("$JS.API.STREAM.INFO.KV_", ""), ("$KV.", ".>")];

impl Shorthand {
    /// The key in a role.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::StreamRead => "stream_read",
            Self::KvRead => "kv_read",
            Self::KvWrite => "kv_write",
        }
    }

    /// The subjects that may be published to for the stream or bucket `name`.
    pub(super) fn publishes(self, name: &Template) -> Vec<Template> {
        let stream = if self == Self::KvRead { name.wrap("KV_", "") } else { name.clone() };
        let around = match self {
            Self::Consume => CONSUME,
            Self::StreamRead | Self::KvRead => STREAM_READ,
            Self::KvWrite => KV_WRITE,
        };
        around.iter().map(|(before, after)| stream.wrap(before, after)).collect()
    }

    /// What may be published to besides, whichever stream it is about.
    pub(super) fn look_around() -> Vec<Template> {
        LOOK_AROUND.iter().map(|subject| Template::fixed(subject)).collect()
    }

    /// Whether `name` (with stand-ins for facts) can be a stream's or bucket's name.
    pub(super) fn names(self, name: &str) -> bool {
        let character = |c: char| match self {
            Self::Consume | Self::StreamRead => {
                !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c)
            }
            Self::KvRead | Self::KvWrite => c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
        };
        !name.is_empty() && name.chars().all(character)
    }
}
