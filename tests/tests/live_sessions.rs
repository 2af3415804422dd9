//! Rights that change while a client is connected: tokens end and are renewed, with every stock client.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use gatehouse_tests::{
    BusOptions, Client, Gateway, GatewayOptions, InternalBus, Pki, ResultExt, Tokens, eventually,
    run_scenarios, within,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long tokens last here, in seconds.
const LIFE: i64 = 5;

/// A gateway in front of a bus, and a file that always holds a token with [`LIFE`] left.
struct World {
    pki: Pki,
    tokens: Tokens,
    gateway: Gateway,
    token_file: PathBuf,
    _bus: InternalBus,
}

impl World {
    async fn new() -> Result<Self> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
        let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
        gateway.ready().await?;
        let token_file = pki.path("fresh.token");
        let world = Self { pki, tokens, gateway, token_file, _bus: bus };
        world.refresh()?;
        Ok(world)
    }

    fn refresh(&self) -> Result<()> {
        // Another name first: who reads is never to see half a token.
        let next = self.token_file.with_extension("next");
        std::fs::write(&next, self.tokens.sign(&self.tokens.claims().expires_in(LIFE))?)?;
        Ok(std::fs::rename(&next, &self.token_file)?)
    }

    fn peer_options(&self) -> Result<Value> {
        let mut options = self.pki.outsider().peer_options();
        let object = options.as_object_mut().context("options are an object")?;
        object.insert("url".into(), json!(format!("tls://{}", self.gateway.addresses.clients)));
        object.insert("token_file".into(), json!(self.token_file));
        object.insert("prefix".into(), json!("peer.live"));
        Ok(options)
    }
}

/// Renews the file while a client works.
fn keep_fresh(world: World) -> JoinHandle<World> {
    tokio::spawn(async move {
        let end = Instant::now() + Duration::from_secs(60);
        let mut often = tokio::time::interval(Duration::from_millis(200));
        while Instant::now() < end && world.refresh().is_ok() {
            often.tick().await;
        }
        world
    })
}

async fn with_client(client: Client) -> Result<()> {
    if !client.installed_or_skip() {
        return Ok(());
    }
    let world = World::new().await?;
    let options = world.peer_options()?;
    let fresh = keep_fresh(world);
    let outcomes = run_scenarios(client, &options, &["expiry", "renew"], |_| {}).await;
    fresh.abort();
    outcomes?.all_pass()
}

#[tokio::test]
async fn python_survives_expiry_and_renews() -> Result<()> {
    with_client(Client::Python).await
}

#[tokio::test]
async fn node_survives_expiry_and_renews() -> Result<()> {
    with_client(Client::Node).await
}

#[tokio::test]
async fn legacy_node_survives_expiry_and_renews() -> Result<()> {
    with_client(Client::NodeLegacy).await
}

#[tokio::test]
async fn go_survives_expiry_and_renews() -> Result<()> {
    with_client(Client::Go).await
}

#[tokio::test]
async fn rust_survives_expiry() -> Result<()> {
    let world = World::new().await?;
    let address = format!("tls://{}", world.gateway.addresses.clients);
    let file = world.token_file.clone();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::with_auth_callback(move |_| {
        let file = file.clone();
        async move {
            let mut auth = async_nats::Auth::new();
            auth.token = std::fs::read_to_string(file).ok();
            Ok(auth)
        }
    });
    let options = options.require_tls(true).add_root_certificates(world.pki.outsider().ca).event_callback(
        move |event| {
            let sender = sender.clone();
            async move { drop(sender.send(event.to_string())) }
        },
    );
    let client = options.connect(address).await?;
    let mut sub = client.subscribe("peer.live.rust").await?;
    let fresh = keep_fresh(world);
    let mut connected = 0;
    while connected < 3 {
        let event = within("a reconnection", events.recv()).await?.context("no more events")?;
        connected += usize::from(event == "connected");
    }
    client.publish("peer.live.rust", "back".into()).await?;
    let message = within("the subscription is back", sub.next()).await?.context("closed")?;
    ensure!(&*message.payload == b"back");
    fresh.abort();
    Ok(())
}

#[tokio::test]
async fn rust_renews_and_loses_only_what_it_may_no_longer_hear() -> Result<()> {
    let world = World::new().await?;
    let token = world.tokens.sign(&world.tokens.claims().expires_in(LIFE))?;
    let client = world.gateway.client(&world.pki, &token).await?;
    let mut notice = client.subscribe("$GATEHOUSE.AUTH.EXPIRING").await?;
    let mut own = client.subscribe("shipments.acme.>").await?;
    let mut kept = client.subscribe("peer.live.kept").await?;
    let told = within("a notice", notice.next()).await?.context("closed")?;
    let told: Value = serde_json::from_slice(&told.payload)?;
    let other = world.tokens.sign(&world.tokens.claims().with("sub", "partner-2"))?;
    let answer = client.request("$GATEHOUSE.AUTH.RENEW", other.into()).await?;
    ensure!(
        serde_json::from_slice::<Value>(&answer.payload)? == json!({ "ok": false, "error": "other_subject" })
    );
    let answer = client.request("$GATEHOUSE.AUTH.RENEW", world.tokens.forged()?.into()).await?;
    ensure!(serde_json::from_slice::<Value>(&answer.payload)?["ok"] == false);
    // The fresh token is of another tenant: what was heard of the first one ends, the rest goes on.
    let fresh = world.tokens.sign(&world.tokens.claims().with("tenant", "other"))?;
    let answer = client.request("$GATEHOUSE.AUTH.RENEW", fresh.into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["ok"] == true && answer["expires_at"].as_u64() > told["expires_at"].as_u64(), "{answer}");
    let end = told["expires_at"].as_u64().context("an end")?;
    eventually("the end of the first token", || async {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        (now > Duration::from_secs(end) + Duration::from_millis(500)).then_some(())
    })
    .await?;
    client.publish("peer.live.kept", "still".into()).await?;
    let message = within("the subscription lives on", kept.next()).await?.context("closed")?;
    ensure!(&*message.payload == b"still");
    ensure!(client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed) == 1, "it reconnected");
    let ended = tokio::time::timeout(Duration::from_millis(50), own.next()).await;
    ensure!(!matches!(ended, Ok(Some(_))), "heard of a tenant it is no longer of");
    Ok(())
}
