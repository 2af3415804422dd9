//! What lasts: starting again with a stream, its memory, and what its length costs.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{FILLING, STREAM, create, fill, publisher, stored};
use crate::load::Requester;
use crate::measure::Meter;
use crate::measure::process::resident_bytes;
use crate::report::{Outcome, Quantity, Reading};
use crate::scenario::{Durability, Place};
use crate::scenarios::warm_up;
use crate::servers::Fleet;

const MILLION: u64 = 1_000_000;
/// Messages stored between the two restarts, so that the second finds something new.
const MORE: u64 = 65_536;
/// A server that has not come back by then won't.
const BACK: Duration = Duration::from_secs(60);
/// Time for memory to settle after the last message.
const REST: Duration = Duration::from_secs(3);

/// Ends the server in order, then by force; each time until it answers about all its messages.
pub(crate) fn restart(fleet: &mut Fleet, program: &Path, messages: u64) -> Result<Outcome> {
    create(fleet, Place::File(Durability::Default))?;
    let meter = Meter::start(&fleet.pids())?;
    fill(fleet, messages, |number| format!("js.bench.{}", number % 10))?;
    let usage = meter.stop()?;
    let in_order = serves_again(fleet, program, libc::SIGTERM, messages)?;
    fill(fleet, MORE, |number| format!("js.bench.{}", number % 10))?;
    let killed = serves_again(fleet, program, libc::SIGKILL, messages + MORE)?;
    let readings = vec![
        Reading::plain(Quantity::RestartInOrder, in_order),
        Reading::plain(Quantity::RestartKilled, killed),
    ];
    Ok(Outcome { readings, usage })
}

fn serves_again(fleet: &mut Fleet, program: &Path, signal: libc::c_int, messages: u64) -> Result<f64> {
    let begun = fleet.restart(program, signal)?;
    loop {
        match stored(fleet) {
            Ok(found) => {
                let time = begun.elapsed().as_secs_f64() * 1000.0;
                ensure!(found >= messages, "{found} of {messages} messages are there after a restart");
                return Ok(time);
            }
            Err(error) if begun.elapsed() > BACK => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Memory of the server with a million messages.
pub(crate) fn memory(fleet: &Fleet, subjects: u64) -> Result<Outcome> {
    create(fleet, Place::File(Durability::Default))?;
    let meter = Meter::start(&fleet.pids())?;
    fill(fleet, MILLION, move |number| format!("js.bench.{:07}", number % subjects))?;
    let usage = meter.stop()?;
    ensure!(stored(fleet)? == MILLION, "not all messages are stored");
    thread::sleep(REST);
    let resident: u64 = fleet.pids().into_iter().map(resident_bytes).sum::<Result<u64>>()?;
    let mib = resident as f64 / f64::from(1 << 20);
    Ok(Outcome { readings: vec![Reading::plain(Quantity::StoredMemory, mib)], usage })
}

/// Storing and reading in a stream that has `messages` already.
pub(crate) fn depth(fleet: &Fleet, messages: u64, duration: Duration) -> Result<Outcome> {
    create(fleet, Place::File(Durability::Default))?;
    let subject = |number: u64| format!("js.bench.{}", number % 10);
    fill(fleet, messages, subject)?;
    let mut storing = publisher(fleet, FILLING, subject)?;
    storing.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let stored = storing.run(duration)?;
    let usage = meter.stop()?;
    let mut readings = vec![Reading::rate(Quantity::Messages, stored.count(), &usage)];
    let request = move |number: u64, inbox: &str, out: &mut Vec<u8>| {
        let seq = 1 + number.wrapping_mul(1_000_003) % messages;
        let body = format!("{{\"seq\":{seq}}}");
        let line = format!("PUB $JS.API.STREAM.MSG.GET.{STREAM} {inbox} {}\r\n{body}\r\n", body.len());
        out.extend_from_slice(line.as_bytes());
    };
    let mut reading = Requester::new(fleet.publish.connect()?, 64, request)?;
    reading.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let read = reading.run(duration)?;
    let usage_reading = meter.stop()?;
    readings.push(Reading::rate(Quantity::Reads, read.count(), &usage_reading));
    Ok(Outcome { readings, usage })
}
