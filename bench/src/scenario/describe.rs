//! What each scenario measures, in a line.

use super::Scenario;

impl Scenario {
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
