//! The scenarios and their names.

mod kinds;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

use crate::link_kind::LinkKind;

pub(crate) use kinds::{Bearer, Durability, IdleKind, Place, Security};

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

/// Logins at once where their rate is measured.
const LOGINS: usize = 4;

/// Logins at once in a storm.
const STORM: usize = 256;

/// Idle connections unless the name says otherwise.
const IDLE_CONNECTIONS: usize = 5_000;

/// All scenarios, in the order of the report.
pub(crate) const ALL: [&str; 66] = [
    "pub:16",
    "pub:128",
    "pubsub:16",
    "pubsub:128",
    "pubsub:1024",
    "fanout:10",
    "fanout:100",
    "queue:16",
    "queue:128",
    "queue:1024",
    "many:100000",
    "subjects:10000",
    "rights:10000",
    "rr:1",
    "rr:64",
    "tls-pubsub:128",
    "tls-pubsub:1024",
    "conns:plain",
    "conns:tls-token",
    "conns:mtls",
    "login:token",
    "login:es256",
    "login:rs256",
    "storm:token",
    "storm:es256",
    "storm:rs256",
    "storm:es256:5000",
    "idle:plain",
    "idle:mtls",
    "idle:token",
    "idle:silent",
    "whole-way",
    "whole-way:stamp",
    "link:leaf:128",
    "link:leaf:1024",
    "link:leaf-mtls:128",
    "link:leaf-mtls:1024",
    "link:gateway:128",
    "link:gateway:1024",
    "link:gateway-mtls:128",
    "link:gateway-mtls:1024",
    "link:leaf-s2:128",
    "link:leaf-s2:1024",
    "link-subjects:leaf:10000",
    "link-subjects:leaf-mtls:10000",
    "link-subjects:gateway:10000",
    "link-reset:leaf:100000",
    "link-reset:gateway:100000",
    "front:128",
    "js-pub:file:4096",
    "js-pub:sync:1",
    "js-pub:sync:4096",
    "js-pub:interval:4096",
    "js-pub:memory:4096",
    "js-drain:file",
    "js-drain:memory",
    "kv-put:256",
    "kv-get:64",
    "js-restart:1000000",
    "js-memory:10",
    "js-memory:1000000",
    "js-depth:100000",
    // Not in the table of goals, for orientation.
    "pub:1024",
    "conns:tls",
    "js-pub:memory:1",
    "js-depth:10000000",
];

/// A selection for a first impression.
pub(crate) const QUICK: [&str; 6] = ["pub:128", "pubsub:128", "fanout:10", "rr:1", "conns:mtls", "whole-way"];

