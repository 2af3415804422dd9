//! Certificates of live connections: their end, revocation lists and revocations reach whoever is connected, at both
//! doors, and it is written down.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use certs_dev::{Authority, LeafRequest};
use gatehouse_tests::{
    AuditLog, BusOptions, ClientTls, InternalBus, Lobby, Pki, Raw, client_config, eventually, http_api,
};
use serde_json::{Value, json};

const ADMIN: &str = "an-admin-token-of-more-than-32-characters";
const QUIET: &str = "{\"verbose\":false}";
const HOUR: Duration = Duration::from_secs(3_600);

/// How long certificates of these tests are good for.
const LIFE: Duration = Duration::from_secs(4);

/// A client's certificate that ends soon, and when.
fn short_lived() -> (LeafRequest, u64) {
    let (now, end) = (SystemTime::now(), SystemTime::now() + LIFE);
    let seconds = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    (LeafRequest::client("billing").valid(now - HOUR, end), seconds)
}

fn since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The connection ends when its certificate does, in words after which clients come back, and the audit log has it.
async fn ends_with_its_certificate(mut live: Raw, end: u64, log: &AuditLog) -> Result<()> {
    live.fence().await?;
    let words = live.closed().await?;
    ensure!(words.contains("User Authentication Expired"), "{words}");
    ensure!((end..end + 3).contains(&since_epoch()), "closed at {}, the end was {end}", since_epoch());
    let closed = log.next("session_closed", 0).await?;
    ensure!(closed["reason"] == "expired" && closed["expires_at"] == end, "{closed}");
    ensure!(closed["identity"].as_str().is_some_and(|name| name.contains("billing")), "{closed}");
    Ok(())
}

async fn bus(pki: &Pki) -> Result<(InternalBus, AuditLog)> {
    fs::write(pki.path("admin.tokens"), format!("ops:{ADMIN}\n"))?;
    let ca = Authority::load(pki.dir(), "internal-ca")?;
    fs::write(pki.path("internal.crl"), ca.crl(&[], SystemTime::now() - HOUR, SystemTime::now() + HOUR)?)?;
    let options = BusOptions {
        tls_extra: format!("crl_paths = [\"{}\"]\n", pki.text("internal.crl")),
        admin: format!("token_file = \"{}\"\n", pki.text("admin.tokens")),
        sections: format!(
            "[revocation]\nstore = \"bus-revocations\"\n[audit]\nfile = \"{}\"\n",
            pki.text("bus.jsonl")
        ),
        ..BusOptions::default()
    };
    let bus = InternalBus::start(pki, &options).await?;
    let log = AuditLog::at(&pki.path("bus.jsonl"));
    Ok((bus, log))
}

async fn service(bus: &InternalBus, tls: &ClientTls) -> Result<Raw> {
    let (mut raw, _) = Raw::tls(bus.addresses.clients, client_config(tls, &[])?, "internal-bus").await?;
    raw.login(QUIET).await?;
    Ok(raw)
}

/// The serial number of the latest login, as the audit log has it.
async fn serial(log: &AuditLog, logins_before: usize) -> Result<String> {
    let login = log.next("login", logins_before).await?;
    Ok(login["serial"].as_str().context("no serial number")?.to_owned())
}

fn bytes(serial: &str) -> Result<Vec<u8>> {
    let pair = |at| Ok(u8::from_str_radix(serial.get(at..at + 2).context("half a byte")?, 16)?);
    (0..serial.len()).step_by(2).map(pair).collect()
}

