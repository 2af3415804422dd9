//! Before login: what hostile connections cost, and how long honest clients take meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{
    BusOptions, Gateway, GatewayOptions, InternalBus, Pki, Raw, Tokens, eventually, http_get, within,
};
use serde_json::json;

struct World {
    pki: Pki,
    tokens: Tokens,
    gateway: Gateway,
    _bus: InternalBus,
}

async fn world(change: impl FnOnce(&mut GatewayOptions)) -> Result<World> {
    let pki = Pki::new()?;
    let tokens = Tokens::new(pki.dir())?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let mut options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
    change(&mut options);
    let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
    gateway.ready().await?;
    Ok(World { pki, tokens, gateway, _bus: bus })
}

impl World {
    fn door(&self) -> SocketAddr {
        self.gateway.addresses.clients
    }

    async fn honest(&self, token: &str) -> Result<Duration> {
        let start = Instant::now();
        let client = self.gateway.client(&self.pki, token).await?;
        client.flush().await?;
        Ok(start.elapsed())
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        let text = http_get(self.gateway.admin()?, "/metrics").await?.body;
        let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
        Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
    }
}

fn plain(options: &mut GatewayOptions) {
    options.frontend = String::new();
    options.service.push_str("disable_frontend_tls = true\n");
}

/// The start of a TLS handshake that announces more than ever comes.
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[tokio::test]
async fn silent_connections_and_half_handshakes_cost_little_and_keep_nobody_out() -> Result<()> {
    // Places for 102 logins, and much time, so that hostile ones would sit on all of them.
    let limits = "[limits]\nmax_login_bytes = \"8 MiB\"\nauth_timeout = \"30s\"\ntls_timeout = \"30s\"\n";
    let world = world(|options| options.sections.push_str(limits)).await?;
    let token = world.tokens.good()?;
    world.honest(&token).await?;
    let before = world.gateway.process.resident_bytes()?;
    let mut hostile = Vec::new();
    for _ in 0..1_000 {
        hostile.push(Raw::connect(world.door()).await?);
    }
    let silent = world.gateway.process.resident_bytes()?.saturating_sub(before) / 1_000;
    println!("a silent connection costs {silent} bytes");
    ensure!(silent < 8 * 1024, "{silent} bytes a silent connection");
    for _ in 0..1_000 {
        let mut raw = Raw::connect(world.door()).await?;
        raw.info().await?;
        raw.send(HALF_HELLO).await?;
        hostile.push(raw);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        slowest = slowest.max(world.honest(&token).await?);
    }
    let grown = world.gateway.process.resident_bytes()?.saturating_sub(before);
    println!("2,000 hostile connections: {grown} bytes in all; the slowest honest login took {slowest:?}");
    ensure!(grown < 2_000 * 8 * 1024 + 8 * 1024 * 1024, "{grown} bytes");
    ensure!(slowest < Duration::from_secs(3), "{slowest:?}");
    ensure!(world.metric("gatehouse_login_bytes").await? <= 8.0 * 1024.0 * 1024.0);
    let crowded = "gatehouse_connections_closed_total{reason=\"crowded\"}";
    ensure!(world.metric(crowded).await? > 0.0, "nobody gave up a place");
    drop(hostile);
    eventually("places are given back", || async {
        world.metric("gatehouse_login_bytes").await.ok().filter(|bytes| *bytes == 0.0)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_connect_sent_byte_by_byte_keeps_nobody_out() -> Result<()> {
    let limits = "[limits]\nmax_login_bytes = \"320 KiB\"\nauth_timeout = \"30s\"\n";
    let world = world(|options| {
        plain(options);
        options.sections.push_str(limits);
    })
    .await?;
    let login = json!({ "auth_token": world.tokens.good()?, "verbose": false }).to_string();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(world.door()).await?;
        raw.info().await?;
        raw.send("CONNECT {\"name\":\"").await?;
        slow.push(raw);
    }
    let (mut slowest, mut told) = (Duration::ZERO, 0);
    for _ in 0..20 {
        let start = Instant::now();
        within("an honest login", Raw::logged_in(world.door(), &login)).await??;
        slowest = slowest.max(start.elapsed());
        for raw in &mut slow {
            told += usize::from(raw.send("x").await.is_err());
        }
    }
    println!("slowest honest login beside 200 slow ones: {slowest:?}");
    ensure!(slowest < Duration::from_secs(5), "{slowest:?}");
    ensure!(told > 0, "nobody was told to leave");
    // More than a CONNECT may be long is not kept either.
    let mut raw = Raw::connect(world.door()).await?;
    raw.info().await?;
    drop(raw.send(format!("CONNECT {{\"name\":\"{}", "x".repeat(40_000))).await);
    within("closed", raw.closed()).await??;
    Ok(())
}

#[tokio::test]
async fn guessing_gets_slower_for_the_source_that_guesses_alone() -> Result<()> {
    let limits = "[limits]\nfailed_logins_free = 3\nfailed_login_delay = \"800ms\"\n";
    let world = world(|options| {
        plain(options);
        options.sections.push_str(limits);
    })
    .await?;
    let guess = json!({ "auth_token": world.tokens.forged()?, "verbose": false }).to_string();
    let login = json!({ "auth_token": world.tokens.good()?, "verbose": false }).to_string();
    let mut took = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        let mut raw = Raw::connect(world.door()).await?;
        raw.info().await?;
        raw.send(format!("CONNECT {guess}\r\nPING\r\n")).await?;
        raw.expect("-ERR 'Authorization Violation'").await?;
        took.push(start.elapsed());
    }
    println!("ten guesses took {took:?}");
    ensure!(took[0] < Duration::from_millis(400) && took[9] > Duration::from_millis(700), "{took:?}");
    // From elsewhere a login is as fast as ever; from the same source it is slower, and never refused.
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let start = Instant::now();
    let mut raw = Raw::connect_from(elsewhere, world.door()).await?;
    raw.info().await?;
    raw.login(&login).await?;
    ensure!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    Raw::logged_in(world.door(), &login).await?;
    ensure!(world.metric("gatehouse_logins_slowed_total").await? >= 6.0);
    Ok(())
}

/// A PROXY header of version 2 for a client at 192.0.2.7.
fn proxy_header() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    bytes.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x10, 0x7e]);
    bytes
}

