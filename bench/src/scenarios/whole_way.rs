//! Over a link: from a publisher at one server to a subscriber at another.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{throughput, warm_up};
use crate::load::Frames;
use crate::measure::{Meter, Samples};
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

const SUBJECT: &str = "bench.hop";

/// Throughput first, then the latency of single messages.
pub(super) fn run(fleet: &Fleet, payload: usize, duration: Duration) -> Result<Outcome> {
    let mut outcome = throughput::fan_out(fleet, 1, payload, duration)?;
    let mut subscriber = fleet.subscribe.connect()?;
    subscriber.subscribe(SUBJECT, None)?;
    fleet.settle()?;
    let mut publisher = fleet.publish.connect()?;
    let frames = Frames::on(SUBJECT, payload);
    let mut one_by_one = |duration: Duration| -> Result<Samples> {
        let mut latencies = Samples::default();
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            let sent_at = Instant::now();
            publisher.send(frames.first())?;
            subscriber.wait_for_message()?;
            latencies.record(sent_at.elapsed());
        }
        Ok(latencies)
    };
    one_by_one(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = one_by_one(duration)?;
    outcome.usage.add_noise_of(&meter.stop()?);
    let [p50, p99] = latencies.quantiles([0.5, 0.99]);
    outcome.readings.push(Reading::plain(Quantity::LatencyP50, p50));
    outcome.readings.push(Reading::plain(Quantity::LatencyP99, p99));
    Ok(outcome)
}
