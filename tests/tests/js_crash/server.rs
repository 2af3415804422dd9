//! The server under attack: always on the same port and the same store.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, stream};
use gatehouse_tests::{ConfServer, Kind, eventually};
use tempfile::TempDir;

/// The stream.
pub(crate) const STREAM: &str = "ORDERS";

pub(crate) struct Server {
    kind: Kind,
    running: ConfServer,
    conf: String,
    dir: TempDir,
    client: jetstream::Context,
}

/// A client that comes back at once after each crash.
pub(crate) async fn connect(url: &str) -> Result<jetstream::Context> {
    let options = async_nats::ConnectOptions::new()
        .retry_on_initial_connect()
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .request_timeout(Some(Duration::from_secs(2)));
    let mut context = jetstream::new(options.connect(url).await?);
    context.set_timeout(Duration::from_secs(2));
    Ok(context)
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Result<Option<Self>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let dir = TempDir::with_prefix("gatehouse-crash-")?;
        let conf = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"store\", sync_interval: always }}\n"
        );
        let Some(running) = ConfServer::start(kind, dir.path(), &conf).await? else { return Ok(None) };
        let client = connect(&running.url()).await?;
        Ok(Some(Self { kind, running, conf, dir, client }))
    }

    pub(crate) fn url(&self) -> String {
        self.running.url()
    }

    pub(crate) async fn create(&self, storage: stream::StorageType) -> Result<()> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["orders.>".to_owned()],
            storage,
            duplicate_window: Duration::from_secs(3600),
            allow_direct: true,
            ..stream::Config::default()
        };
        self.client.create_stream(config).await.context("creating the stream")?;
        Ok(())
    }

    pub(crate) async fn kill_and_start(&mut self) -> Result<()> {
        self.running.process.kill().await?;
        let running = ConfServer::start(self.kind, self.dir.path(), &self.conf).await?;
        self.running = running.context("the server has gone")?;
        Ok(())
    }

    /// What is in the stream: sequence and message id.
    pub(crate) async fn stored(&self) -> Result<Vec<(u64, String)>> {
        let stream =
            eventually("the stream after a restart", || async { self.client.get_stream(STREAM).await.ok() })
                .await?;
        let state = &stream.cached_info().state;
        let mut stored = Vec::new();
        for seq in state.first_sequence..=state.last_sequence {
            let message = stream.direct_get(seq).await.with_context(|| format!("message {seq}"))?;
            let id = message.headers.get("Nats-Msg-Id").context("a message without id")?;
            stored.push((seq, id.to_string()));
        }
        ensure!(
            stored.len() as u64 == state.messages,
            "{} messages, {} counted",
            stored.len(),
            state.messages
        );
        Ok(stored)
    }

    /// What a consumer has still to deliver or to be acknowledged.
    pub(crate) async fn open(&self, consumer: &str) -> Result<u64> {
        let stream = self.client.get_stream(STREAM).await?;
        let info = stream.consumer_info(consumer).await?;
        Ok(info.num_pending + info.num_ack_pending as u64)
    }

    pub(crate) async fn nothing_left(&self, consumers: &[&str]) -> Result<()> {
        for consumer in consumers {
            let open =
                eventually("a consumer after a restart", || async { self.open(consumer).await.ok() }).await?;
            ensure!(open == 0, "{consumer} has forgotten {open} acknowledgements");
        }
        Ok(())
    }
}
