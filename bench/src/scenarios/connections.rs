//! Connections per second: TCP, INFO, TLS handshake, login, PING and PONG, goodbye.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::warm_up;
use crate::client::Endpoint;
use crate::measure::Meter;
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

/// Connections made at the same time.
const THREADS: usize = 4;

/// Connects again and again for `duration`.
pub(super) fn run(fleet: &Fleet, duration: Duration) -> Result<Outcome> {
    connect_for(&fleet.publish, warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let made = connect_for(&fleet.publish, duration)?;
    let usage = meter.stop()?;
    Ok(Outcome { readings: vec![Reading::rate(Quantity::Connections, made, &usage)], usage })
}

fn connect_for(endpoint: &Endpoint, duration: Duration) -> Result<u64> {
    let deadline = Instant::now() + duration;
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| connect_until(endpoint, deadline))).collect();
        let counts =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        counts.sum()
    })
}

fn connect_until(endpoint: &Endpoint, deadline: Instant) -> Result<u64> {
    let mut made = 0;
    while Instant::now() < deadline {
        endpoint.connect_small()?.close()?;
        made += 1;
    }
    Ok(made)
}