#[tokio::test]
async fn the_end_of_a_certificate_ends_a_connection_to_the_gateway() -> Result<()> {
    let pki = Pki::new()?;
    let partners = Authority::new("Partners CA")?;
    fs::write(pki.path("partners.crt"), partners.cert_pem())?;
    let lobby = Lobby::start(pki, |pki, options| {
        options.rights =
            "[[roles]]\nname = \"device\"\npublish = { allow = [\"x\"] }\n[[bindings]]\nrole = \"device\"\n\
                          when = { \"certificate.dns\" = \"billing.internal\" }\n"
                .to_owned();
        options.sections = format!(
            "[client_certificates]\nmode = \"required\"\nca_path = \"{}\"\n[audit]\nfile = \"{}\"\n",
            pki.text("partners.crt"),
            pki.text("audit.jsonl")
        );
    });
    let lobby = lobby.await?;
    let (request, end) = short_lived();
    partners.issue(&request)?.write(lobby.pki.dir(), "brief")?;
    let tls = lobby.pki.outsider().with_pair(lobby.pki.dir(), "brief");
    let mut live = lobby.connect(&tls).await?;
    live.login(QUIET).await?;
    ends_with_its_certificate(live, end, &AuditLog::at(&lobby.pki.path("audit.jsonl"))).await?;
    let again = lobby.login_as(&tls, &json!({})).await;
    ensure!(!again.is_ok_and(|answer| answer == "PONG"), "came back with a certificate that has ended");
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_certificate_ends_a_connection_to_the_bus() -> Result<()> {
    let pki = Pki::new()?;
    let (bus, log) = bus(&pki).await?;
    let (request, end) = short_lived();
    pki.issue("brief", &request)?;
    let live = service(&bus, &pki.service("brief")).await?;
    let mut other = service(&bus, &pki.service("orders")).await?;
    ends_with_its_certificate(live, end, &log).await?;
    other.fence().await?;
    ensure!(
        service(&bus, &pki.service("brief")).await.is_err(),
        "came back with a certificate that has ended"
    );
    Ok(())
}

#[tokio::test]
async fn a_new_revocation_list_ends_connections_to_the_bus() -> Result<()> {
    let pki = Pki::new()?;
    let (bus, log) = bus(&pki).await?;
    let mut live = service(&bus, &pki.service("billing")).await?;
    let revoked = bytes(&serial(&log, 0).await?)?;
    let mut other = service(&bus, &pki.service("orders")).await?;
    let ca = Authority::load(pki.dir(), "internal-ca")?;
    let now = SystemTime::now();
    fs::write(pki.path("internal.crl"), ca.crl(&[revoked], now, now + HOUR)?)?;
    live.closed().await?;
    let closed = log.next("session_closed", 0).await?;
    ensure!(closed["reason"] == "certificate", "{closed}");
    ensure!(closed["detail"].as_str().is_some_and(|detail| detail.contains("Revoked")), "{closed}");
    // Each listener follows the list by itself.
    let changed = [log.next("certificates_changed", 0).await?, log.next("certificates_changed", 1).await?];
    ensure!(changed.iter().any(|event| event["tls"] == "clients"), "{changed:?}");
    ensure!(service(&bus, &pki.service("billing")).await.is_err(), "came back");
    // Whom the list does not name goes on, and comes back.
    other.fence().await?;
    service(&bus, &pki.service("orders")).await?;
    Ok(())
}

#[tokio::test]
async fn a_serial_number_revoked_by_the_admin_api_ends_connections_to_the_bus() -> Result<()> {
    let pki = Pki::new()?;
    let (bus, log) = bus(&pki).await?;
    let admin = bus.admin()?;
    let mut live = service(&bus, &pki.service("billing")).await?;
    let number = serial(&log, 0).await?;
    let mut other = service(&bus, &pki.service("orders")).await?;
    let body = json!({ "serial": number, "reason": "key lost" });
    let denied = http_api(admin, "POST", "/api/v1/revocations", "somebody-else", &body).await?;
    ensure!(denied.status == 401, "{}", denied.body);
    let answer = http_api(admin, "POST", "/api/v1/revocations", ADMIN, &body).await?;
    ensure!(answer.status == 200 && answer.json()?["durable"] == true, "{}", answer.body);
    let begun = std::time::Instant::now();
    let words = live.closed().await?;
    ensure!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    ensure!(words.contains("Revoked"), "{words}");
    let closed = log.next("session_closed", 0).await?;
    ensure!(closed["reason"] == "revoked", "{closed}");
    log.next("revoked", 0).await?;
    let mut again =
        Raw::tls(bus.addresses.clients, client_config(&pki.service("billing"), &[])?, "internal-bus")
            .await?
            .0;
    ensure!(again.login(QUIET).await.is_err(), "came back");
    other.fence().await?;
    let listed = http_api(admin, "GET", "/api/v1/revocations", ADMIN, &Value::Null).await?.json()?;
    let id = listed["revocations"][0]["id"].as_str().context("no id")?.to_owned();
    let lifted = http_api(admin, "DELETE", &format!("/api/v1/revocations/{id}"), ADMIN, &Value::Null).await?;
    ensure!(lifted.status == 200, "{}", lifted.body);
    eventually("a login", || async { service(&bus, &pki.service("billing")).await.ok() }).await?;
    Ok(())
}
