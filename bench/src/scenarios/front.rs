//! What a server in front of a cluster adds to the cost of a message.

use std::time::Duration;

use anyhow::{Context, Result};

use super::throughput;
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

/// From a publisher at one node to a subscriber at another; then the same with the publisher at the front.
pub(super) fn run(fleet: &Fleet, payload: usize, duration: Duration) -> Result<Outcome> {
    let direct = fleet.direct.as_ref().context("there is no way past the front")?;
    fleet.settle_from(direct)?;
    let straight = throughput::one_to_one(fleet, direct, payload, duration)?;
    let mut outcome = throughput::one_to_one(fleet, &fleet.publish, payload, duration)?;
    let added = nanoseconds(&outcome)? - nanoseconds(&straight)?;
    outcome.usage.add_noise_of(&straight.usage);
    outcome.readings.push(Reading::plain(Quantity::AddedCpu, added));
    Ok(outcome)
}

/// CPU time of all servers for one message.
fn nanoseconds(outcome: &Outcome) -> Result<f64> {
    let rate = outcome.readings.iter().find(|reading| reading.quantity == Quantity::Messages);
    let per_cpu = rate.and_then(|rate| rate.per_cpu).context("no rate per CPU-second")?;
    Ok(1e9 / per_cpu)
}