/// Reads scenario names and the groups `all` and `quick`.
///
/// # Errors
/// When a name is unknown.
pub(crate) fn select(names: &[String]) -> Result<Vec<Scenario>> {
    let expanded = names.iter().flat_map(|name| match name.as_str() {
        "all" => ALL.to_vec(),
        "quick" => QUICK.to_vec(),
        name => vec![name],
    });
    expanded.map(str::parse).collect()
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let (kind, detail) = name.split_once(':').unwrap_or((name, ""));
        let count = || match detail.parse::<usize>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(anyhow!("{name}: a positive number belongs behind {kind}:")),
        };
        Ok(match kind {
            "pub" => Self::Publish { payload: count()? },
            "pubsub" => Self::PubSub { payload: count()? },
            "tls-pubsub" => Self::TlsPubSub { payload: count()? },
            "fanout" => Self::FanOut { subscribers: count()? },
            "queue" => Self::Queue { payload: count()? },
            "many" => Self::Many { subscriptions: count()? },
            "subjects" => Self::Subjects { subjects: count()?, rights: false },
            "rights" => Self::Subjects { subjects: count()?, rights: true },
            "rr" => Self::RequestReply { in_flight: count()? },
            "login" => Self::Login { bearer: detail.parse()?, at_once: LOGINS },
            "storm" => {
                let (bearer, at_once) = numbered(detail, STORM)?;
                Self::Login { bearer, at_once }
            }
            "conns" => Self::Connections { security: detail.parse()? },
            "idle" => {
                let (kind, connections) = numbered(detail, IDLE_CONNECTIONS)?;
                Self::Idle { kind, connections }
            }
            "whole-way" if detail.is_empty() => Self::WholeWay { stamp: false },
            "whole-way" if detail == "stamp" => Self::WholeWay { stamp: true },
            "link" => {
                let (kind, payload) = LinkKind::with_number(detail)?;
                Self::Link { kind, payload }
            }
            "link-subjects" => {
                let (kind, subjects) = LinkKind::with_number(detail)?;
                Self::LinkSubjects { kind, subjects }
            }
            "link-reset" => {
                let (kind, subscriptions) = LinkKind::with_number(detail)?;
                Self::LinkReset { kind, subscriptions }
            }
            "front" => Self::Front { payload: count()? },
            "js-pub" => {
                let (place, in_flight) = detail.split_once(':').unwrap_or((detail, ""));
                let in_flight = in_flight.parse().ok().filter(|count| *count > 0);
                let in_flight = in_flight.ok_or_else(|| anyhow!("{name}: a number belongs at the end"))?;
                Self::Store { place: place.parse()?, in_flight }
            }
            "js-drain" => Self::Drain { place: detail.parse()? },
            "kv-put" => Self::KvPut { in_flight: count()? },
            "kv-get" => Self::KvGet { in_flight: count()? },
            "js-restart" => Self::Restart { messages: count()? },
            "js-memory" => Self::StoredMemory { subjects: count()? },
            "js-depth" => Self::Depth { messages: count()? },
            _ => bail!("unknown scenario {name:?}; `bench list` shows them"),
        })
    }
}

