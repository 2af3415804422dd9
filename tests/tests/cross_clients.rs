//! Clients of different makers talk to each other: one answers inside the bus, another asks from outside the
//! gateway, and the other way round.

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{Client, PeerProcess, Scene};
use serde_json::{Value, json};

/// Options of the scripts for a client outside.
fn outside(scene: &Scene) -> Result<Value> {
    let mut options = scene.pki.outsider().peer_options();
    options["url"] = json!(format!("tls://{}", scene.gateway.addresses.clients));
    options["token"] = json!(scene.tokens.good()?);
    Ok(options)
}

/// Options of the scripts for a client inside.
fn inside(scene: &Scene) -> Value {
    let mut options = scene.pki.service("orders").peer_options();
    options["url"] = json!(format!("tls://{}", scene.bus.addresses.clients));
    options
}

fn with(mut options: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        options[*name] = value.clone();
    }
    options
}

/// The client that comes after `client` in the list of all, so that every one is met in every role.
fn partner_of(client: Client) -> Client {
    let at = Client::ALL.iter().position(|other| *other == client).unwrap_or_default();
    Client::ALL[(at + 1) % Client::ALL.len()]
}

/// Asks until the answering side's interest is known at the asking side, then twenty times more.
async fn ask(asks: Client, options: &Value, tag: &str) -> Result<()> {
    let first = with(options.clone(), &[("count", json!(1))]);
    let mut tries = 0;
    while PeerProcess::start(asks, "call", &first)?.finish().await.is_err() {
        tries += 1;
        ensure!(tries < 20, "no answer through the link");
    }
    let mut caller = PeerProcess::start(asks, "call", &with(options.clone(), &[("count", json!(20))]))?;
    let answers = caller.field("answers").await?;
    let wanted: Vec<String> = (0..20).map(|n| format!("{tag}:{n}")).collect();
    ensure!(answers == json!(wanted), "{answers}");
    caller.finish().await
}

async fn requests(answers: Client) -> Result<()> {
    let asks = partner_of(answers);
    if !answers.installed_or_skip() || !asks.installed_or_skip() {
        return Ok(());
    }
    let scene = Scene::new().await?;
    for (subject, answering, asking) in [
        ("peer.inside", inside(&scene), outside(&scene)?),
        ("peer.outside", outside(&scene)?, inside(&scene)),
    ] {
        let subject = ("subject", json!(subject));
        let server =
            PeerProcess::ready(answers, "serve", &with(answering, std::slice::from_ref(&subject))).await?;
        ask(asks, &with(asking, &[subject]), answers.tag())
            .await
            .with_context(|| format!("{asks:?} asks {answers:?}"))?;
        server.finish().await?;
    }
    Ok(())
}

/// Messages published outside reach queue members inside, each exactly once.
async fn queue(members: Client) -> Result<()> {
    let publishes = partner_of(members);
    if !members.installed_or_skip() || !publishes.installed_or_skip() {
        return Ok(());
    }
    let count = 200;
    let scene = Scene::new().await?;
    let service = scene.service("orders").await?;
    let partner = scene.partner().await?;
    let fields = [
        ("subject", json!("peer.work")),
        ("queue", json!("q")),
        ("count", json!(count)),
        ("seconds", json!(5)),
    ];
    let mut collectors = Vec::new();
    for _ in 0..3 {
        collectors.push(PeerProcess::ready(members, "collect", &with(inside(&scene), &fields)).await?);
    }
    // Interest made later on the same bus: when it is known outside, the members' is too.
    let mut fence = service.subscribe("peer.fence").await?;
    gatehouse_tests::known(&partner, "peer.fence", &mut fence).await?;
    let sending = with(outside(&scene)?, &fields);
    PeerProcess::start(publishes, "publish", &sending)?.finish().await?;
    let mut got = Vec::new();
    for collector in &mut collectors {
        let collected = collector.field("collected").await?;
        got.extend(
            collected
                .as_array()
                .context("a list")?
                .iter()
                .filter_map(|one| one.as_str()?.parse::<u32>().ok()),
        );
    }
    got.sort_unstable();
    ensure!(got == (0..count).collect::<Vec<_>>(), "{} of {count}, not each once", got.len());
    Ok(())
}

macro_rules! for_each_client {
    ($($module:ident: $client:expr;)*) => {$(
        mod $module {
            #[tokio::test]
            async fn answers_requests_across_the_link() -> anyhow::Result<()> {
                super::requests($client).await
            }

            #[tokio::test]
            async fn shares_work_from_outside() -> anyhow::Result<()> {
                super::queue($client).await
            }
        }
    )*};
}

for_each_client! {
    python: super::Client::Python;
    node: super::Client::Node;
    node_legacy: super::Client::NodeLegacy;
    go: super::Client::Go;
}
