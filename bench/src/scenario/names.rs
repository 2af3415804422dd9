//! The names of the scenarios, as one gives them on the command line and as they are reported.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

use super::Scenario;
use crate::link_kind::LinkKind;

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
const QUICK: [&str; 6] = ["pub:128", "pubsub:128", "fanout:10", "rr:1", "conns:mtls", "whole-way"];

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
