//! The scenarios of `clients.rs` with async-nats, which this project uses itself.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{Client, Event, HeaderMap, PublishErrorKind, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use gatehouse_tests::{Door, Kind, next_payload, within};
use tokio::sync::mpsc;

async fn pubsub_and_wildcards(door: &Door) -> Result<()> {
    let client = door.client().await?;
    let (mut star, mut tail) = (client.subscribe("peer.w.*.c").await?, client.subscribe("peer.w.>").await?);
    for name in ["a.c", "b.c", "a.b.c", "a"] {
        client.publish(format!("peer.w.{name}"), name.into()).await?;
    }
    for wanted in ["a.c", "b.c"] {
        ensure!(next_payload(&mut star).await? == wanted);
    }
    for wanted in ["a.c", "b.c", "a.b.c", "a"] {
        ensure!(next_payload(&mut tail).await? == wanted);
    }
    Ok(())
}

async fn a_queue_group_gets_each_message_once(door: &Door) -> Result<()> {
    let mut members = Vec::new();
    for _ in 0..3 {
        let client = door.client().await?;
        members.push((client.queue_subscribe("peer.q", "workers".into()).await?, client.clone()));
        round_trip(&client).await?;
    }
    let publisher = door.client().await?;
    for i in 0..300 {
        publisher.publish("peer.q", i.to_string().into()).await?;
    }
    round_trip(&publisher).await?;
    let mut got = Vec::new();
    for (mut sub, client) in members {
        round_trip(&client).await?;
        client.drain().await?;
        let mut mine = Vec::new();
        while let Some(message) = within("a message or the end", sub.next()).await? {
            mine.push(String::from_utf8(message.payload.to_vec())?.parse::<u32>()?);
        }
        ensure!(!mine.is_empty(), "a member got nothing");
        got.extend(mine);
    }
    got.sort_unstable();
    ensure!(got == (0..300).collect::<Vec<_>>(), "{} messages, not each once", got.len());
    Ok(())
}

/// A request nobody answers: the server has worked on everything before it.
async fn round_trip(client: &Client) -> Result<()> {
    let error = within("no responders", client.request("peer.nobody", "".into()))
        .await?
        .err()
        .context("an answer")?;
    ensure!(error.kind() == RequestErrorKind::NoResponders, "{error}");
    Ok(())
}

async fn requests_carry_headers_both_ways(door: &Door) -> Result<()> {
    let (server, client) = (door.client().await?, door.client().await?);
    let mut sub = server.subscribe("peer.ask").await?;
    round_trip(&server).await?;
    let answering = async {
        let request = sub.next().await.context("ended")?;
        let reply = request.reply.context("no reply subject")?;
        server.publish_with_headers(reply, request.headers.context("no headers")?, request.payload).await?;
        anyhow::Ok(())
    };
    let mut headers = HeaderMap::new();
    headers.append("X-To", "one");
    headers.append("X-To", "two");
    let asking = async { Ok(client.request_with_headers("peer.ask", headers.clone(), "body".into()).await?) };
    let ((), answer) = tokio::try_join!(answering, asking)?;
    ensure!(answer.payload == "body" && answer.headers == Some(headers), "{answer:?}");
    round_trip(&client).await
}

/// A client whose events can be read.
async fn with_events(door: &Door) -> Result<(Client, mpsc::UnboundedReceiver<Event>)> {
    let (sender, events) = mpsc::unbounded_channel();
    let options = door.async_nats().event_callback(move |event| {
        let sender = sender.clone();
        async move { drop(sender.send(event)) }
    });
    Ok((options.connect(door.url.as_str()).await?, events))
}

async fn event(events: &mut mpsc::UnboundedReceiver<Event>, words: &str) -> Result<()> {
    while let Some(event) = within(words, events.recv()).await? {
        if event.to_string().to_lowercase().contains(words) {
            return Ok(());
        }
    }
    bail!("the client ended without: {words}")
}

async fn echo(client: &Client, sub: &mut Subscriber, subject: &str) -> Result<()> {
    client.publish(subject.to_owned(), "alive".into()).await?;
    ensure!(next_payload(sub).await? == "alive");
    Ok(())
}

async fn violations_are_errors_that_a_connection_survives(door: &Door) -> Result<()> {
    let (client, mut events) = with_events(door).await?;
    let mut sub = client.subscribe("peer.alive").await?;
    client.publish("denied.x", "x".into()).await?;
    event(&mut events, "permissions violation for publish").await?;
    let _denied = client.subscribe("denied.x").await?;
    event(&mut events, "permissions violation for subscription").await?;
    echo(&client, &mut sub, "peer.alive").await
}

async fn the_largest_payload_passes_and_one_byte_more_does_not(door: &Door) -> Result<()> {
    let client = door.client().await?;
    let limit = client.server_info().max_payload;
    let mut sub = client.subscribe("peer.big").await?;
    client.publish("peer.big", vec![b'x'; limit].into()).await?;
    ensure!(next_payload(&mut sub).await?.len() == limit);
    let refused = client.publish("peer.big", vec![b'x'; limit + 1].into()).await.err().context("accepted")?;
    ensure!(refused.kind() == PublishErrorKind::MaxPayloadExceeded, "{refused}");
    Ok(())
}

async fn a_lost_connection_comes_back_with_its_subscriptions(door: &Door) -> Result<()> {
    let (client, mut events) = with_events(door).await?;
    let mut sub = client.subscribe("peer.back").await?;
    echo(&client, &mut sub, "peer.back").await?;
    door.proxy.reset();
    event(&mut events, "disconnected").await?;
    event(&mut events, "connected").await?;
    tokio::time::timeout(Duration::from_secs(20), echo(&client, &mut sub, "peer.back")).await?
}

async fn ten_thousand_messages_keep_their_order(door: &Door) -> Result<()> {
    let (client, publisher) = (door.client().await?, door.client().await?);
    let mut sub = client.subscribe("peer.many").await?;
    round_trip(&client).await?;
    for i in 0..10_000 {
        publisher.publish("peer.many", i.to_string().into()).await?;
    }
    for i in 0..10_000 {
        ensure!(next_payload(&mut sub).await? == i.to_string(), "message {i}");
    }
    Ok(())
}

macro_rules! at_doors {
    ($($module:ident: $door:expr;)*) => {$(
        mod $module {
            use super::*;

            at_doors!(@ $door; pubsub_and_wildcards a_queue_group_gets_each_message_once
                requests_carry_headers_both_ways violations_are_errors_that_a_connection_survives
                the_largest_payload_passes_and_one_byte_more_does_not
                a_lost_connection_comes_back_with_its_subscriptions ten_thousand_messages_keep_their_order);
        }
    )*};
    (@ $door:expr; $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() -> Result<()> {
            match $door {
                Some(door) => super::$name(&door).await,
                None => Ok(()),
            }
        }
    )*};
}

at_doors! {
    stock_in_clear: Door::conf_plain(Kind::Stock).await?;
    bus_in_clear: Door::conf_plain(Kind::Ours).await?;
    bus_with_a_certificate: Some(Door::bus().await?);
    gateway_with_a_token: Some(Door::gateway().await?);
}
