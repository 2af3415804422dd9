//! The same scenarios with each client library, through each door. The stock server stands first: a scenario that
//! fails there is wrong itself.

use anyhow::Result;
use gatehouse_tests::{Client, Door, Kind};

async fn through(client: Client, door: Option<Door>) -> Result<()> {
    let Some(door) = door else { return Ok(()) };
    door.passes_all_of(client).await
}

macro_rules! doors {
    ($($module:ident: $client:expr;)*) => {$(
        mod $module {
            use super::*;

            #[tokio::test]
            async fn stock_server_in_clear() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Door::conf_plain(Kind::Stock).await?).await
            }

            #[tokio::test]
            async fn stock_server_with_mutual_tls() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Door::conf_mtls(Kind::Stock).await?).await
            }

            #[tokio::test]
            async fn bus_from_nats_conf_in_clear() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Door::conf_plain(Kind::Ours).await?).await
            }

            #[tokio::test]
            async fn bus_from_nats_conf_with_mutual_tls() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Door::conf_mtls(Kind::Ours).await?).await
            }

            #[tokio::test]
            async fn bus_with_a_certificate() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Some(Door::bus().await?)).await
            }

            #[tokio::test]
            async fn gateway_with_a_token() -> Result<()> {
                if !$client.installed_or_skip() { return Ok(()) }
                through($client, Some(Door::gateway().await?)).await
            }
        }
    )*};
}

doors! {
    python: Client::Python;
    node: Client::Node;
    node_legacy: Client::NodeLegacy;
    go: Client::Go;
}
