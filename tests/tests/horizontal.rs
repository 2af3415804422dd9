//! Gateways side by side: they share nothing but their configuration and what has been revoked.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{
    BusOptions, Gateway, GatewayOptions, InternalBus, Pki, Tokens, eventually, http_api, http_get,
};
use serde_json::json;
use tokio::time::Instant;

const ADMIN: &str = "0123456789abcdef0123456789abcdef";

/// Two gateways before one bus.
struct Pair {
    gateways: Vec<Gateway>,
    toml: String,
    bus: InternalBus,
    tokens: Tokens,
    pki: Pki,
}

const NAMES: [&str; 2] = ["left", "right"];

impl Pair {
    async fn start() -> Result<Self> {
        let pki = Pki::new()?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let tokens = Tokens::new(pki.dir())?;
        fs::write(pki.path("shared.key"), "k".repeat(32))?;
        fs::write(pki.path("admin.tokens"), format!("ops:{ADMIN}\n"))?;
        let options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
        let toml =
            options.to_toml(&pki, &tokens).replace("[admin]\n", "[admin]\ntoken_file = \"admin.tokens\"\n");
        let mut pair = Self { gateways: Vec::new(), toml, bus, tokens, pki };
        for name in NAMES {
            let gateway = pair.gateway(name).await?;
            pair.gateways.push(gateway);
        }
        Ok(pair)
    }

    async fn gateway(&self, name: &str) -> Result<Gateway> {
        let revocation = format!(
            "{}\n[revocation]\nstore = \"{name}.revoked\"\nshare_key_file = \"shared.key\"\n",
            self.toml
        );
        let mut gateway = Gateway::named(&self.pki, name, &revocation).await?;
        gateway.ready().await?;
        Ok(gateway)
    }

    async fn client(&self, at: usize, sub: &str) -> Result<async_nats::Client> {
        let token = self.tokens.sign(&self.tokens.claims().with("sub", sub))?;
        self.gateways[at].client(&self.pki, &token).await
    }

    async fn revoke(&self, at: usize, sub: &str) -> Result<String> {
        let body = json!({ "sub": sub, "issuer": Tokens::ISSUER, "reason": "test" });
        let answer =
            http_api(self.gateways[at].admin()?, "POST", "/api/v1/revocations", ADMIN, &body).await?;
        ensure!(answer.status < 300, "{answer:?}");
        Ok(answer.json()?["id"].as_str().context("no id")?.to_owned())
    }

    async fn revocations(&self, at: usize) -> Option<u64> {
        let path = "/api/v1/revocations";
        let admin = self.gateways[at].admin().ok()?;
        let answer = http_api(admin, "GET", path, ADMIN, &json!(null)).await.ok()?;
        answer.json().ok()?["total"].as_u64()
    }

    async fn connections(&self, at: usize) -> Option<u64> {
        let page = http_get(self.gateways[at].admin().ok()?, "/connz").await.ok()?.json().ok()?;
        page["num_connections"].as_u64()
    }
}

#[tokio::test]
async fn what_is_revoked_on_one_ends_sessions_on_the_other_within_a_second() -> Result<()> {
    let pair = Pair::start().await?;
    let _bob = pair.client(1, "bob").await?;
    let _eve = pair.client(1, "eve").await?;
    let began = Instant::now();
    let id = pair.revoke(0, "eve").await?;
    eventually("one session left", || async { (pair.connections(1).await? == 1).then_some(()) }).await?;
    let took = began.elapsed();
    println!("revocation made on one gateway, in force on another after {took:?}");
    ensure!(took < Duration::from_secs(1), "{took:?}");
    ensure!(pair.client(1, "eve").await.is_err(), "let in again");
    // Lifted on the other one, it is lifted everywhere.
    let lift = format!("/api/v1/revocations/{id}");
    let answer = http_api(pair.gateways[1].admin()?, "DELETE", &lift, ADMIN, &json!(null)).await?;
    ensure!(answer.status < 300, "{answer:?}");
    eventually("a lift that spreads", || async { (pair.revocations(0).await? == 0).then_some(()) }).await?;
    pair.client(0, "eve").await.map(drop)
}

#[tokio::test]
async fn a_gateway_that_was_away_learns_what_it_missed() -> Result<()> {
    let mut pair = Pair::start().await?;
    pair.gateways[1].process.kill().await?;
    for sub in ["a", "b", "c"] {
        pair.revoke(0, sub).await?;
    }
    pair.gateways[1] = pair.gateway(NAMES[1]).await?;
    eventually("three revocations", || async { (pair.revocations(1).await? == 3).then_some(()) }).await?;
    // What each learned alone while there was no bus between them comes together, too.
    pair.bus.process.kill().await?;
    pair.revoke(0, "d").await?;
    pair.revoke(1, "e").await?;
    let leafnodes = pair.bus.leafnodes()?;
    let port = format!("host = \"127.0.0.1\"\nport = {}\npeers = [\"event-gateway\"]\n", leafnodes.port());
    drop(fs::remove_file(pair.pki.path("bus.ports")));
    pair.bus =
        InternalBus::start(&pair.pki, &BusOptions { leafnodes: Some(port), ..BusOptions::default() }).await?;
    for at in 0..2 {
        eventually("five revocations", || async { (pair.revocations(at).await? == 5).then_some(()) }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_without_the_key_is_believed() -> Result<()> {
    let pair = Pair::start().await?;
    let stranger = pair.bus.client(&pair.pki.service("billing")).await?;
    let forged =
        json!({ "entries": [{ "id": "x", "target": { "kind": "subject", "sub": "bob" }, "created_at": 1 }] });
    let message = format!("{}\n{forged}", "0".repeat(64));
    stranger.publish("$GATEHOUSE.REVOCATIONS.all", message.into()).await?;
    stranger.flush().await?;
    pair.revoke(0, "eve").await?;
    eventually("the true one", || async { (pair.revocations(1).await? == 1).then_some(()) }).await?;
    pair.client(1, "bob").await.map(drop)
}
