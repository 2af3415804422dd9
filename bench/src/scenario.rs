//! The scenarios: what is measured, and with which servers.

mod describe;
mod kinds;
mod names;

use crate::link_kind::LinkKind;

pub(crate) use kinds::{Bearer, Durability, IdleKind, Place, Security};
pub(crate) use names::{ALL, select};

/// What servers a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One, its client port secured like this.
    Single(Security),
    /// One with streams, without TLS.
    Streams(Durability),
    /// The door for clients with tokens, alone.
    Login(Bearer),
    /// Two, joined by a link; ours may say on it who a message comes from.
    WholeWay { stamp: bool },
    /// Two with the same configuration language, clients in clear, joined by such a link.
    Linked(LinkKind),
    /// The same, with a wire between them that can be reset.
    Wired(LinkKind),
    /// A stock cluster, and a server in front of it.
    Front,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// One publisher, nobody listens.
    Publish { payload: usize },
    /// One publisher, one subscriber.
    PubSub { payload: usize },
    /// As [`Scenario::PubSub`], both over TLS.
    TlsPubSub { payload: usize },
    /// One publisher, many subscribers of the same subject, 128 B.
    FanOut { subscribers: usize },
    /// Four publishers, a queue group of four.
    Queue { payload: usize },
    /// One connection with many literal subscriptions; 128 B to random ones of them.
    Many { subscriptions: usize },
    /// One publisher to random ones of so many subjects, one subscriber of all, 128 B; with permissions for both.
    Subjects { subjects: usize, rights: bool },
    /// Requests with their answers, so many at a time, 128 B each way.
    RequestReply { in_flight: usize },
    /// Connecting, logging in, leaving.
    Connections { security: Security },
    /// Logging in with a token over TLS, so many at once.
    Login { bearer: Bearer, at_once: usize },
    /// Memory of connections that do nothing.
    Idle { kind: IdleKind, connections: usize },
    /// Token publisher outside, link, mTLS subscriber inside, 128 B; ours may say who each message comes from.
    WholeWay { stamp: bool },
    /// One publisher, a link, one subscriber.
    Link { kind: LinkKind, payload: usize },
    /// One publisher to random ones of so many subjects, a link, one subscriber of all, 128 B.
    LinkSubjects { kind: LinkKind, subjects: usize },
    /// A link breaks and comes back, with so many subscriptions to be told.
    LinkReset { kind: LinkKind, subscriptions: usize },
    /// One publisher in front of a stock cluster, one subscriber in it; and the same without the server in front.
    Front { payload: usize },
    /// Messages stored and acknowledged, so many at a time, 128 B.
    Store { place: Place, in_flight: usize },
    /// A pull consumer takes what is stored and acknowledges each, 128 B.
    Drain { place: Place },
    /// Values put into a key-value bucket, so many at a time.
    KvPut { in_flight: usize },
    /// Values got from a key-value bucket, so many at a time.
    KvGet { in_flight: usize },
    /// Starting again with so many messages stored.
    Restart { messages: usize },
    /// Memory with a million messages of so many subjects stored on disk.
    StoredMemory { subjects: usize },
    /// Storing and reading where so many messages are stored already.
    Depth { messages: usize },
}

impl Scenario {
    /// The servers it needs.
    pub(crate) fn layout(self) -> Layout {
        Layout::Single(match self {
            Self::WholeWay { stamp } => return Layout::WholeWay { stamp },
            Self::Link { kind, .. } | Self::LinkSubjects { kind, .. } => return Layout::Linked(kind),
            Self::LinkReset { kind, .. } => return Layout::Wired(kind),
            Self::Front { .. } => return Layout::Front,
            Self::Login { bearer, .. } => return Layout::Login(bearer),
            Self::Store { place, .. } | Self::Drain { place } => return Layout::Streams(place.durability()),
            Self::KvPut { .. }
            | Self::KvGet { .. }
            | Self::Restart { .. }
            | Self::StoredMemory { .. }
            | Self::Depth { .. } => return Layout::Streams(Durability::Default),
            Self::TlsPubSub { .. } => Security::Tls,
            Self::Connections { security } => security,
            Self::Idle { kind: IdleKind::Token, .. } => return Layout::Login(Bearer::Es256),
            Self::Idle { kind: IdleKind::Mtls, .. } => Security::Mtls,
            Self::Subjects { rights: true, .. } => Security::Rights,
            _ => Security::Plain,
        })
    }
}
