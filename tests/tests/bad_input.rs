//! Hostile and broken peers: a clear error or a close, no harm to others, bounded memory.

use anyhow::{Result, ensure};
use gatehouse_tests::{ConfServer, Kind, Pki, Raw, Scene, eventually, long_run, on_both};

const QUIET: &str = r#"{"verbose":false,"headers":true}"#;

on_both! {
    junk_ends_its_own_connection_only
    frames_cut_anywhere_harm_nobody
    a_control_line_of_a_mebibyte_is_refused
    silent_and_dripping_peers_are_sent_away
    half_open_tls_is_sent_away
}

/// A reproducible stream of bytes (xorshift).
struct Noise(u64);

impl Noise {
    fn from_seed(seed: u64) -> Self {
        // An odd factor spreads small seeds over all bits; zero would stay zero for ever.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// How much resident memory may grow under attack, in bytes.
const GROWTH: u64 = 64 << 20;

async fn still_serves(server: &ConfServer) -> Result<()> {
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    raw.send("SUB well 1\r\nPUB well 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.payload == b"x");
    Ok(())
}

/// Pieces of protocol that junk is made of, so that it gets deeper than the first byte.
const PIECES: [&str; 16] = [
    "PUB ",
    "HPUB ",
    "SUB ",
    "UNSUB ",
    "CONNECT ",
    "PING\r\n",
    "PONG\r\n",
    "\r\n",
    " ",
    "a.b",
    "*",
    ">",
    "10",
    "-1",
    "NATS/1.0\r\n",
    "{\"verbose\":",
];

async fn junk_ends_its_own_connection_only(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut witness = Raw::logged_in(server.addresses.clients, QUIET).await?;
    let seeds = if long_run() { 3000 } else { 300 };
    for seed in 1..=seeds {
        let mut noise = Noise::from_seed(seed);
        let mut raw = Raw::connect(server.addresses.clients).await?;
        raw.info().await?;
        if seed % 2 == 0 {
            raw.login(QUIET).await?;
        }
        let mut junk = Vec::new();
        for _ in 0..20 {
            if noise.next().is_multiple_of(4) {
                let count = noise.next() as usize % 40;
                junk.extend(noise.bytes(count));
            } else {
                junk.extend(PIECES[noise.next() as usize % PIECES.len()].as_bytes());
            }
        }
        // The server may close in the middle of it.
        drop(raw.send(&junk).await);
        drop(raw);
        witness.fence().await.map_err(|error| error.context(format!("seed {seed}")))?;
    }
    still_serves(&server).await
}

async fn frames_cut_anywhere_harm_nobody(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut sub = Raw::logged_in(server.addresses.clients, QUIET).await?;
    sub.send("SUB a 1\r\n").await?;
    sub.fence().await?;
    let frame = "HPUB a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n";
    for at in 0..frame.len() {
        let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
        raw.send(frame.get(..at).unwrap_or_default()).await?;
        drop(raw);
    }
    // None of the cut frames was delivered.
    sub.fence().await?;
    still_serves(&server).await
}

async fn a_control_line_of_a_mebibyte_is_refused(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    still_serves(&server).await?;
    let before = server.process.resident_bytes()?;
    for operation in ["PUB ", "SUB ", "CONNECT ", "", "HPUB "] {
        for logged_in in [false, true] {
            let mut raw = Raw::connect(server.addresses.clients).await?;
            raw.info().await?;
            if logged_in {
                raw.login(QUIET).await?;
            }
            // The server closes while we still send: that is an error here, and right.
            drop(raw.send(format!("{operation}{}", "a".repeat(1 << 20))).await);
            raw.closed().await?;
        }
    }
    let after = server.process.resident_bytes()?;
    ensure!(after < before + GROWTH, "grew from {before} to {after}");
    still_serves(&server).await
}

async fn silent_and_dripping_peers_are_sent_away(kind: Kind) -> Result<()> {
    let conf = "authorization { token: t, timeout: 1 }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let before = server.process.resident_bytes()?;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Raw::connect(server.addresses.clients).await?);
    }
    let mut dripping = Raw::connect(server.addresses.clients).await?;
    dripping.info().await?;
    // A byte at a time must not prolong the time to log in.
    let drip = async {
        for byte in "CONNECT {\"verbose\":false,\"auth_token\":\"t\"".bytes().cycle() {
            if dripping.send([byte]).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    gatehouse_tests::within("the end of a dripping peer", drip).await??;
    for mut raw in silent {
        let said = raw.closed().await?;
        ensure!(said.contains(gatehouse_tests::late_login(kind)), "{said:?}");
    }
    let after = server.process.resident_bytes()?;
    ensure!(after < before + GROWTH, "grew from {before} to {after}");
    Ok(())
}

async fn half_open_tls_is_sent_away(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let [cert, key, ca] =
        ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
    let conf = format!(
        "listen: \"127.0.0.1:-1\"\ntls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true, timeout: 1 }}\n"
    );
    let Some(server) = ConfServer::start(kind, pki.dir(), &conf).await? else { return Ok(()) };
    // The beginning of a ClientHello: a handshake record of 512 bytes, of which few come.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut open = Vec::new();
    for cut in 0..=hello.len() {
        let mut raw = Raw::connect(server.addresses.clients).await?;
        raw.info().await?;
        raw.send(hello.get(..cut).unwrap_or_default()).await?;
        open.push(raw);
    }
    let mut noise = Noise::from_seed(42);
    for _ in 0..20 {
        let mut raw = Raw::connect(server.addresses.clients).await?;
        raw.info().await?;
        drop(raw.send([&hello[..5], &noise.bytes(512)].concat()).await);
        open.push(raw);
    }
    for mut raw in open {
        raw.closed().await?;
    }
    let service = gatehouse_tests::client_config(&pki.service("orders"), &[])?;
    Raw::tls(server.addresses.clients, service, "internal-bus").await?.0.login(QUIET).await
}

#[tokio::test]
async fn the_gateway_bears_junk_before_and_after_the_login() -> Result<()> {
    let scene = Scene::new().await?;
    let token = scene.tokens.good()?;
    let connect = format!("{{\"verbose\":false,\"headers\":true,\"auth_token\":\"{token}\"}}");
    let before = scene.gateway.process.resident_bytes()?;
    for seed in 1..=100 {
        let mut noise = Noise::from_seed(seed);
        let mut raw = scene.raw().await?;
        if seed % 2 == 0 {
            raw.login(&connect).await?;
        }
        let count = 1 + noise.next() as usize % 3000;
        drop(raw.send(noise.bytes(count)).await);
    }
    // A login as long as a bus line may be, before anybody is known.
    let mut raw = scene.raw().await?;
    drop(raw.send(format!("CONNECT {{\"auth_token\":\"{}\"}}\r\n", "a".repeat(1 << 20))).await);
    raw.closed().await?;
    let after = scene.gateway.process.resident_bytes()?;
    ensure!(after < before + GROWTH, "grew from {before} to {after}");
    eventually("service as usual", || async { scene.raw().await.ok()?.login(&connect).await.ok() }).await
}