/// A kind, and perhaps a number behind another colon.
fn numbered<T: FromStr<Err = anyhow::Error>>(detail: &str, usual: usize) -> Result<(T, usize)> {
    let Some((kind, count)) = detail.split_once(':') else { return Ok((detail.parse()?, usual)) };
    let count: usize = count.parse().map_err(|_| anyhow!("{count:?} is no number"))?;
    Ok((kind.parse()?, count.max(1)))
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { payload } => write!(f, "pub:{payload}"),
            Self::PubSub { payload } => write!(f, "pubsub:{payload}"),
            Self::TlsPubSub { payload } => write!(f, "tls-pubsub:{payload}"),
            Self::FanOut { subscribers } => write!(f, "fanout:{subscribers}"),
            Self::Queue { payload } => write!(f, "queue:{payload}"),
            Self::Many { subscriptions } => write!(f, "many:{subscriptions}"),
            Self::Subjects { subjects, rights: false } => write!(f, "subjects:{subjects}"),
            Self::Subjects { subjects, rights: true } => write!(f, "rights:{subjects}"),
            Self::RequestReply { in_flight } => write!(f, "rr:{in_flight}"),
            Self::Connections { security } => write!(f, "conns:{security}"),
            Self::Login { bearer, at_once: STORM } => write!(f, "storm:{bearer}"),
            Self::Login { bearer, at_once: LOGINS } => write!(f, "login:{bearer}"),
            Self::Login { bearer, at_once } => write!(f, "storm:{bearer}:{at_once}"),
            Self::Idle { kind, connections: IDLE_CONNECTIONS } => write!(f, "idle:{kind}"),
            Self::Idle { kind, connections } => write!(f, "idle:{kind}:{connections}"),
            Self::WholeWay { stamp } => f.write_str(if *stamp { "whole-way:stamp" } else { "whole-way" }),
            Self::Link { kind, payload } => write!(f, "link:{kind}:{payload}"),
            Self::LinkSubjects { kind, subjects } => write!(f, "link-subjects:{kind}:{subjects}"),
            Self::LinkReset { kind, subscriptions } => write!(f, "link-reset:{kind}:{subscriptions}"),
            Self::Front { payload } => write!(f, "front:{payload}"),
            Self::Store { place, in_flight } => write!(f, "js-pub:{place}:{in_flight}"),
            Self::Drain { place } => write!(f, "js-drain:{place}"),
            Self::KvPut { in_flight } => write!(f, "kv-put:{in_flight}"),
            Self::KvGet { in_flight } => write!(f, "kv-get:{in_flight}"),
            Self::Restart { messages } => write!(f, "js-restart:{messages}"),
            Self::StoredMemory { subjects } => write!(f, "js-memory:{subjects}"),
            Self::Depth { messages } => write!(f, "js-depth:{messages}"),
        }
    }
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

    /// One line for `bench list`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Publish { payload } => format!("1 publisher, nobody listens, {payload} B"),
            Self::PubSub { payload } => format!("1 publisher, 1 subscriber, {payload} B"),
            Self::TlsPubSub { payload } => format!("1 publisher, 1 subscriber over TLS 1.3, {payload} B"),
            Self::FanOut { subscribers } => format!("1 publisher, {subscribers} subscribers, 128 B"),
            Self::Queue { payload } => format!("4 publishers, queue group of 4, {payload} B"),
            Self::Many { subscriptions } => {
                format!("{subscriptions} literal subscriptions, random subjects, 128 B")
            }
            Self::Subjects { subjects, rights } => {
                let rights = if rights { ", with permissions" } else { "" };
                format!("1 publisher to {subjects} subjects, 1 subscriber of all, 128 B{rights}")
            }
            Self::RequestReply { in_flight } => format!("request and reply, {in_flight} in flight, 128 B"),
            Self::Login { bearer, at_once } => {
                format!("logins over TLS 1.3, {bearer}, {at_once} at once")
            }
            Self::Connections { security } => format!("connections per second, {security}, 4 threads"),
            Self::Idle { connections, .. } => format!("memory of {connections} idle connections"),
            Self::Link { kind, payload } => {
                format!("1 publisher, a link ({kind}), 1 subscriber, {payload} B")
            }
            Self::LinkSubjects { kind, subjects } => {
                format!("1 publisher to {subjects} subjects, a link ({kind}), 1 subscriber of all, 128 B")
            }
            Self::LinkReset { kind, subscriptions } => {
                format!("a link ({kind}) is reset: time until {subscriptions} subscriptions are known again")
            }
            Self::Front { payload } => {
                format!(
                    "token publisher, mTLS leafnode link, stock cluster; cost beyond the cluster's, {payload} B"
                )
            }
            Self::WholeWay { stamp } => {
                let stamp = if stamp { "; ours says who each message comes from" } else { "" };
                format!("token publisher, mTLS leafnode link, mTLS subscriber, 128 B{stamp}")
            }
            Self::Store { place, in_flight } => {
                format!("messages stored ({place}) and acknowledged, {in_flight} in flight, 128 B")
            }
            Self::Drain { place } => format!("a pull consumer drains a stream ({place}), each acknowledged"),
            Self::KvPut { in_flight } => format!("key-value puts, {in_flight} in flight, 128 B"),
            Self::KvGet { in_flight } => format!("key-value gets, {in_flight} in flight, 128 B"),
            Self::Restart { messages } => format!("starting again with {messages} messages stored"),
            Self::StoredMemory { subjects } => {
                format!("memory with 1M messages of {subjects} subjects stored")
            }
            Self::Depth { messages } => format!("storing and reading with {messages} messages stored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for name in ALL.into_iter().chain(["idle:plain:500", "pub:7"]) {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn groups_are_expanded() {
        let names = ["quick".to_owned(), "all".to_owned()];
        assert_eq!(select(&names).unwrap().len(), QUICK.len() + ALL.len());
    }

    #[test]
    fn bad_names_are_refused() {
        for name in
            ["", "pub", "pub:", "pub:0", "pub:x", "conns:x", "idle:x", "idle:plain:x", "whole-way:1", "x:1"]
        {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
