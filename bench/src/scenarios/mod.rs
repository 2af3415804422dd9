//! What each scenario does with the servers it gets.

mod connections;
mod front;
mod idle;
mod link_reset;
mod logins;
mod many;
mod request_reply;
mod streams;
mod throughput;
mod whole_way;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::report::Outcome;
use crate::scenario::Scenario;
use crate::servers::Fleet;

/// Runs `scenario` against `fleet`, whose single server is `program`; its measured phase takes about `duration`.
///
/// # Errors
/// When anything fails or a message is missing: the run is then not valid.
pub(crate) fn run(
    scenario: Scenario,
    fleet: &mut Fleet,
    program: &Path,
    duration: Duration,
) -> Result<Outcome> {
    match scenario {
        Scenario::Publish { payload } => throughput::publish(fleet, payload, duration),
        Scenario::PubSub { payload } | Scenario::TlsPubSub { payload } => {
            throughput::fan_out(fleet, 1, payload, duration)
        }
        Scenario::FanOut { subscribers } => throughput::fan_out(fleet, subscribers, 128, duration),
        Scenario::Queue { payload } => throughput::queue(fleet, payload, duration),
        Scenario::Many { subscriptions } => many::run(fleet, subscriptions, duration),
        Scenario::Subjects { subjects, .. } | Scenario::LinkSubjects { subjects, .. } => {
            many::one_subscriber(fleet, subjects, duration)
        }
        Scenario::RequestReply { in_flight } => request_reply::run(fleet, in_flight, duration),
        Scenario::Connections { .. } => connections::run(fleet, duration),
        Scenario::Login { at_once, .. } => logins::run(fleet, at_once, duration),
        Scenario::Idle { kind, connections } => idle::run(fleet, kind, connections),
        Scenario::WholeWay { stamp: false } => whole_way::run(fleet, 128, duration),
        Scenario::WholeWay { stamp: true } => throughput::as_they_arrive(fleet, 128, duration),
        Scenario::Link { payload, .. } => whole_way::run(fleet, payload, duration),
        Scenario::LinkReset { subscriptions, .. } => link_reset::run(fleet, subscriptions),
        Scenario::Front { payload } => front::run(fleet, payload, duration),
        Scenario::Store { place, in_flight } => streams::publish(fleet, place, in_flight, duration),
        Scenario::Drain { place } => streams::drain(fleet, place),
        Scenario::KvPut { in_flight } => streams::kv_put(fleet, in_flight, duration),
        Scenario::KvGet { in_flight } => streams::kv_get(fleet, in_flight, duration),
        Scenario::Restart { messages } => streams::restart(fleet, program, messages as u64),
        Scenario::StoredMemory { subjects } => streams::memory(fleet, subjects as u64),
        Scenario::Depth { messages } => streams::depth(fleet, messages as u64, duration),
    }
}

/// How long to warm up before measuring for `duration`.
fn warm_up(duration: Duration) -> Duration {
    (duration / 5).max(Duration::from_millis(300))
}
