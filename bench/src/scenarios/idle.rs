//! Memory of connections that do nothing, before and after they have carried messages.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::client::{Client, greet};
use crate::measure::Meter;
use crate::measure::process::resident_bytes;
use crate::report::{Outcome, Quantity, Reading};
use crate::scenario::IdleKind;
use crate::servers::Fleet;

/// Threads that open connections.
const THREADS: usize = 4;
/// Time without a byte before memory is read.
const REST: Duration = Duration::from_secs(5);
/// Messages each connection publishes to itself.
const MESSAGES: usize = 5;
const PAYLOAD: usize = 128;

/// Opens `count` connections and reads the server's memory.
pub(super) fn run(fleet: &Fleet, kind: IdleKind, count: usize) -> Result<Outcome> {
    // The first connection pays for what all share.
    fleet.publish.connect_small()?.close()?;
    thread::sleep(Duration::from_millis(300));
    let baseline = resident(fleet)?;
    let meter = Meter::start(&fleet.pids())?;
    let per_connection = || Ok::<_, anyhow::Error>(per_connection_kib(resident(fleet)?, baseline, count));
    let mut readings = Vec::new();
    if kind == IdleKind::Silent {
        let sockets = open(count, |_| greet(fleet.publish.address))?;
        thread::sleep(REST);
        readings.push(Reading::plain(Quantity::IdleFresh, per_connection()?));
        still_open(sockets.iter())?;
    } else {
        let clients = open(count, |_| fleet.publish.connect_small())?;
        thread::sleep(REST);
        readings.push(Reading::plain(Quantity::IdleFresh, per_connection()?));
        let clients = carry_messages(clients)?;
        thread::sleep(REST);
        readings.push(Reading::plain(Quantity::IdleAfterTraffic, per_connection()?));
        still_open(clients.iter().map(Client::socket))?;
    }
    Ok(Outcome { readings, usage: meter.stop()? })
}

fn resident(fleet: &Fleet) -> Result<u64> {
    fleet.pids().into_iter().map(resident_bytes).sum()
}

fn per_connection_kib(now: u64, baseline: u64, count: usize) -> f64 {
    now.saturating_sub(baseline) as f64 / count as f64 / 1024.0
}

/// Makes `count` of something on several threads.
fn open<T: Send>(count: usize, make: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let make = &make;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || (first..count).step_by(THREADS).map(make).collect::<Result<Vec<T>>>())
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        Ok(all)
    })
}

/// Each connection subscribes to a subject of its own and publishes to it.
fn carry_messages(clients: Vec<Client>) -> Result<Vec<Client>> {
    let body = "i".repeat(PAYLOAD);
    let carry = |(number, mut client): (usize, Client)| -> Result<Client> {
        let subject = format!("bench.idle.{number}");
        client.subscribe(&subject, None)?;
        let publication = format!("PUB {subject} {PAYLOAD}\r\n{body}\r\n");
        client.send(publication.repeat(MESSAGES).as_bytes())?;
        for _ in 0..MESSAGES {
            client.wait_for_message()?;
        }
        Ok(client)
    };
    clients.into_iter().enumerate().map(carry).collect()
}

/// A server that has cut connections holds no memory for them: such a run does not count.
fn still_open<'a>(sockets: impl Iterator<Item = &'a TcpStream>) -> Result<()> {
    for socket in sockets {
        socket.set_nonblocking(true)?;
        match socket.peek(&mut [0]) {
            Ok(0) => bail!("the server has closed idle connections"),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            // Nothing to read, or a PING: alive.
            _ => {}
        }
    }
    Ok(())
}
