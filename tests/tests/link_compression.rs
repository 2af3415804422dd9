//! Compressed links: agreed on as stock servers do, in both roles, and never before it is clear who is there.

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use gatehouse_tests::{
    BusOptions, ConfServer, InternalBus, Kind, Pki, Raw, client_config, eventually, known, within,
};
use serde_json::Value;

/// Two servers with nats.conf, the outer one dials the inner one over mutual TLS.
struct Pair {
    inner: ConfServer,
    outer: ConfServer,
    _pki: Pki,
}

impl Pair {
    async fn start(outer: (Kind, &str), inner: (Kind, &str)) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let files = |name: &str| {
            let [cert, key] = ["crt", "key"].map(|kind| pki.text(&format!("{name}.{kind}")));
            format!(
                "cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{}\"",
                pki.text("internal-ca.crt")
            )
        };
        let common = "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nmax_payload: 4MB\n";
        let conf = format!(
            "server_name: inside\n{common}leafnodes {{ listen: \"127.0.0.1:-1\", compression: {}\n tls {{ {}, verify: true }} }}\n",
            inner.1,
            files("internal-bus")
        );
        let Some(inside) = ConfServer::named(inner.0, pki.dir(), "inside", &conf).await? else {
            return Ok(None);
        };
        let port = inside.addresses.leafnodes.context("no leafnode listener")?;
        let conf = format!(
            "server_name: outside\n{common}leafnodes {{ reconnect: \"100ms\"\n remotes: [ {{ url: \"tls://{port}\", compression: {}\n tls {{ {} }} }} ] }}\n",
            outer.1,
            files("event-gateway")
        );
        let Some(outside) = ConfServer::named(outer.0, pki.dir(), "outside", &conf).await? else {
            return Ok(None);
        };
        Ok(Some(Self { inner: inside, outer: outside, _pki: pki }))
    }

    /// Repetitive and random messages, small and large, arrive both ways as they were sent.
    async fn carries(&self) -> Result<()> {
        let [inner, outer] = [&self.inner, &self.outer].map(|server| async_nats::connect(server.url()));
        let (inner, outer) = (inner.await?, outer.await?);
        for (from, to, subject) in [(&outer, &inner, "to.inner"), (&inner, &outer, "to.outer")] {
            let mut sub = to.subscribe(subject).await?;
            known(from, subject, &mut sub).await?;
            let payloads = payloads();
            for payload in &payloads {
                from.publish(subject, payload.clone().into()).await?;
            }
            for payload in &payloads {
                let message = loop {
                    let message = within("a message", sub.next()).await?.context("ended")?;
                    if &message.payload[..] != b"probe" {
                        break message;
                    }
                };
                ensure!(message.payload[..] == payload[..], "{} bytes came otherwise", payload.len());
            }
        }
        Ok(())
    }
}

fn payloads() -> Vec<Vec<u8>> {
    let text = |length: usize| -> Vec<u8> {
        (0u32..)
            .flat_map(|at| format!("{{\"order\":{at},\"state\":\"open\"}},").into_bytes())
            .take(length)
            .collect()
    };
    let mut state = 42u64;
    let mut random = |length: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    };
    let sizes = [0, 1, 100, 3_000, 70_000, 300_000, 2_500_000];
    let mut all: Vec<Vec<u8>> = sizes.iter().flat_map(|size| [text(*size), random(*size)]).collect();
    all.extend((0..500).map(|at| text(at % 200)));
    all
}

/// What a server says of its only link.
async fn leaf(server: &ConfServer) -> Result<Value> {
    let page = server.page("/leafz").await?;
    let leafs = page["leafs"].as_array().context("no leafs")?;
    ensure!(leafs.len() == 1, "{page}");
    Ok(leafs[0].clone())
}

async fn carried(outer: (Kind, &str), inner: (Kind, &str), words: [&str; 2]) -> Result<()> {
    let what = format!("{outer:?} dials {inner:?}");
    let Some(pair) = Pair::start(outer, inner).await? else { return Ok(()) };
    pair.carries().await.with_context(|| what.clone())?;
    let ends = [(&pair.outer, outer.0, words[0], words[1]), (&pair.inner, inner.0, words[1], words[0])];
    for (server, kind, word, other) in ends {
        let leaf = leaf(server).await?;
        ensure!(leaf["compression"] == word, "{what}: {leaf}");
        if kind == Kind::Ours && word != "off" {
            for (way, by) in [("sent", word), ("received", other)] {
                let [plain, packed] =
                    ["plain", "packed"].map(|kind| leaf["compressed"][way][kind].as_u64().unwrap_or(0));
                // Random bytes, half of all, stay as many.
                ensure!(packed > 2_800_000 && plain > 5_700_000, "{what}: {way}: {leaf}");
                let smaller = packed < plain * 3 / 4;
                ensure!(smaller == (by != "s2_uncompressed"), "{what}: {way}: {leaf}");
            }
        }
    }
    Ok(())
}

/// By round trip time, whatever it is under load: always the first step, and always the last one.
const SHORT: &str = "{ mode: s2_auto, rtt_thresholds: [1h] }";
const LONG: &str = "{ mode: s2_auto, rtt_thresholds: [0s, 0s, 0s, 1h] }";

