//! `internal-bus import`: what nats-server had is here, under the same sequence numbers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer, stream};
use gatehouse_tests::{ConfServer, Kind, run_binary};
use tempfile::TempDir;

const CONF: &str = "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\n";

async fn context(server: &ConfServer) -> Result<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(server.url()).await?))
}

/// A stream with gaps at both ends and in the middle, headers, and a consumer that has taken a part of it.
async fn fill(context: &jetstream::Context) -> Result<()> {
    let config = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        allow_direct: true,
        description: Some("to be copied".to_owned()),
        ..stream::Config::default()
    };
    let stream = context.create_stream(config).await?;
    for number in 1..=300_u32 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Number", number.to_string());
        let subject = format!("orders.{}", number % 7);
        context.publish_with_headers(subject, headers, number.to_string().into()).await?.await?;
    }
    stream.purge().sequence(11).await?;
    for seq in [50, 51, 299, 300] {
        stream.delete_message(seq).await?;
    }
    let config = consumer::pull::Config { durable_name: Some("billing".to_owned()), ..Default::default() };
    let consumer = stream.create_consumer(config).await?;
    let mut batch = consumer.fetch().max_messages(20).messages().await?;
    while let Some(message) = futures_util::StreamExt::next(&mut batch).await {
        let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
        message.double_ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}

/// Everything about a message that has to be the same.
async fn contents(context: &jetstream::Context) -> Result<Vec<String>> {
    let mut stream = context.get_stream("ORDERS").await?;
    let info = stream.info().await?.clone();
    let mut all = vec![format!("{:?} {}", info.config.description, info.config.subjects.join(","))];
    all.push(format!("{} {} {}", info.state.messages, info.state.first_sequence, info.state.last_sequence));
    for seq in info.state.first_sequence..=info.state.last_sequence {
        let Ok(message) = stream.get_raw_message(seq).await else {
            all.push(format!("{seq} is not there"));
            continue;
        };
        all.push(format!(
            "{seq} {} {:?} {:?} {:?}",
            message.subject, message.headers, message.payload, message.time
        ));
    }
    Ok(all)
}

#[tokio::test]
async fn streams_are_copied_from_a_running_server() -> Result<()> {
    let (there, here) = (TempDir::new()?, TempDir::new()?);
    let Some(stock) = ConfServer::start(Kind::Stock, there.path(), CONF).await? else { return Ok(()) };
    let source = context(&stock).await?;
    fill(&source).await?;
    let conf = here.path().join("server.conf");
    fs::write(&conf, CONF.replace("\"store\"", &format!("{:?}", here.path().join("store"))))?;
    let ran = run_binary(
        "internal-bus",
        here.path(),
        ["import", "--from", &stock.url(), "--config", "server.conf"],
    )
    .await?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    ensure!(ran.stdout.contains("ORDERS: 286 messages, sequences 11 to 300, 1 consumers"), "{}", ran.stdout);
    let text = fs::read_to_string(&conf)?;
    let ours = ConfServer::start(Kind::Ours, here.path(), &text).await?.context("no server")?;
    let copy = context(&ours).await?;
    ensure!(contents(&copy).await? == contents(&source).await?, "the copy differs");
    // The consumer goes on where it was, and the stream behind its last sequence.
    let stream = copy.get_stream("ORDERS").await?;
    let consumer: consumer::PullConsumer =
        stream.get_consumer("billing").await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut batch = consumer.fetch().max_messages(1).expires(Duration::from_secs(5)).messages().await?;
    let next = futures_util::StreamExt::next(&mut batch).await.context("nothing came")?;
    let next = next.map_err(|error| anyhow::anyhow!("{error}"))?;
    ensure!(next.info().map_err(|error| anyhow::anyhow!("{error}"))?.stream_sequence == 31);
    ensure!(copy.publish("orders.1", "new".into()).await?.await?.sequence == 301);
    Ok(())
}
