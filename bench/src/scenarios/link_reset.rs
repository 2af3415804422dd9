//! A link breaks, and comes back: how long until the other end knows all that is wanted again.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::{Client, Operation};
use crate::load::{Subscribers, delivered_length};
use crate::measure::{Meter, Samples};
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

/// How often the link is reset in a run.
const RESETS: usize = 3;
/// Subscription ids begin here, so that all frames have the same length.
const FIRST_SID: usize = 10_000_000;
/// Between two attempts to get a message across.
const PROBE_PAUSE: Duration = Duration::from_micros(500);
/// A link that is not back after this time won't come.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAYLOAD: &str = ".";

/// Subscribes to `count` subjects at the inner server and resets the link.
///
/// Interest is told in order, so a message on a subject subscribed to after the link was back proves that all the
/// others are known. That this is so is checked each time: afterwards a message to every subject has to arrive.
pub(super) fn run(fleet: &Fleet, count: usize) -> Result<Outcome> {
    let wire = fleet.wire()?;
    let mut client = fleet.subscribe.connect()?;
    let mut lines = String::with_capacity(count * 32);
    for number in 0..count {
        writeln!(lines, "SUB {} {}\r", subject(number), FIRST_SID + number)?;
    }
    client.send(lines.as_bytes())?;
    client.flush()?;
    fleet.settle()?;
    let frame = delivered_length(&subject(0), &FIRST_SID.to_string(), PAYLOAD.len());
    let subscribers = Subscribers::start(vec![client], frame)?;
    let mut probe = Probe { inside: fleet.subscribe.connect()?, outside: fleet.publish.connect()?, next: 0 };
    probe.inside.socket().set_nonblocking(true)?;
    check(&mut probe.outside, &subscribers, count)?;

    let (mut since_reset, mut since_dial) = (Samples::default(), Samples::default());
    let meter = Meter::start(&fleet.pids())?;
    for _ in 0..RESETS {
        let reset = Instant::now();
        wire.reset();
        // The first message across shows that the link is up; the second one's subscription was told behind all others.
        probe.cross(reset)?;
        let complete = probe.cross(reset)?;
        let dialled = wire.dialled().context("a message has crossed a link that nobody has dialled")?;
        since_reset.record(complete - reset);
        since_dial.record(complete.saturating_duration_since(dialled));
        check(&mut probe.outside, &subscribers, count)?;
    }
    let usage = meter.stop()?;
    let [reset] = since_reset.quantiles([0.5]);
    let [dial] = since_dial.quantiles([0.5]);
    let readings = vec![
        Reading::plain(Quantity::InterestAfterReset, reset / 1e3),
        Reading::plain(Quantity::InterestAfterDial, dial / 1e3),
    ];
    Ok(Outcome { readings, usage })
}

fn subject(number: usize) -> String {
    format!("bench.many.{number:07}.x")
}

/// Publishes to every subject once: all has to arrive.
fn check(publisher: &mut Client, subscribers: &Subscribers, count: usize) -> Result<()> {
    let before = subscribers.progress().deliveries();
    let mut lines = String::with_capacity(count * 40);
    for number in 0..count {
        write!(lines, "PUB {} {}\r\n{PAYLOAD}\r\n", subject(number), PAYLOAD.len())?;
    }
    publisher.send(lines.as_bytes())?;
    publisher.flush()?;
    let begun = Instant::now();
    loop {
        subscribers.progress().check()?;
        match subscribers.progress().deliveries() - before {
            arrived if arrived == count as u64 => return Ok(()),
            arrived if arrived > count as u64 || begun.elapsed() > TIMEOUT => {
                bail!("{arrived} of {count} subjects were wanted after the link was taken for complete")
            }
            _ => thread::sleep(PROBE_PAUSE),
        }
    }
}

/// Two clients, one at each end of the link.
struct Probe {
    inside: Client,
    outside: Client,
    next: usize,
}

impl Probe {
    /// Subscribes to something new and publishes until it arrives.
    fn cross(&mut self, begun: Instant) -> Result<Instant> {
        let subject = format!("bench.probe.{}", self.next);
        self.next += 1;
        self.inside.send(format!("SUB {subject} {}\r\n", self.next).as_bytes())?;
        while begun.elapsed() < TIMEOUT {
            self.outside.send(format!("PUB {subject} 1\r\n.\r\n").as_bytes())?;
            thread::sleep(PROBE_PAUSE);
            if self.arrived(&subject)? {
                return Ok(Instant::now());
            }
        }
        bail!("nothing has crossed the link within {TIMEOUT:?}")
    }

    fn arrived(&mut self, wanted: &str) -> Result<bool> {
        loop {
            match self.inside.receive() {
                // An earlier probe may come late.
                Ok(Operation::Message { subject, .. }) if subject == wanted.as_bytes() => return Ok(true),
                Ok(Operation::Error(line)) => bail!("server says {}", String::from_utf8_lossy(line)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