/// What is configured, and what is done then.
const LEVELS: [(&str, &str); 4] =
    [(SHORT, "s2_uncompressed"), ("s2_fast", "s2_fast"), ("s2_better", "s2_better"), ("s2_best", "s2_best")];

#[tokio::test]
async fn stock_dials_us_at_every_level() -> Result<()> {
    for (level, word) in LEVELS {
        carried((Kind::Stock, level), (Kind::Ours, "s2_best"), [word, "s2_best"]).await?;
    }
    carried((Kind::Stock, "accept"), (Kind::Ours, "s2_better"), ["s2_better"; 2]).await?;
    carried((Kind::Stock, "s2_better"), (Kind::Ours, "accept"), ["s2_better"; 2]).await
}

#[tokio::test]
async fn we_dial_stock_at_every_level() -> Result<()> {
    for (level, word) in LEVELS {
        carried((Kind::Ours, "s2_best"), (Kind::Stock, level), ["s2_best", word]).await?;
    }
    for word in ["s2_uncompressed", "s2_fast", "s2_better", "s2_best"] {
        carried((Kind::Ours, word), (Kind::Stock, "accept"), [word; 2]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_of_ours_agree() -> Result<()> {
    carried((Kind::Ours, "s2_fast"), (Kind::Ours, "s2_best"), ["s2_fast", "s2_best"]).await?;
    carried((Kind::Ours, "accept"), (Kind::Ours, SHORT), ["s2_fast", "s2_uncompressed"]).await?;
    carried((Kind::Ours, "s2_fast"), (Kind::Ours, "off"), ["off"; 2]).await?;
    carried((Kind::Ours, "off"), (Kind::Ours, "s2_fast"), ["off"; 2]).await
}

#[tokio::test]
async fn a_short_link_we_dial_goes_without_and_stock_gets_what_it_asks_for() -> Result<()> {
    for kind in [Kind::Ours, Kind::Stock] {
        carried((Kind::Ours, SHORT), (kind, "s2_auto"), ["off"; 2]).await?;
    }
    carried((Kind::Stock, SHORT), (Kind::Ours, SHORT), ["s2_uncompressed"; 2]).await?;
    // Round trips are known from PINGs on, and more is done then.
    carried((Kind::Stock, "s2_fast"), (Kind::Ours, LONG), ["s2_fast", "s2_best"]).await?;
    carried((Kind::Ours, LONG), (Kind::Stock, "s2_fast"), ["s2_best", "s2_fast"]).await
}

#[tokio::test]
async fn older_servers_agree_as_well() -> Result<()> {
    for version in ["2.12", "2.14"] {
        let older = Kind::Older(version);
        carried((older, "s2_fast"), (Kind::Ours, "s2_fast"), ["s2_fast"; 2]).await?;
        carried((Kind::Ours, "s2_better"), (older, "s2_best"), ["s2_better", "s2_best"]).await?;
    }
    Ok(())
}

/// A bomb: a stream whose one block of a few bytes stands for a mebibyte.
const BOMB: &[u8] =
    b"\xff\x06\x00\x00S2sTwO\x00\x10\x00\x00\0\0\0\0\x80\x80\x40\x00x\x01\x01\x1d\0\xf7\xff\x0e";

#[tokio::test]
async fn nothing_is_decompressed_before_it_is_clear_who_is_there() -> Result<()> {
    let pki = Pki::new()?;
    let options = BusOptions { leafnodes: Some(leafnodes("\"event-gateway\"")), ..BusOptions::default() };
    let bus = InternalBus::start(&pki, &options).await?;
    let dial = |name: &'static str| {
        let config = client_config(&pki.service(name), &[]);
        let address = bus.leafnodes();
        async { Raw::tls(address?, config?, "internal-bus").await }
    };
    // Signed by the right authority, and yet none of the peers.
    let (mut other, info) = dial("orders").await?;
    ensure!(info["compression"] == "s2_auto", "{info}");
    let answer = [b"INFO {\"compression\":\"s2_fast\"}\r\n", BOMB].concat();
    other.send(&answer).await?;
    other.expect("-ERR 'compression was not offered'").await?;
    other.closed().await?;
    // A peer may compress, and what is too much before its login is refused.
    let (mut peer, _) = dial("event-gateway").await?;
    peer.send(&answer).await?;
    peer.closed().await?;
    let log = eventually("the reason in the log", async || {
        let log = bus.process.log();
        log.contains("has a block that is too large").then_some(log)
    })
    .await?;
    ensure!(log.contains("compression was not offered"), "{log}");
    Ok(())
}

#[tokio::test]
async fn without_certificates_compression_is_not_offered() -> Result<()> {
    let conf = "leafnodes { listen: \"127.0.0.1:-1\", compression: s2_fast }";
    let Some(server) = ConfServer::fresh(Kind::Ours, conf).await? else { return Ok(()) };
    let mut peer = Raw::connect(server.addresses.leafnodes.context("no leafnode listener")?).await?;
    let info = peer.info().await?;
    ensure!(info["compression"].is_null(), "{info}");
    peer.send("INFO {\"compression\":\"s2_fast\"}\r\n").await?;
    peer.expect("-ERR 'compression was not offered'").await?;
    peer.closed().await?;
    Ok(())
}

fn leafnodes(peers: &str) -> String {
    format!("host = \"127.0.0.1\"\nport = 0\npeers = [{peers}]")
}
