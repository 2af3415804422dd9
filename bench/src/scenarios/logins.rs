//! Logins with a bearer token over TLS: how many a second, and how long one takes while many come at once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::warm_up;
use crate::client::Endpoint;
use crate::measure::{Meter, Samples};
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

/// Stack of a thread that connects, in bytes: there are hundreds.
const STACK: usize = 256 << 10;

/// Keeps `at_once` logins going for `duration`; each connection leaves as soon as it is in.
pub(super) fn run(fleet: &Fleet, at_once: usize, duration: Duration) -> Result<Outcome> {
    connect_for(&fleet.publish, at_once.min(4), warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = connect_for(&fleet.publish, at_once, duration)?;
    let usage = meter.stop()?;
    let made = Reading::rate(Quantity::Connections, latencies.count(), &usage);
    let [p50, p99] = latencies.quantiles([0.5, 0.99]);
    let readings =
        vec![made, Reading::plain(Quantity::LatencyP50, p50), Reading::plain(Quantity::LatencyP99, p99)];
    Ok(Outcome { readings, usage })
}

fn connect_for(endpoint: &Endpoint, at_once: usize, duration: Duration) -> Result<Samples> {
    let deadline = Instant::now() + duration;
    thread::scope(|scope| {
        let threads = (0..at_once).map(|_| {
            let connect = || connect_until(endpoint, deadline);
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, connect)
        });
        let threads = threads.collect::<std::io::Result<Vec<_>>>()?;
        let mut all = Samples::default();
        for thread in threads {
            all.merge(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        Ok(all)
    })
}

/// Connects again and again; the time of a login runs from the TCP connection to the PONG. One that fails makes the run
/// invalid: a server that turns clients away is not fast.
fn connect_until(endpoint: &Endpoint, deadline: Instant) -> Result<Samples> {
    let mut latencies = Samples::default();
    while Instant::now() < deadline {
        let begun = Instant::now();
        let client = endpoint.connect_small()?;
        latencies.record(begun.elapsed());
        client.close()?;
    }
    Ok(latencies)
}
