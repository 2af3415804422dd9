//! Very many subjects: literal subscriptions on one connection (making them, their memory, publishing among them), and
//! one subscriber of all.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::throughput;
use crate::client::Client;
use crate::load::{Delivery, Frames, Subscribers, Traffic, delivered_length};
use crate::measure::Meter;
use crate::measure::process::resident_bytes;
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

const PAYLOAD: usize = 128;
/// Publications prepared; each goes to a random one of the subscriptions.
const PUBLICATIONS: usize = 200_000;
/// Subscription ids begin here, so that all have the same length and frames do too.
const FIRST_SID: usize = 10_000_000;
/// Subscriptions with wildcards on a second connection; none matches what is published.
const BYSTANDERS: usize = 1_000;
/// Time for the server to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Subscribes to `count` subjects, then publishes to random ones of them for `duration`.
pub(super) fn run(fleet: &Fleet, count: usize, duration: Duration) -> Result<Outcome> {
    let mut client = fleet.subscribe.connect()?;
    let before = resident(fleet)?;
    let mut readings = subscribe(fleet, &mut client, count)?;
    thread::sleep(SETTLE);
    let grown = resident(fleet)?.saturating_sub(before);
    readings.push(Reading::plain(Quantity::SubscriptionMemory, grown as f64 / count as f64));

    let mut bystander = fleet.subscribe.connect()?;
    bystander.send(bystanders().as_bytes())?;
    bystander.flush()?;

    let frame = delivered_length(&subject(0), &FIRST_SID.to_string(), PAYLOAD);
    let subscribers = Subscribers::start(vec![client], frame)?;
    let frames = Frames::encode(PUBLICATIONS, PAYLOAD, |random| subject((random % count as u64) as usize));
    let traffic = Traffic::new(vec![fleet.publish.connect()?], frames, subscribers, Delivery::ToEach);
    let published = throughput::measure(fleet, traffic, 1, duration)?;
    readings.extend(published.readings);
    Ok(Outcome { readings, usage: published.usage })
}

/// Publishes to random ones of `count` subjects for `duration`; one subscriber takes all.
pub(super) fn one_subscriber(fleet: &Fleet, count: usize, duration: Duration) -> Result<Outcome> {
    let mut client = fleet.subscribe.connect()?;
    client.subscribe("bench.many.>", None)?;
    fleet.settle()?;
    let subscribers = Subscribers::start(vec![client], delivered_length(&subject(0), "1", PAYLOAD))?;
    let frames = Frames::encode(PUBLICATIONS, PAYLOAD, |random| subject((random % count as u64) as usize));
    let traffic = Traffic::new(vec![fleet.publish.connect()?], frames, subscribers, Delivery::ToEach);
    throughput::measure(fleet, traffic, 1, duration)
}

fn subscribe(fleet: &Fleet, client: &mut Client, count: usize) -> Result<Vec<Reading>> {
    let mut lines = String::with_capacity(count * 32);
    for number in 0..count {
        writeln!(lines, "SUB {} {}\r", subject(number), FIRST_SID + number)?;
    }
    let meter = Meter::start(&fleet.pids())?;
    client.send(lines.as_bytes())?;
    client.flush()?;
    Ok(vec![Reading::rate(Quantity::Subscriptions, count as u64, &meter.stop()?)])
}

fn subject(number: usize) -> String {
    format!("bench.many.{number:07}.x")
}

/// Wildcards that look at the same tokens and match nothing.
fn bystanders() -> String {
    let subscribe = |number| {
        let pattern = match number % 3 {
            0 => format!("bench.many.*.y{number}"),
            1 => format!("bench.other{number}.>"),
            _ => format!("*.many.*.x.z{number}"),
        };
        format!("SUB {pattern} {number}\r\n")
    };
    (0..BYSTANDERS).map(subscribe).collect()
}

fn resident(fleet: &Fleet) -> Result<u64> {
    fleet.pids().into_iter().map(resident_bytes).sum()
}
