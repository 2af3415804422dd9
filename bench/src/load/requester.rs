//! Keeps a number of requests going, each with an inbox of its own, and times their answers.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::client::{Client, Operation};
use crate::measure::Samples;

const INBOX: &str = "_INBOX.bench0123456789.";
/// Requests are numbered modulo this; far more than are ever in flight.
const NUMBERS: usize = 1 << 16;
/// Digits of a request number at the end of its inbox.
const DIGITS: usize = 8;

/// A connection that asks.
pub(crate) struct Requester<F> {
    client: Client,
    in_flight: usize,
    next: usize,
    sent_at: Vec<Instant>,
    /// Appends the bytes of a request: its number since the beginning, and its inbox.
    request: F,
    /// Requests made so far.
    made: u64,
}

/// When to stop.
#[derive(Clone, Copy)]
enum Until {
    Time(Instant),
    Count(u64),
}

impl<F: Fn(u64, &str, &mut Vec<u8>)> Requester<F> {
    /// `request` appends the bytes of one request.
    ///
    /// # Errors
    /// When the subscription to the inboxes is refused.
    pub(crate) fn new(mut client: Client, in_flight: usize, request: F) -> Result<Self> {
        client.subscribe(&format!("{INBOX}*"), None)?;
        let in_flight = in_flight.min(NUMBERS / 2);
        Ok(Self { client, in_flight, next: 0, sent_at: vec![Instant::now(); NUMBERS], request, made: 0 })
    }

    /// Sends and receives for `duration`, then takes in what is still on its way.
    ///
    /// # Errors
    /// When an answer is an error, or does not come.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<Samples> {
        self.until(Until::Time(Instant::now() + duration))
    }

    /// Sends `count` requests and waits for their answers.
    ///
    /// # Errors
    /// As [`Requester::run`].
    pub(crate) fn run_count(&mut self, count: u64) -> Result<Samples> {
        self.until(Until::Count(self.made + count))
    }

    fn until(&mut self, until: Until) -> Result<Samples> {
        let mut latencies = Samples::default();
        let mut flying = 0;
        let mut free = self.in_flight;
        loop {
            let wanted = match until {
                Until::Time(end) if Instant::now() >= end => 0,
                Until::Time(_) => free,
                Until::Count(count) => free.min(usize::try_from(count - self.made)?),
            };
            self.send(wanted)?;
            flying += wanted;
            if flying == 0 {
                return Ok(latencies);
            }
            free = self.take_answers(&mut latencies)?;
            flying -= free;
            free = self.in_flight - flying;
        }
    }

    fn send(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let mut requests = Vec::with_capacity(count * 256);
        let now = Instant::now();
        for _ in 0..count {
            let number = self.next;
            self.next = (number + 1) % NUMBERS;
            self.sent_at[number] = now;
            (self.request)(self.made, &format!("{INBOX}{number:0DIGITS$}"), &mut requests);
            self.made += 1;
        }
        self.client.send(&requests)?;
        Ok(())
    }

    /// Waits for at least one answer and takes all that are there.
    fn take_answers(&mut self, latencies: &mut Samples) -> Result<usize> {
        let mut answered = 0;
        while answered == 0 || self.client.has_operation() {
            match self.client.receive()? {
                Operation::Message { headers: true, payload, .. } if payload.starts_with(b"NATS/1.0 ") => {
                    bail!("an answer says {}", String::from_utf8_lossy(payload).trim());
                }
                Operation::Message { payload, .. } if payload.starts_with(b"{\"error\"") => {
                    bail!("an answer says {}", String::from_utf8_lossy(payload));
                }
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
