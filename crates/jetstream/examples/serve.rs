//! A server with streams in thirty lines: `cargo run -p gatehouse-jetstream --example serve -- 127.0.0.1:4222 [DIR]`.
//! Without a directory streams are kept in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{ListenerConfig, Open, Purpose, Server, ServerConfig};
use jetstream::{JetStream, Settings};
use store::{Store, StoreOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:4222".into());
    let store = match arguments.next() {
        Some(dir) => Store::open(Path::new(&dir), StoreOptions::default())?,
        None => Store::in_memory(StoreOptions::default()),
    };
    let server = Server::new(ServerConfig { name: "embedded".into(), ..ServerConfig::default() });
    let streams = JetStream::start(server.clone(), store, Settings::default())?;
    server.listen(ListenerConfig {
        address: address.parse()?,
        purpose: Purpose::Clients,
        tls: None,
        websocket: None,
        authenticator: Arc::new(Open),
        link_hold: Duration::from_secs(5),
        advertise: None,
        connect_urls: Vec::new(),
    })?;
    tokio::signal::ctrl_c().await?;
    server.drain(broker::Drain::default()).await;
    streams.close();
    Ok(())
}
