//! The bus's door: a certificate or nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use certs_dev::{LeafRequest, San, Usage};
use gatehouse_tests::{BusOptions, ClientTls, InternalBus, Pki, Raw, client_config, eventually};
use tokio_rustls::rustls::version::{TLS12, TLS13};

const QUIET: &str = r#"{"verbose":false}"#;

async fn login(bus: &InternalBus, tls: &ClientTls) -> Result<Raw> {
    let (mut raw, info) = Raw::tls(bus.addresses.clients, client_config(tls, &[])?, "internal-bus").await?;
    ensure!(info["tls_required"] == true, "{info}");
    raw.login(QUIET).await?;
    Ok(raw)
}

#[tokio::test]
async fn services_come_in_with_both_tls_versions() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    for version in [&TLS12, &TLS13] {
        let config = client_config(&pki.service("orders"), &[version])?;
        let (mut raw, _) = Raw::tls(bus.addresses.clients, config, "internal-bus").await?;
        raw.login(QUIET).await?;
        raw.send("SUB a 1\r\nPUB a 1\r\nx\r\n").await?;
        ensure!(raw.message().await?.payload == b"x");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_valid_certificate_nobody_gets_past_the_handshake() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    pki.issue("old", &LeafRequest::client("old").expired())?;
    pki.issue("early", &LeafRequest::client("early").not_yet_valid())?;
    pki.issue(
        "server-only",
        &LeafRequest::named("server-only").usage(Usage::Server).san(San::dns("a.internal")),
    )?;
    pki.issue("signer", &LeafRequest::named("signer").usage(Usage::CodeSigning).san(San::dns("b.internal")))?;
    let trusting = ClientTls::new(pki.path("internal-ca.crt"));
    ensure!(login(&bus, &trusting).await.is_err(), "no certificate was accepted");
    for name in ["stranger", "old", "early", "server-only", "signer", "frontend"] {
        let refused = login(&bus, &trusting.clone().with_pair(pki.dir(), name)).await;
        ensure!(refused.is_err(), "the certificate {name} was accepted");
    }
    login(&bus, &pki.service("orders")).await?;
    Ok(())
}

#[tokio::test]
async fn plaintext_on_the_tls_port_gets_nowhere() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let mut raw = Raw::connect(bus.addresses.clients).await?;
    raw.info().await?;
    raw.send("CONNECT {\"verbose\":false}\r\nPING\r\n").await?;
    ensure!(!raw.closed().await?.contains("PONG"));
    Ok(())
}

