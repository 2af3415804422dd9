//! Stored messages: publishing, draining, key-value, starting again, memory.

mod api;
mod drain;
mod lasting;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::warm_up;
use crate::load::Requester;
use crate::measure::{Meter, Samples};
use crate::report::{Outcome, Quantity, Reading};
use crate::scenario::Place;
use crate::servers::Fleet;

pub(super) use drain::drain;
pub(super) use lasting::{depth, memory, restart};

/// The stream of all scenarios but key-value.
const STREAM: &str = "BENCH";
const PAYLOAD: usize = 128;
/// Publications without an acknowledgement while a stream is filled.
const FILLING: usize = 4096;
/// Keys of the bucket.
const KEYS: u64 = 10_000;

fn create(fleet: &Fleet, place: Place) -> Result<()> {
    let storage = if place == Place::Memory { "memory" } else { "file" };
    let config = json!({ "name": STREAM, "subjects": ["js.>"], "storage": storage, "retention": "limits" });
    api::ask(fleet, &format!("STREAM.CREATE.{STREAM}"), &config)?;
    Ok(())
}

fn create_bucket(fleet: &Fleet) -> Result<()> {
    let config = json!({
        "name": "KV_B", "subjects": ["$KV.B.>"], "storage": "file", "max_msgs_per_subject": 1, "discard": "new",
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true,
    });
    api::ask(fleet, "STREAM.CREATE.KV_B", &config)?;
    Ok(())
}

/// Appends one publication: its number, and where it wants to be acknowledged.
type Publish = Box<dyn Fn(u64, &str, &mut Vec<u8>)>;

/// A publisher that wants each message acknowledged; `subject` names where the one of that number goes.
fn publisher(
    fleet: &Fleet,
    in_flight: usize,
    subject: impl Fn(u64) -> String + 'static,
) -> Result<Requester<Publish>> {
    let body = "s".repeat(PAYLOAD);
    let request: Publish = Box::new(move |number, inbox, out| {
        let line = format!("PUB {} {inbox} {PAYLOAD}\r\n{body}\r\n", subject(number));
        out.extend_from_slice(line.as_bytes());
    });
    Requester::new(fleet.publish.connect()?, in_flight, request)
}

fn fill(fleet: &Fleet, messages: u64, subject: impl Fn(u64) -> String + 'static) -> Result<()> {
    publisher(fleet, FILLING, subject)?.run_count(messages)?;
    Ok(())
}

fn stored(fleet: &Fleet) -> Result<u64> {
    let info: Value = api::ask(fleet, &format!("STREAM.INFO.{STREAM}"), &Value::Null)?;
    Ok(info["state"]["messages"].as_u64().unwrap_or_default())
}

fn outcome(quantity: Quantity, latencies: Samples, usage: crate::measure::Usage) -> Outcome {
    let rate = Reading::rate(quantity, latencies.count(), &usage);
    let [p50, p99] = latencies.quantiles([0.5, 0.99]);
    let readings =
        vec![rate, Reading::plain(Quantity::LatencyP50, p50), Reading::plain(Quantity::LatencyP99, p99)];
    Outcome { readings, usage }
}

/// Stores messages, `in_flight` of them not yet acknowledged.
pub(super) fn publish(fleet: &Fleet, place: Place, in_flight: usize, duration: Duration) -> Result<Outcome> {
    create(fleet, place)?;
    let mut publisher = publisher(fleet, in_flight, |_| "js.bench".to_owned())?;
    publisher.run(warm_up(duration))?;
    let before = stored(fleet)?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = publisher.run(duration)?;
    let usage = meter.stop()?;
    let grown = stored(fleet)? - before;
    anyhow::ensure!(grown == latencies.count(), "{grown} stored, {} acknowledged", latencies.count());
    Ok(outcome(Quantity::Messages, latencies, usage))
}

/// Puts values, key after key.
pub(super) fn kv_put(fleet: &Fleet, in_flight: usize, duration: Duration) -> Result<Outcome> {
    create_bucket(fleet)?;
    let mut putter = publisher(fleet, in_flight, |number| format!("$KV.B.key.{}", number % KEYS))?;
    putter.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = putter.run(duration)?;
    let usage = meter.stop()?;
    Ok(outcome(Quantity::Requests, latencies, usage))
}

/// Gets values of scattered keys, as clients do it: directly.
pub(super) fn kv_get(fleet: &Fleet, in_flight: usize, duration: Duration) -> Result<Outcome> {
    create_bucket(fleet)?;
    fill(fleet, KEYS, |number| format!("$KV.B.key.{number}"))?;
    let request = |number: u64, inbox: &str, out: &mut Vec<u8>| {
        let key = number.wrapping_mul(7919) % KEYS;
        let line = format!("PUB $JS.API.DIRECT.GET.KV_B.$KV.B.key.{key} {inbox} 0\r\n\r\n");
        out.extend_from_slice(line.as_bytes());
    };
    let mut getter = Requester::new(fleet.publish.connect()?, in_flight, request)?;
    getter.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let latencies = getter.run(duration)?;
    let usage = meter.stop()?;
    Ok(outcome(Quantity::Requests, latencies, usage))
}
