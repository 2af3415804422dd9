//! Attacks with certificates, one row each, against a running gateway: every one is refused, and written down.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use certs_dev::{Authority, AuthorityOptions, Issued, LeafRequest, San, Usage};
use gatehouse_tests::{AuditLog, Lobby, Pki};
use serde_json::json;

/// Rights for every certificate with an identity: what is refused is not refused for want of rights.
const RIGHTS: &str = r#"
[[roles]]
name = "partner"
publish = { allow = ["x"] }

[[bindings]]
role = "partner"
when = { "certificate.identity" = { glob = "*" } }
"#;

const HOUR: Duration = Duration::from_secs(3_600);

/// A gateway that asks for certificates of `partners.crt`, with more lines for the section.
async fn lobby(pki: Pki, lines: &str) -> Result<(Lobby, AuditLog)> {
    let lobby = Lobby::start(pki, |pki, options| {
        options.rights = RIGHTS.to_owned();
        options.sections = format!(
            "[client_certificates]\nmode = \"optional\"\nca_path = \"{}\"\n{lines}\n[audit]\nfile = \"{}\"\n",
            pki.text("partners.crt"),
            pki.text("audit.jsonl")
        );
    });
    let lobby = lobby.await?;
    let log = AuditLog::at(&lobby.pki.path("audit.jsonl"));
    Ok((lobby, log))
}

/// Whether a client with the pair `name` gets in.
async fn gets_in(lobby: &Lobby, name: &str) -> bool {
    let tls = lobby.pki.outsider().with_pair(lobby.pki.dir(), name);
    lobby.login_as(&tls, &json!({})).await.is_ok_and(|answer| answer == "PONG")
}

/// The attacks: name of the pair, what it is, and words of the reason that is written down.
struct Table {
    pki: Pki,
    rows: Vec<(String, &'static str, &'static str)>,
}

impl Table {
    fn add(&mut self, what: &'static str, reason: &'static str, issued: &Issued) -> Result<()> {
        let name = format!("attack-{}", self.rows.len());
        issued.write(self.pki.dir(), &name)?;
        self.rows.push((name, what, reason));
        Ok(())
    }
}

fn attacks(pki: Pki, partners: &Authority) -> Result<Table> {
    let mut table = Table { pki, rows: Vec::new() };
    let now = SystemTime::now();
    let client = || LeafRequest::client("billing");
    let from_partners = |request: LeafRequest| partners.issue(&request);
    let stranger = Authority::new("Partners CA")?;
    table.add("wrong CA of the same name", "UnknownIssuer", &stranger.issue(&client())?)?;
    table.add("expired", "expired", &from_partners(client().expired())?)?;
    table.add(
        "not yet valid",
        "not valid yet",
        &from_partners(client().valid(now + HOUR, now + 2 * HOUR))?,
    )?;
    table.add("serverAuth only", "extended", &from_partners(client().with_usages([Usage::Server]))?)?;
    table.add("codeSigning only", "extended", &from_partners(client().with_usages([Usage::CodeSigning]))?)?;
    let mut ca_leaf = client();
    ca_leaf.is_ca = true;
    table.add("CA as leaf", "CaUsedAsEndEntity", &from_partners(ca_leaf)?)?;
    let constrained = partners.intermediate(&AuthorityOptions {
        permitted_dns: vec!["partners.example".to_owned()],
        ..AuthorityOptions::named("Constrained")
    })?;
    let outside = LeafRequest::named("x").usage(Usage::Client).san(San::dns("billing.internal"));
    table.add("outside the CA's name constraints", "NameConstraint", &constrained.issue(&outside)?)?;
    let below = constrained.intermediate(&AuthorityOptions::named("Below"))?;
    let inside = LeafRequest::named("x").usage(Usage::Client).san(San::dns("a.partners.example"));
    table.add("path longer than the CA allows", "PathLen", &below.issue(&inside)?)?;
    let lapsed = partners.intermediate(&AuthorityOptions {
        not_before: now - 3 * HOUR,
        not_after: now - HOUR,
        ..AuthorityOptions::named("Lapsed")
    })?;
    table.add("expired intermediate", "expired", &lapsed.issue(&client())?)?;
    names(&mut table, &from_partners)?;
    let mut revoked = client();
    revoked.serial = Some(vec![0x4d, 2]);
    table.add("revoked by a list", "revoked", &from_partners(revoked)?)?;
    let mut pinned = client();
    pinned.serial = Some(vec![0x4d, 3]);
    table.add("pinned out by serial number", "serial number", &from_partners(pinned)?)?;
    Ok(table)
}

fn names(table: &mut Table, issue: &dyn Fn(LeafRequest) -> Result<Issued, certs_dev::Error>) -> Result<()> {
    let with = |sans: Vec<San>| LeafRequest::named("billing").usage(Usage::Client).with_sans(sans);
    let uri = San::uri;
    for (what, reason, sans) in [
        ("two URI names (SPIFFE X509-SVID)", "2 URI names", vec![uri("spiffe://a/b"), uri("spiffe://a/c")]),
        ("SPIFFE id with a dot segment", "SPIFFE id", vec![uri("spiffe://a/../b")]),
        ("SPIFFE id in capitals", "SPIFFE id", vec![uri("SPIFFE://a/b")]),
        ("NUL in a DNS name", "control characters", vec![San::dns("billing.internal\0.evil.example")]),
        ("line break in a DNS name", "control characters", vec![San::dns("a\r\nb")]),
        ("wildcard as identity", "wildcard", vec![San::dns("*.internal")]),
        ("lone wildcard as identity", "wildcard", vec![San::Email("*@example.com".into())]),
    ] {
        table.add(what, reason, &issue(with(sans))?)?;
    }
    // The section asks for alternative names only.
    table.add("common name alone", "no name of the kinds", &issue(with(Vec::new()))?)
}

