//! Gateways behind a load balancer are restarted one after the other while clients publish: nothing that was
//! acknowledged is lost, and everybody comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use gatehouse_tests::{
    Balancer, Cluster, ClusterOptions, Gateway, GatewayOptions, Pki, Tokens, eventually, publish, stored_ids,
    within,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

const GATEWAYS: usize = 3;
const PUBLISHERS: usize = 9;

/// A bus with a stream, and gateways behind a balancer.
struct Fleet {
    gateways: Vec<Gateway>,
    toml: String,
    balancer: Balancer,
    tokens: Tokens,
    bus: Cluster,
    pki: Pki,
}

impl Fleet {
    async fn start() -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let Some(bus) = Cluster::start(pki.dir(), &ClusterOptions::bus()).await? else { return Ok(None) };
        let tokens = Tokens::new(pki.dir())?;
        let mut options = GatewayOptions::dialling(&pki, bus.nodes[0].leafnodes());
        options.link = format!(
            "urls = [\"nats-leaf://{}\"]\nuser = \"app\"\npassword = \"app\"\n",
            bus.nodes[0].leafnodes()
        );
        options.rights = options.rights.replace("\"peer.>\", \"orders", "\"events.>\", \"peer.>\", \"orders");
        options.routes.push_str("\n[[routes]]\nsubject = \"events.>\"\ndirection = \"inward\"\n");
        let toml = options.to_plain_toml(&pki, &tokens);
        let mut gateways = Vec::new();
        for at in 0..GATEWAYS {
            gateways.push(ready(&pki, at, &toml).await?);
        }
        let targets = gateways.iter().map(|gateway| gateway.addresses.clients).collect();
        Ok(Some(Self { gateways, toml, balancer: Balancer::before(targets).await?, tokens, bus, pki }))
    }

    async fn client(&self) -> Result<async_nats::Client> {
        let options = self.pki.outsider().async_nats().token(self.tokens.good()?);
        let options =
            options.ignore_discovered_servers().reconnect_delay_callback(|_| Duration::from_millis(50));
        Ok(options.connect(format!("tls://{}", self.balancer.address())).await?)
    }

    /// Drains a gateway, and starts it again when it has ended by itself.
    async fn roll(&mut self, at: usize) -> Result<()> {
        let status = self.gateways[at].process.stop().await?;
        ensure!(status.success(), "gateway {at}: {status}");
        self.gateways[at] = ready(&self.pki, at, &self.toml).await?;
        self.balancer.replace(at, self.gateways[at].addresses.clients);
        Ok(())
    }
}

async fn ready(pki: &Pki, at: usize, toml: &str) -> Result<Gateway> {
    let mut gateway = Gateway::named(pki, &format!("gateway-{at}"), toml).await?;
    gateway.ready().await?;
    Ok(gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_restarted_under_load_lose_no_acknowledged_publish() -> Result<()> {
    let Some(mut fleet) = Fleet::start().await? else { return Ok(()) };
    let inside = fleet.bus.client().await?;
    let config = jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        ..Default::default()
    };
    jetstream::new(inside.clone()).create_stream(config).await?;
    let (stop, stopping) = watch::channel(false);
    let (mut clients, mut publishing) = (Vec::new(), JoinSet::new());
    for number in 0..PUBLISHERS {
        let client = fleet.client().await?;
        clients.push(client.clone());
        publishing.spawn(publish(client, format!("p{number}"), 1 + number % 3 * 8, stopping.clone()));
    }
    let stored = async || -> Option<u64> {
        let stream = jetstream::new(inside.clone()).get_stream("EVENTS").await.ok()?;
        Some(stream.cached_info().state.messages)
    };
    for at in 0..GATEWAYS {
        // Load before, between and after.
        let before = stored().await.context("no stream")?;
        eventually("messages", || async { (stored().await? > before + 100).then_some(()) }).await?;
        fleet.roll(at).await?;
    }
    stop.send_replace(true);
    let (mut acknowledged, mut again) = (Vec::new(), 0);
    while let Some(one) = within("the publishers", publishing.join_next()).await? {
        let one = one??;
        again += one.again;
        acknowledged.extend(one.acknowledged);
    }
    let ids = stored_ids(&inside).await?;
    let once: std::collections::HashSet<&String> = ids.iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !once.contains(id)).collect();
    ensure!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    ensure!(once.len() == ids.len(), "{} messages twice", ids.len() - once.len());
    let connects: Vec<_> =
        clients.iter().map(|client| client.statistics().connects.load(Ordering::Relaxed)).collect();
    println!(
        "rolling restart of {GATEWAYS} gateways: {} acknowledged, {again} published again, 0 lost, 0 doubled, \
         connections made per client {connects:?}",
        acknowledged.len()
    );
    ensure!(connects.iter().all(|count| *count >= 2), "somebody was never moved: {connects:?}");
    Ok(())
}
