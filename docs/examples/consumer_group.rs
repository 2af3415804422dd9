//! A consumer group that handles every order once: `consumer_group URL publish|work [INSTANCE]`.
//!
//! Publishing: each order has an id (`Nats-Msg-Id`), so that one sent again after a lost answer is stored once.
//! Working: the instances share the durable consumer `billing`; an order is done when the bus has confirmed its
//! acknowledgement, which it does when that is on disk.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long an instance waits for another order before it ends.
const IDLE: Duration = Duration::from_secs(2);

async fn orders(js: &jetstream::Context) -> Outcome<stream::Stream> {
    let config = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        duplicate_window: Duration::from_secs(120),
        ..stream::Config::default()
    };
    Ok(js.get_or_create_stream(config).await?)
}

/// Publishes orders, each of them twice, as a publisher does that did not hear the first answer.
pub(crate) async fn publish(url: &str, count: usize) -> Outcome<()> {
    let js = jetstream::new(async_nats::connect(url).await?);
    orders(&js).await?;
    for number in 0..count {
        for _ in 0..2 {
            let order = PublishMessage::build().message_id(format!("order-{number}"));
            let stored = js.send_publish("orders.new", order.payload(number.to_string().into())).await?;
            stored.await?;
        }
    }
    Ok(())
}

/// Handles orders until there are none for a while; returns what was handled.
pub(crate) async fn work(url: &str) -> Outcome<Vec<String>> {
    let js = jetstream::new(async_nats::connect(url).await?);
    let config = pull::Config {
        durable_name: Some("billing".into()),
        // Longer than handling one takes: after that somebody else gets it.
        ack_wait: Duration::from_secs(30),
        ..pull::Config::default()
    };
    let consumer: PullConsumer = orders(&js).await?.get_or_create_consumer("billing", config).await?;
    let mut handled = Vec::new();
    let mut messages = consumer.stream().max_messages_per_batch(20).messages().await?;
    while let Ok(Some(message)) = tokio::time::timeout(IDLE, messages.next()).await {
        // What the client tells of the bus being away for a moment is no end: it asks again.
        let Ok(message) = message else { continue };
        // Here the order is booked, with its id, so that one that comes again after a crash is seen to be booked.
        handled.push(String::from_utf8_lossy(&message.payload).into_owned());
        message.double_ack().await?;
    }
    Ok(handled)
}

#[allow(dead_code)] // A test calls the two functions.
#[allow(clippy::print_stdout)] // A program of its own.
#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, what, rest @ ..] = arguments.as_slice() else {
        return Err("usage: consumer_group URL publish|work [INSTANCE]".into());
    };
    if what == "publish" {
        return publish(url, 100).await;
    }
    let instance = rest.first().map_or("one", String::as_str);
    let handled = work(url).await?;
    println!("{instance} handled {} orders", handled.len());
    Ok(())
}