#[tokio::test]
async fn each_kind_of_name_makes_an_identity_with_its_rights() -> Result<()> {
    let pki = Pki::new()?;
    let rights = r#"
[[roles]]
name = "by-dns"
publish = { allow = ["dns.>"] }

[[roles]]
name = "by-uri"
publish = { allow = ["uri.>"] }

[[bindings]]
role = "by-dns"
when = { "certificate.dns" = "orders.internal" }

[[bindings]]
role = "by-uri"
when = { "certificate.uri" = "spiffe://gatehouse.dev/billing" }
"#;
    let bus = InternalBus::start(&pki, &BusOptions::default().with_sections(rights)).await?;
    pki.issue("other", &LeafRequest::client("other"))?;
    for (name, may) in [("orders", Some("dns.x")), ("billing", Some("uri.x")), ("other", None)] {
        let (mut raw, _) =
            Raw::tls(bus.addresses.clients, client_config(&pki.service(name), &[])?, "internal-bus").await?;
        raw.send(format!("CONNECT {QUIET}\r\n")).await?;
        for subject in ["dns.x", "uri.x"] {
            raw.send(format!("PUB {subject} 0\r\n\r\nPING\r\n")).await?;
            // A service that no binding names is refused at the door, or at each step.
            let said = raw.line().await?;
            if may == Some(subject) {
                ensure!(said == "PONG", "{name} {subject}: {said}");
            } else {
                ensure!(said.starts_with("-ERR"), "{name} {subject}: {said}");
                if said.contains("Authorization Violation") {
                    break;
                }
                raw.expect("PONG").await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_bindings_services_may_do_everything_and_the_log_says_so() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let mut raw = login(&bus, &pki.service("orders")).await?;
    raw.send("SUB > 1\r\nPUB any.thing 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.subject == "any.thing");
    let log = bus.process.log().to_lowercase();
    ensure!(log.contains("every") && log.contains("subject"), "no word about open rights");
    Ok(())
}

#[tokio::test]
async fn listeners_over_the_limit_are_refused() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default().with_service("listener_limit = 2")).await?;
    let first = login(&bus, &pki.service("orders")).await?;
    let mut second = login(&bus, &pki.service("billing")).await?;
    ensure!(login(&bus, &pki.service("orders")).await.is_err(), "a third came in");
    second.fence().await?;
    drop(first);
    let free = || async { login(&bus, &pki.service("orders")).await.ok() };
    eventually("a free place", free).await?;
    Ok(())
}

#[tokio::test]
async fn events_over_the_limit_hold_publishers_back_and_lose_nothing_in_silence() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default().with_service("event_limit = 1000")).await?;
    let mut stuck = login(&bus, &pki.service("orders")).await?;
    stuck.send("SUB a 1\r\n").await?;
    stuck.fence().await?;
    let mut publisher = login(&bus, &pki.service("billing")).await?;
    // The reader reads nothing: its sockets fill, then the bus's queue, then the publisher is held back or told.
    let payload = "x".repeat(8192);
    let flood = async {
        let batch = format!("PUB a 8192\r\n{payload}\r\n").repeat(50);
        for _ in 0..200 {
            publisher.send(&batch).await?;
        }
        publisher.fence().await
    };
    let outcome = tokio::time::timeout(Duration::from_secs(10), flood).await;
    let rss = bus.process.resident_bytes()?;
    ensure!(rss < 300 << 20, "{rss} bytes resident, event_limit is 1000 of 8 KiB");
    drop(outcome);
    drop(stuck);
    // Others are served as ever.
    login(&bus, &pki.service("billing")).await?.fence().await
}

#[tokio::test]
async fn plaintext_needs_words_in_the_configuration() -> Result<()> {
    let pki = Pki::new()?;
    let bare = BusOptions { tls: false, leafnodes: None, ..BusOptions::default() };
    ensure!(
        InternalBus::start(&pki, &bare).await.is_err(),
        "a bus without TLS started without being told to"
    );
    let remote = BusOptions::plaintext();
    let toml = remote.to_toml(&pki).replacen("host = \"127.0.0.1\"", "host = \"0.0.0.0\"", 1);
    std::fs::write(pki.path("remote.toml"), toml)?;
    let builder = gatehouse_tests::ProcessBuilder::new(
        gatehouse_tests::binary("internal-bus")?,
        pki.path("remote.log"),
    );
    let mut process = builder.arg("--config").arg(pki.path("remote.toml")).spawn()?;
    ensure!(process.ended().await?.code() == Some(2), "plaintext on every address was accepted");
    let bus = InternalBus::start(&pki, &BusOptions::plaintext()).await?;
    Raw::logged_in(bus.addresses.clients, QUIET).await?;
    ensure!(bus.process.log().contains("WARN"), "no warning about plaintext");
    Ok(())
}

#[tokio::test]
async fn the_bus_drains_and_leaves_with_zero() -> Result<()> {
    let pki = Pki::new()?;
    let mut bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let (mut raw, _) =
        Raw::tls(bus.addresses.clients, client_config(&pki.service("orders"), &[])?, "internal-bus").await?;
    raw.login(r#"{"verbose":false,"protocol":1}"#).await?;
    raw.send("SUB a 1\r\n").await?;
    raw.fence().await?;
    bus.process.signal("TERM").await?;
    let said = raw.closed().await?;
    ensure!(said.contains("\"ldm\":true"), "not told to go: {said}");
    let status = bus.process.ended().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}