#[tokio::test]
async fn every_attack_is_refused_and_written_down() -> Result<()> {
    let pki = Pki::new()?;
    let partners = Authority::new("Partners CA")?;
    fs::write(pki.path("partners.crt"), partners.cert_pem())?;
    let now = SystemTime::now();
    fs::create_dir(pki.path("crl"))?;
    fs::write(pki.path("crl/partners.crl"), partners.crl(&[vec![0x4d, 2]], now - HOUR, now + HOUR)?)?;
    partners.issue(&LeafRequest::client("billing"))?.write(pki.dir(), "good")?;
    // The CA's own pair, presented as a client's.
    partners.write(pki.dir(), "ca-itself")?;
    let mut table = attacks(pki, &partners)?;
    table.rows.push(("ca-itself".into(), "the CA's own certificate", "CaUsedAsEndEntity"));
    let lines = format!(
        "crl_path = \"{}\"\nidentity = [\"uri\", \"dns\", \"email\"]\npins = {{ deny_serials = [\"4d:03\"] }}",
        table.pki.text("crl")
    );
    let Table { pki, rows } = table;
    let (lobby, log) = lobby(pki, &lines).await?;
    ensure!(gets_in(&lobby, "good").await, "the good certificate: {}", lobby.gateway.process.log());
    let mut missing = Vec::new();
    for (name, what, reason) in &rows {
        let before = log.count("denied");
        ensure!(!gets_in(&lobby, name).await, "{what}: let in");
        let denied = log.next("denied", before).await.with_context(|| (*what).to_owned())?;
        let detail = denied["detail"].as_str().unwrap_or_default();
        if !detail.to_lowercase().contains(&reason.to_lowercase()) {
            missing.push(format!("{what}: {detail}"));
        }
    }
    ensure!(missing.is_empty(), "written down otherwise:\n{}", missing.join("\n"));
    ensure!(gets_in(&lobby, "good").await, "the good certificate, afterwards");
    ensure!(rows.len() >= 20, "{} rows", rows.len());
    Ok(())
}

#[tokio::test]
async fn an_overdue_list_refuses_unless_it_is_accepted() -> Result<()> {
    for (setting, good) in [("refuse", false), ("accept", true)] {
        let pki = Pki::new()?;
        let partners = Authority::new("Partners CA")?;
        fs::write(pki.path("partners.crt"), partners.cert_pem())?;
        let now = SystemTime::now();
        fs::write(pki.path("old.crl"), partners.crl(&[vec![0x4d, 2]], now - 3 * HOUR, now - HOUR)?)?;
        partners.issue(&LeafRequest::client("billing"))?.write(pki.dir(), "good")?;
        let mut revoked = LeafRequest::client("billing");
        revoked.serial = Some(vec![0x4d, 2]);
        partners.issue(&revoked)?.write(pki.dir(), "revoked")?;
        let lines = format!("crl_path = \"{}\"\noverdue_crl = \"{setting}\"", pki.text("old.crl"));
        let (lobby, log) = lobby(pki, &lines).await?;
        ensure!(gets_in(&lobby, "good").await == good, "{setting}");
        ensure!(!gets_in(&lobby, "revoked").await, "{setting}: a revoked one");
        log.next("denied", 0).await?;
        ensure!(lobby.gateway.process.log().contains("old.crl"), "a warning names the list");
    }
    Ok(())
}

#[tokio::test]
async fn issuers_and_keys_are_pinned() -> Result<()> {
    for (pins, good) in [
        ("allow_issuers = [\"CN=Somebody else\"]", false),
        ("allow_keys = [\"0000000000000000000000000000000000000000000000000000000000000000\"]", false),
        ("deny_keys = [\"0000000000000000000000000000000000000000000000000000000000000000\"]", true),
    ] {
        let pki = Pki::new()?;
        let partners = Authority::new("Partners CA")?;
        fs::write(pki.path("partners.crt"), partners.cert_pem())?;
        partners.issue(&LeafRequest::client("billing"))?.write(pki.dir(), "good")?;
        let (lobby, log) = lobby(pki, &format!("pins = {{ {pins} }}")).await?;
        ensure!(gets_in(&lobby, "good").await == good, "{pins}");
        if !good {
            ensure!(log.next("denied", 0).await?["reason"] == "pins", "{pins}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_alone_may_not_be_enough() -> Result<()> {
    let pki = Pki::new()?;
    let partners = Authority::new("Partners CA")?;
    fs::write(pki.path("partners.crt"), partners.cert_pem())?;
    partners.issue(&LeafRequest::client("billing"))?.write(pki.dir(), "good")?;
    let (lobby, log) = lobby(pki, "token = \"required\"").await?;
    ensure!(!gets_in(&lobby, "good").await);
    ensure!(log.next("denied", 0).await?["reason"] == "no_token");
    let tls = lobby.pki.outsider().with_pair(lobby.pki.dir(), "good");
    let both = json!({ "auth_token": lobby.tokens.good()? });
    ensure!(lobby.login_as(&tls, &both).await? == "PONG", "both are enough");
    Ok(())
}
