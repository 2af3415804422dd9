//! What each scenario does with the servers it gets.

mod connections;
mod idle;
mod many;
mod request_reply;
mod throughput;
mod whole_way;

use std::time::Duration;

use anyhow::Result;

use crate::report::Outcome;
use crate::scenario::Scenario;
use crate::servers::Fleet;

/// Runs `scenario` against `fleet`; its measured phase takes about `duration`.
///
/// # Errors
/// When anything fails or a message is missing: the run is then not valid.
pub(crate) fn run(scenario: Scenario, fleet: &Fleet, duration: Duration) -> Result<Outcome> {
    match scenario {
        Scenario::Publish { payload } => throughput::publish(fleet, payload, duration),
        Scenario::PubSub { payload } | Scenario::TlsPubSub { payload } => {
            throughput::fan_out(fleet, 1, payload, duration)
        }
        Scenario::FanOut { subscribers } => throughput::fan_out(fleet, subscribers, 128, duration),
        Scenario::Queue { payload } => throughput::queue(fleet, payload, duration),
        Scenario::Many { subscriptions } => many::run(fleet, subscriptions, duration),
        Scenario::RequestReply { in_flight } => request_reply::run(fleet, in_flight, duration),
        Scenario::Connections { .. } => connections::run(fleet, duration),
        Scenario::Idle { kind, connections } => idle::run(fleet, kind, connections),
        Scenario::WholeWay => whole_way::run(fleet, duration),
    }
}

/// How long to warm up before measuring for `duration`.
fn warm_up(duration: Duration) -> Duration {
    (duration / 5).max(Duration::from_millis(300))
}
