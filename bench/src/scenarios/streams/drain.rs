//! A pull consumer that takes everything and acknowledges each message.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{STREAM, api, create, fill};
use crate::client::Operation;
use crate::measure::Meter;
use crate::report::{Outcome, Quantity, Reading};
use crate::scenario::Place;
use crate::servers::Fleet;

const MESSAGES: u64 = 300_000;
/// Messages of one pull request; two are open at a time.
const BATCH: u64 = 256;
const INBOX: &str = "_INBOX.benchpull.1";
const CONSUMER: &str = "C";
/// The last acknowledgements are worked off within this time.
const SETTLED: Duration = Duration::from_secs(10);

/// Stores messages, then takes them all.
pub(crate) fn drain(fleet: &Fleet, place: Place) -> Result<Outcome> {
    create(fleet, place)?;
    fill(fleet, MESSAGES, |_| "js.bench".to_owned())?;
    let config = json!({ "name": CONSUMER, "durable_name": CONSUMER, "ack_policy": "explicit", "max_ack_pending": 10_000 });
    api::ask(
        fleet,
        &format!("CONSUMER.CREATE.{STREAM}.{CONSUMER}"),
        &json!({ "stream_name": STREAM, "config": config }),
    )?;
    let meter = Meter::start(&fleet.pids())?;
    take_all(fleet)?;
    settled(fleet)?;
    let usage = meter.stop()?;
    Ok(Outcome { readings: vec![Reading::rate(Quantity::Messages, MESSAGES, &usage)], usage })
}

fn take_all(fleet: &Fleet) -> Result<()> {
    let mut client = fleet.subscribe.connect()?;
    client.subscribe(INBOX, None)?;
    let body = json!({ "batch": BATCH, "expires": 30_000_000_000_u64 }).to_string();
    let pull =
        format!("PUB $JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER} {INBOX} {}\r\n{body}\r\n", body.len());
    client.send(pull.repeat(2).as_bytes())?;
    let (mut taken, mut answers) = (0, Vec::new());
    while taken < MESSAGES {
        match client.receive()? {
            Operation::Message { reply: Some(ack), headers: false, .. } => {
                taken += 1;
                answers.extend_from_slice(b"PUB ");
                answers.extend_from_slice(ack);
                answers.extend_from_slice(b" 4\r\n+ACK\r\n");
                if taken % BATCH == 0 {
                    answers.extend_from_slice(pull.as_bytes());
                }
            }
            Operation::Message { payload, .. } => {
                bail!("after {taken} messages: {}", String::from_utf8_lossy(payload).trim());
            }
            Operation::Error(line) => bail!("server says {}", String::from_utf8_lossy(line)),
            _ => {}
        }
        if !client.has_operation() || answers.len() > 64 * 1024 {
            client.send(&answers)?;
            answers.clear();
        }
    }
    client.flush()
}

/// Waits until every acknowledgement has been counted: what is left open is not drained.
fn settled(fleet: &Fleet) -> Result<()> {
    let begun = Instant::now();
    loop {
        let info = api::ask(fleet, &format!("CONSUMER.INFO.{STREAM}.{CONSUMER}"), &Value::Null)?;
        let left = info["num_ack_pending"].as_u64().unwrap_or(1) + info["num_pending"].as_u64().unwrap_or(1);
        if left == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < SETTLED, "{left} messages are not acknowledged");
        std::thread::sleep(Duration::from_millis(2));
    }
}
