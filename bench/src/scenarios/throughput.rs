//! As many messages as the server takes: publish only, fan-out, queue group.

use std::time::Duration;

use anyhow::Result;

use super::warm_up;
use crate::client::{Client, Endpoint, Operation};
use crate::load::{Delivery, Frames, Subscribers, Traffic, delivered_length};
use crate::measure::Meter;
use crate::report::{Outcome, Quantity, Reading};
use crate::servers::Fleet;

/// Subject of all messages.
const SUBJECT: &str = "bench.subject.one";
const GROUP: &str = "workers";
/// Publishers, and members of the queue group.
const QUEUE_CLIENTS: usize = 4;

/// One publisher and nobody to hear it.
pub(super) fn publish(fleet: &Fleet, payload: usize, duration: Duration) -> Result<Outcome> {
    let publishers = vec![fleet.publish.connect()?];
    measure(fleet, Traffic::unheard(publishers, Frames::on(SUBJECT, payload)), 1, duration)
}

/// One publisher, `count` subscribers of its subject.
pub(super) fn fan_out(fleet: &Fleet, count: usize, payload: usize, duration: Duration) -> Result<Outcome> {
    let subscribers = subscribers(fleet, count, None, payload)?;
    let publishers = vec![fleet.publish.connect()?];
    let traffic = Traffic::new(publishers, Frames::on(SUBJECT, payload), subscribers, Delivery::ToEach);
    measure(fleet, traffic, count as u64, duration)
}

/// One publisher, who connects at `publish`, and one subscriber.
pub(super) fn one_to_one(
    fleet: &Fleet,
    publish: &Endpoint,
    payload: usize,
    duration: Duration,
) -> Result<Outcome> {
    let mut client = fleet.subscribe.connect()?;
    client.subscribe(SUBJECT, None)?;
    fleet.settle_from(publish)?;
    let subscribers = Subscribers::start(vec![client], delivered_length(SUBJECT, "1", payload))?;
    let frames = Frames::on(SUBJECT, payload);
    let traffic = Traffic::new(vec![publish.connect()?], frames, subscribers, Delivery::ToEach);
    measure(fleet, traffic, 1, duration)
}

/// One publisher and one subscriber, whose messages may arrive with headers that were added on the way.
pub(super) fn as_they_arrive(fleet: &Fleet, payload: usize, duration: Duration) -> Result<Outcome> {
    let mut client = fleet.subscribe.connect()?;
    client.subscribe(SUBJECT, None)?;
    fleet.settle()?;
    let frames = Frames::on(SUBJECT, payload);
    // What is added names the publisher's connection: the same one sends all.
    let mut publisher = fleet.publish.connect()?;
    publisher.send(frames.first())?;
    let headers = loop {
        if let Operation::Message { headers, payload, .. } = client.receive()? {
            let end = payload.windows(4).position(|window| window == b"\r\n\r\n");
            break headers.then(|| end.map_or(0, |at| at + 4));
        }
    };
    let clients = vec![client];
    let subscribers = match headers {
        None => Subscribers::start(clients, delivered_length(SUBJECT, "1", payload))?,
        Some(headers) => {
            let all = headers + payload;
            let line = format!("HMSG {SUBJECT} 1 {headers} {all}\r\n");
            Subscribers::start_headed(clients, (line.len() + all + 2) as u64)?
        }
    };
    let traffic = Traffic::new(vec![publisher], frames, subscribers, Delivery::ToEach);
    measure(fleet, traffic, 1, duration)
}

/// Four publishers, a queue group of four.
pub(super) fn queue(fleet: &Fleet, payload: usize, duration: Duration) -> Result<Outcome> {
    let subscribers = subscribers(fleet, QUEUE_CLIENTS, Some(GROUP), payload)?;
    let publishers: Result<Vec<Client>> = (0..QUEUE_CLIENTS).map(|_| fleet.publish.connect()).collect();
    let traffic = Traffic::new(publishers?, Frames::on(SUBJECT, payload), subscribers, Delivery::ToOne);
    measure(fleet, traffic, 1, duration)
}

fn subscribers(fleet: &Fleet, count: usize, group: Option<&str>, payload: usize) -> Result<Subscribers> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = fleet.subscribe.connect()?;
        client.subscribe(SUBJECT, group)?;
        clients.push(client);
    }
    fleet.settle()?;
    Subscribers::start(clients, delivered_length(SUBJECT, "1", payload))
}

/// Warms up, then measures; every published message counts `deliveries` times.
pub(super) fn measure(
    fleet: &Fleet,
    mut traffic: Traffic,
    deliveries: u64,
    duration: Duration,
) -> Result<Outcome> {
    traffic.run(warm_up(duration))?;
    let meter = Meter::start(&fleet.pids())?;
    let published = traffic.run(duration)?;
    let usage = meter.stop()?;
    let reading = Reading::rate(Quantity::Messages, published * deliveries, &usage);
    Ok(Outcome { readings: vec![reading], usage })
}
