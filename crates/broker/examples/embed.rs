//! A NATS server in twenty lines: `cargo run -p gatehouse-broker --example embed -- 127.0.0.1:4222`

use std::sync::Arc;
use std::time::Duration;

use broker::{ListenerConfig, Open, Purpose, Server, ServerConfig};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4222".into());
    let server = Server::new(ServerConfig { name: "embedded".into(), ..ServerConfig::default() });
    let local = server.listen(ListenerConfig {
        address: address.parse().map_err(std::io::Error::other)?,
        purpose: Purpose::Clients,
        tls: None,
        websocket: None,
        authenticator: Arc::new(Open),
        link_hold: Duration::from_secs(5),
        advertise: None,
        connect_urls: Vec::new(),
    })?;
    tracing::info!("listening on {local}");
    tokio::signal::ctrl_c().await?;
    server.drain(broker::Drain::default()).await;
    Ok(())
}
