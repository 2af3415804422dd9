//! Request and reply: one requester, one responder, every request with an inbox of its own.

use std::net::Shutdown;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, bail};

use super::warm_up;
use crate::client::{Client, Operation};
use crate::load::Requester;
use crate::measure::Meter;
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

const SERVICE: &str = "bench.service";
const PAYLOAD: usize = 128;

/// Keeps `in_flight` requests going for `duration`.
pub(super) fn run(fleet: &Fleet, in_flight: usize, duration: Duration) -> Result<Outcome> {
    let mut service = fleet.subscribe.connect()?;
    service.subscribe(SERVICE, None)?;
    let socket = service.socket().try_clone()?;
    socket.set_read_timeout(None)?;
    let responder: JoinHandle<()> = thread::spawn(move || respond(service));

    let body = "q".repeat(PAYLOAD);
    let request = move |_, inbox: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(format!("PUB {SERVICE} {inbox} {PAYLOAD}\r\n{body}\r\n").as_bytes());
    };
    let mut requester = Requester::new(fleet.publish.connect()?, in_flight, request)?;
    requester.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = requester.run(duration)?;
    let usage = meter.stop()?;

    socket.shutdown(Shutdown::Both)?;
    if responder.join().is_err() {
        bail!("the responder panicked");
    }
    let requests = Reading::rate(Quantity::Requests, latencies.count(), &usage);
    let [p50, p99] = latencies.quantiles([0.5, 0.99]);
    let readings =
        vec![requests, Reading::plain(Quantity::LatencyP50, p50), Reading::plain(Quantity::LatencyP99, p99)];
    Ok(Outcome { readings, usage })
}

/// Answers until the connection ends; what can be read at once is answered at once.
fn respond(mut client: Client) {
    let body = "r".repeat(PAYLOAD);
    let mut answers = Vec::new();
    while let Ok(operation) = client.receive() {
        if let Operation::Message { reply: Some(reply), .. } = operation {
            answers.extend_from_slice(b"PUB ");
            answers.extend_from_slice(reply);
            answers.extend_from_slice(format!(" {PAYLOAD}\r\n{body}\r\n").as_bytes());
        }
        if !client.has_operation() {
            if client.send(&answers).is_err() {
                return;
            }
            answers.clear();
        }
    }
}