#[tokio::test]
async fn a_configured_proxy_is_believed_and_nobody_else() -> Result<()> {
    let world = world(|options| {
        plain(options);
        // The health check and the test's own clients come from elsewhere.
        options.service.push_str("proxy_protocol = { from = [\"127.0.0.3/32\"] }\n");
    })
    .await?;
    let login = json!({ "auth_token": world.tokens.good()?, "verbose": false }).to_string();
    let proxy = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let mut raw = Raw::connect_from(proxy, world.door()).await?;
    let header = proxy_header();
    raw.send(&header[..7]).await?;
    raw.send(&header[7..]).await?;
    ensure!(raw.info().await?["client_ip"] == "192.0.2.7");
    raw.login(&login).await?;
    let connz = http_get(world.gateway.admin()?, "/connz?auth=1").await?.json()?;
    let shown = connz["connections"].as_array().context("connections")?;
    let seen = shown.iter().find(|conn| conn["ip"] == "192.0.2.7").context("not shown by its address")?;
    ensure!(seen["authorized_user"] == "partner-1" && seen["roles"] == json!(["partner"]), "{seen}");
    ensure!(seen["expires_at"].is_u64() && seen["issuer"] == Tokens::ISSUER, "{seen}");
    // Malformed, or missing: closed without a word.
    for bytes in [&b"CONNECT {}\r\nPING\r\n........"[..], b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c0123456789ab"]
    {
        let mut raw = Raw::connect_from(proxy, world.door()).await?;
        raw.send(bytes).await?;
        ensure!(within("closed", raw.closed()).await?.is_ok_and(|said| said.is_empty()));
    }
    // From others it is no header but noise.
    let mut raw = Raw::connect(world.door()).await?;
    ensure!(raw.info().await?["client_ip"] == "127.0.0.1");
    raw.send(proxy_header()).await?;
    within("closed", raw.closed()).await??;
    Ok(())
}
