//! A gateway and its nodes are parted: packets are dropped, nobody is told. What clients were told is acknowledged is
//! there when the parts are one again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use gatehouse_tests::{
    Cable, Cluster, ClusterOptions, Gateway, GatewayOptions, Pki, Proxy, Published, Tokens, eventually,
    http_get, publish, stored_ids, within,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A stock server, the wire, and a gateway at its other end.
struct Parts {
    gateway: Gateway,
    admin: SocketAddr,
    /// To the gateway, on an address its certificate names.
    door: Proxy,
    cable: Cable,
    tokens: Tokens,
    inside: async_nats::Client,
    _bus: Cluster,
    pki: Pki,
}

impl Parts {
    async fn start(keep: bool) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let hub = ClusterOptions { nodes: 1, leaf_host: "0.0.0.0", ..ClusterOptions::default() };
        let Some(bus) = Cluster::start(pki.dir(), &hub).await? else { return Ok(None) };
        let inside = bus.client().await?;
        let stream = jetstream::stream::Config {
            name: "EVENTS".into(),
            subjects: vec!["events.>".into()],
            ..Default::default()
        };
        let context = jetstream::new(inside.clone());
        eventually("a stream", || async { context.create_stream(stream.clone()).await.ok() }).await?;
        let tokens = Tokens::new(pki.dir())?;
        let leafnodes = bus.nodes[0].leafnodes();
        let cable = Cable::to(leafnodes).await?;
        eprintln!("dropping packets: {}", cable.drops_packets());
        let toml = options(&pki, cable.target(leafnodes), keep).to_plain_toml(&pki, &tokens);
        // Whoever watches comes from outside of the namespace.
        let toml = toml.replace("host = \"127.0.0.1\"", "host = \"0.0.0.0\"");
        let gateway = Gateway::launched(&pki, "gateway", &toml, |program| cable.launcher(program)).await?;
        let admin = cable.found(gateway.admin()?);
        let door = Proxy::to(cable.found(gateway.addresses.clients)).await?;
        let parts = Self { gateway, admin, door, cable, tokens, inside, _bus: bus, pki };
        parts.ready(200).await?;
        Ok(Some(parts))
    }

    /// Waits until `/readyz` answers so.
    async fn ready(&self, status: u16) -> Result<()> {
        eventually(&format!("a gateway that says {status}"), || async {
            http_get(self.admin, "/readyz").await.ok().filter(|answer| answer.status == status)
        })
        .await
        .with_context(|| self.gateway.process.log())
        .map(drop)
    }

    async fn client(&self) -> Result<async_nats::Client> {
        let options = self.pki.outsider().async_nats().token(self.tokens.good()?);
        let options = options.reconnect_delay_callback(|_| Duration::from_millis(50));
        Ok(options.connect(format!("tls://{}", self.door.address())).await?)
    }

    /// Messages at the edge.
    async fn kept(&self) -> Option<f64> {
        let page = http_get(self.admin, "/metrics").await.ok()?.body;
        page.lines().find_map(|line| line.strip_prefix("gatehouse_edge_messages "))?.trim().parse().ok()
    }

    async fn stored(&self) -> Option<u64> {
        let stream = jetstream::new(self.inside.clone()).get_stream("EVENTS").await.ok()?;
        Some(stream.cached_info().state.messages)
    }
}

fn options(pki: &Pki, target: SocketAddr, keep: bool) -> GatewayOptions {
    let mut options = GatewayOptions::dialling(pki, target);
    options.link = format!(
        "urls = [\"nats-leaf://{target}\"]\nuser = \"app\"\npassword = \"app\"\ndiscover = false\nbackoff_max = \"200ms\"\n"
    );
    options.rights = options.rights.replace("\"peer.>\", \"orders", "\"events.>\", \"peer.>\", \"orders");
    let kept = if keep { "store_and_forward = true\n" } else { "" };
    options.routes.push_str(&format!("\n[[routes]]\nsubject = \"events.>\"\ndirection = \"inward\"\n{kept}"));
    options.sections = "[limits]\nping_interval = \"500ms\"\n".to_owned();
    if keep {
        options.sections.push_str("[edge]\ndir = \"edge\"\nack_timeout = \"1s\"\n");
    }
    options
}

/// Parts and mends while clients publish, and holds the stream against what they were told.
async fn parted_and_mended(keep: bool) -> Result<()> {
    let Some(parts) = Parts::start(keep).await? else { return Ok(()) };
    let (stop, stopping) = watch::channel(false);
    let mut publishing = JoinSet::new();
    for number in 0..4 {
        let window = if number == 3 { 16 } else { 1 };
        publishing.spawn(publish(parts.client().await?, format!("p{number}"), window, stopping.clone()));
    }
    let more = async |than: u64| {
        eventually("messages that flow", || async { parts.stored().await.filter(|now| *now > than + 100) })
            .await
    };
    let before = more(0).await?;
    parts.cable.part()?;
    // The gateway finds out by itself, by what its PINGs do not bring.
    parts.ready(503).await?;
    eventually("a link that is given up", || async {
        parts.gateway.process.log().contains("link down").then_some(())
    })
    .await?;
    if keep {
        eventually("messages kept at the edge", || async { (parts.kept().await? > 20.0).then_some(()) })
            .await?;
    }
    parts.cable.mend()?;
    parts.ready(200).await?;
    more(before).await?;
    stop.send_replace(true);
    let mut published: Vec<Published> = Vec::new();
    while let Some(one) = within("the publishers", publishing.join_next()).await? {
        published.push(one??);
    }
    let acknowledged: usize = published.iter().map(|one| one.acknowledged.len()).sum();
    let kept: u64 = published.iter().map(|one| one.kept).sum();
    eventually("everything that was acknowledged", || async {
        parts.stored().await.filter(|stored| *stored >= acknowledged as u64)
    })
    .await?;
    let ids = stored_ids(&parts.inside).await?;
    let once: std::collections::HashSet<&String> = ids.iter().collect();
    ensure!(once.len() == ids.len(), "{} messages twice", ids.len() - once.len());
    for one in &published {
        let lost: Vec<_> = one.acknowledged.iter().filter(|id| !once.contains(id)).collect();
        ensure!(lost.is_empty(), "lost: {lost:?}");
    }
    ensure!(!keep || kept > 0, "nothing was kept while the link was down");
    eprintln!("partition: {acknowledged} acknowledged ({kept} kept at the edge), 0 lost, 0 doubled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_loses_nothing_that_was_acknowledged() -> Result<()> {
    parted_and_mended(false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_keeps_messages_acknowledges_through_a_partition() -> Result<()> {
    parted_and_mended(true).await
}
