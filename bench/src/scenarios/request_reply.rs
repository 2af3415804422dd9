//! Request and reply: one requester, one responder, every request with an inbox of its own.

use std::net::Shutdown;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::warm_up;
use crate::client::{Client, Operation};
use crate::measure::{Meter, Samples};
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

const SERVICE: &str = "bench.service";
const INBOX: &str = "_INBOX.bench0123456789.";
const PAYLOAD: usize = 128;
/// Requests are numbered modulo this; far more than are ever in flight.
const NUMBERS: usize = 1 << 16;
/// Digits of a request number at the end of its inbox.
const DIGITS: usize = 8;

/// Keeps `in_flight` requests going for `duration`.
pub(super) fn run(fleet: &Fleet, in_flight: usize, duration: Duration) -> Result<Outcome> {
    let mut service = fleet.subscribe.connect()?;
    service.subscribe(SERVICE, None)?;
    let socket = service.socket().try_clone()?;
    socket.set_read_timeout(None)?;
    let responder: JoinHandle<()> = thread::spawn(move || respond(service));

    let mut requester = Requester::new(fleet.publish.connect()?, in_flight)?;
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

struct Requester {
    client: Client,
    in_flight: usize,
    next: usize,
    sent_at: Vec<Instant>,
    body: String,
}

impl Requester {
    fn new(mut client: Client, in_flight: usize) -> Result<Self> {
        client.subscribe(&format!("{INBOX}*"), None)?;
        let in_flight = in_flight.min(NUMBERS / 2);
        let sent_at = vec![Instant::now(); NUMBERS];
        Ok(Self { client, in_flight, next: 0, sent_at, body: "q".repeat(PAYLOAD) })
    }

    /// Sends and receives for `duration`, then takes in what is still on its way.
    fn run(&mut self, duration: Duration) -> Result<Samples> {
        let deadline = Instant::now() + duration;
        let mut latencies = Samples::default();
        let mut flying = self.in_flight;
        self.send(flying)?;
        while flying > 0 {
            let answered = self.take_answers(&mut latencies)?;
            if Instant::now() < deadline {
                self.send(answered)?;
            } else {
                flying -= answered;
            }
        }
        Ok(latencies)
    }

    fn send(&mut self, count: usize) -> Result<()> {
        let mut requests = Vec::with_capacity(count * (PAYLOAD + 80));
        let now = Instant::now();
        for _ in 0..count {
            let number = self.next;
            self.next = (number + 1) % NUMBERS;
            self.sent_at[number] = now;
            let head = format!("PUB {SERVICE} {INBOX}{number:0DIGITS$} {PAYLOAD}\r\n");
            requests.extend_from_slice(head.as_bytes());
            requests.extend_from_slice(self.body.as_bytes());
            requests.extend_from_slice(b"\r\n");
        }
        self.client.send(&requests)?;
        Ok(())
    }

    /// Waits for at least one answer and takes all that are there.
    fn take_answers(&mut self, latencies: &mut Samples) -> Result<usize> {
        let mut answered = 0;
        while answered == 0 || self.client.has_operation() {
            match self.client.receive()? {
                Operation::Message { headers: true, .. } => bail!("nobody answers requests"),
                Operation::Message { subject, .. } => {
                    let Some(sent_at) = request_number(subject).and_then(|number| self.sent_at.get(number))
                    else {
                        bail!("an answer to no request");
                    };
                    latencies.record(sent_at.elapsed());
                    answered += 1;
                }
                Operation::Error(line) => bail!("server says {}", String::from_utf8_lossy(line)),
                _ => {}
            }
        }
        Ok(answered)
    }
}

fn request_number(inbox: &[u8]) -> Option<usize> {
    let digits = inbox.get(inbox.len().checked_sub(DIGITS)?..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_request_is_at_the_end_of_its_inbox() {
        assert_eq!(request_number(format!("{INBOX}{:0DIGITS$}", 4711).as_bytes()), Some(4711));
        assert_eq!(request_number(b"_INBOX.x"), None);
        assert_eq!(request_number(b"x"), None);
    }
}
