//! Logins, rights and TLS of a server configured by a `nats.conf`, on both servers.

use anyhow::{Result, ensure};
use gatehouse_tests::{ClientTls, ConfServer, Kind, Pki, Raw, client_config, on_both};
use tokio_rustls::rustls::version::{TLS12, TLS13};

const LISTEN: &str = "listen: \"127.0.0.1:-1\"\n";

on_both! {
    tokens_and_passwords_open_the_door
    wrong_credentials_are_refused_with_the_words_clients_know
    the_user_of_those_who_say_nothing_may_be_named
    operations_before_the_login_are_refused
    publish_rights
    subscribe_rights
    a_deny_inside_an_allowed_pattern_holds_on_delivery
    responses_may_be_published_where_a_request_allows
    a_user_is_told_its_rights
    info_then_tls_with_both_versions
    tls_first
    clear_text_on_a_tls_port_is_refused
    a_certificate_is_required_and_checked
}

async fn start(kind: Kind, pki: &Pki, conf: &str) -> Result<Option<ConfServer>> {
    ConfServer::start(kind, pki.dir(), &format!("{LISTEN}{conf}")).await
}

/// Logs in and gives the connection.
async fn login(server: &ConfServer, options: &str) -> Result<Raw> {
    Raw::logged_in(server.addresses.clients, options).await
}

async fn tokens_and_passwords_open_the_door(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, "authorization { token: s3cret }\n").await? else { return Ok(()) };
    let info = Raw::connect(server.addresses.clients).await?.info().await?;
    ensure!(info["auth_required"] == true, "{info}");
    login(&server, r#"{"verbose":false,"auth_token":"s3cret"}"#).await?;
    drop(server);
    let conf = "authorization { users: [ {user: a, password: x}, {user: b, password: y} ] }\n";
    let Some(server) = start(kind, &pki, conf).await? else { return Ok(()) };
    login(&server, r#"{"verbose":false,"user":"b","pass":"y"}"#).await?;
    Ok(())
}

async fn wrong_credentials_are_refused_with_the_words_clients_know(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf = "authorization { users: [ {user: a, password: x}, {user: b, password: y} ] }\n";
    let Some(server) = start(kind, &pki, conf).await? else { return Ok(()) };
    for options in [
        r#"{"verbose":false}"#,
        r#"{"verbose":false,"user":"a"}"#,
        r#"{"verbose":false,"user":"a","pass":"y"}"#,
        r#"{"verbose":false,"user":"nobody","pass":"x"}"#,
        r#"{"verbose":false,"auth_token":"x"}"#,
    ] {
        let mut raw = Raw::connect(server.addresses.clients).await?;
        raw.info().await?;
        raw.send(format!("CONNECT {options}\r\nSUB > 1\r\nPING\r\n")).await?;
        let said = raw.closed().await?;
        ensure!(said.starts_with("-ERR 'Authorization Violation'"), "{options}: {said}");
        ensure!(!said.contains("PONG"), "{options}: {said}");
    }
    Ok(())
}

async fn the_user_of_those_who_say_nothing_may_be_named(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf = "accounts { A { users: [ {user: open}, {user: b, password: y} ] } }\nno_auth_user: open\n";
    let Some(server) = start(kind, &pki, conf).await? else { return Ok(()) };
    for options in [
        r#"{"verbose":false}"#,
        r#"{"verbose":false,"user":"open"}"#,
        r#"{"verbose":false,"user":"open","pass":""}"#,
    ] {
        login(&server, options).await?;
    }
    for options in [
        r#"{"verbose":false,"user":"open","pass":"x"}"#,
        r#"{"verbose":false,"user":"b","pass":""}"#,
        r#"{"verbose":false,"user":"b"}"#,
    ] {
        ensure!(login(&server, options).await.is_err(), "{options}");
    }
    Ok(())
}

async fn operations_before_the_login_are_refused(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, "authorization { token: s3cret }\n").await? else { return Ok(()) };
    let mut sub = login(&server, r#"{"verbose":false,"auth_token":"s3cret"}"#).await?;
    sub.send("SUB > 1\r\n").await?;
    sub.fence().await?;
    for early in ["PUB a 1\r\nx\r\n", "SUB a 1\r\n", "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"] {
        let mut raw = Raw::connect(server.addresses.clients).await?;
        raw.info().await?;
        raw.send(early).await?;
        let said = raw.closed().await?;
        ensure!(said.starts_with("-ERR 'Authorization Violation'"), "{early:?}: {said:?}");
    }
    sub.fence().await
}

/// A user with the given permissions, and a second one `all` that may do everything.
fn users(permissions: &str) -> String {
    format!(
        "authorization {{ users: [ {{user: u, password: p, permissions: {{ {permissions} }} }}, {{user: all, password: p}} ] }}\n"
    )
}

const USER: &str = r#"{"verbose":false,"user":"u","pass":"p"}"#;
const ALL: &str = r#"{"verbose":false,"user":"all","pass":"p"}"#;

async fn publish_rights(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf = users("publish: { allow: [\"a.>\", \"b\"], deny: [\"a.secret.*\"] }");
    let Some(server) = start(kind, &pki, &conf).await? else { return Ok(()) };
    let (mut raw, mut sub) = (login(&server, USER).await?, login(&server, ALL).await?);
    sub.send("SUB > 1\r\n").await?;
    sub.fence().await?;
    for denied in ["c", "a", "a.secret.x", "b.c"] {
        raw.send(format!("PUB {denied} 1\r\nx\r\n")).await?;
        raw.expect_start(&format!("-ERR 'Permissions Violation for Publish to \"{denied}\"'")).await?;
    }
    raw.send("PUB a.b 1\r\n1\r\nPUB b 1\r\n2\r\nPUB a.secret.x.y 1\r\n3\r\n").await?;
    raw.fence().await?;
    for subject in ["a.b", "b", "a.secret.x.y"] {
        ensure!(sub.message().await?.subject == subject);
    }
    sub.fence().await
}

async fn subscribe_rights(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf = users("subscribe: { allow: [\"a.>\"], deny: [\"a.secret\"] }");
    let Some(server) = start(kind, &pki, &conf).await? else { return Ok(()) };
    let mut raw = login(&server, USER).await?;
    for denied in ["b", ">", "*.x", "a.secret"] {
        raw.send(format!("SUB {denied} 1\r\n")).await?;
        raw.expect_start(&format!("-ERR 'Permissions Violation for Subscription to \"{denied}\"'")).await?;
    }
    raw.send("SUB b q 1\r\n").await?;
    raw.expect_start("-ERR 'Permissions Violation for Subscription to \"b\" using queue \"q\"'").await?;
    raw.send("SUB a.x 2\r\nPUB a.x 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.sid == "2");
    raw.fence().await
}

async fn a_deny_inside_an_allowed_pattern_holds_on_delivery(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf = users("subscribe: { deny: [\"a.secret\"] }");
    let Some(server) = start(kind, &pki, &conf).await? else { return Ok(()) };
    let (mut raw, mut publisher) = (login(&server, USER).await?, login(&server, ALL).await?);
    raw.send("SUB a.* 1\r\nSUB > q 2\r\n").await?;
    raw.fence().await?;
    publisher.send("PUB a.secret 1\r\nx\r\nPUB a.open 1\r\nx\r\n").await?;
    publisher.fence().await?;
    let (one, two) = (raw.message().await?, raw.message().await?);
    ensure!(one.subject == "a.open" && two.subject == "a.open", "{one:?} {two:?}");
    raw.fence().await
}

async fn responses_may_be_published_where_a_request_allows(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let conf =
        users("publish: { deny: \">\" }, subscribe: \"work\", allow_responses: { max: 1, expires: \"1m\" }");
    let Some(server) = start(kind, &pki, &conf).await? else { return Ok(()) };
    let (mut worker, mut asker) = (login(&server, USER).await?, login(&server, ALL).await?);
    worker.send("SUB work 1\r\n").await?;
    worker.fence().await?;
    worker.send("PUB in.1 1\r\nx\r\n").await?;
    worker.expect_start("-ERR 'Permissions Violation for Publish to \"in.1\"'").await?;
    asker.send("SUB in.* 1\r\nPUB work in.1 1\r\n?\r\n").await?;
    ensure!(worker.message().await?.reply.as_deref() == Some("in.1"));
    worker.send("PUB in.1 1\r\n1\r\nPUB in.1 1\r\n2\r\n").await?;
    worker.expect_start("-ERR 'Permissions Violation for Publish to \"in.1\"'").await?;
    ensure!(asker.message().await?.payload == b"1");
    asker.fence().await
}

/// A `tls` block with the bus's certificate.
async fn a_user_is_told_its_rights(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let rights =
        "publish: \"$SYS.REQ.USER.INFO\", subscribe: \"in.>\", allow_responses: {max: 3, expires: \"5s\"}";
    let Some(server) = start(kind, &pki, &users(rights)).await? else { return Ok(()) };
    let mut raw = login(&server, USER).await?;
    raw.send("SUB in.* 1\r\nPUB $SYS.REQ.USER.INFO in.1 0\r\n\r\n").await?;
    let info: serde_json::Value = serde_json::from_slice(&raw.message().await?.payload)?;
    let told = &info["data"]["permissions"];
    ensure!(
        told["publish"]["allow"][0] == "$SYS.REQ.USER.INFO" && told["subscribe"]["allow"][0] == "in.>",
        "{info}"
    );
    ensure!(told["responses"] == serde_json::json!({ "max": 3, "ttl": 5_000_000_000_u64 }), "{info}");
    Ok(())
}

fn tls_block(pki: &Pki, more: &str) -> String {
    let [cert, key, ca] =
        ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
    format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", {more} }}\n")
}

async fn info_then_tls_with_both_versions(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, &tls_block(&pki, "timeout: 5")).await? else { return Ok(()) };
    let trusting = ClientTls::new(pki.path("internal-ca.crt"));
    for version in [&TLS12, &TLS13] {
        let config = client_config(&trusting, &[version])?;
        let (mut raw, info) = Raw::tls(server.addresses.clients, config, "internal-bus").await?;
        ensure!(info["tls_required"] == true, "{info}");
        raw.login(r#"{"verbose":false,"tls_required":true}"#).await?;
    }
    Ok(())
}

async fn tls_first(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, &tls_block(&pki, "handshake_first: true")).await? else {
        return Ok(());
    };
    let config = client_config(&ClientTls::new(pki.path("internal-ca.crt")), &[])?;
    let mut raw = Raw::tls_first(server.addresses.clients, config, "localhost").await?;
    let info = raw.info().await?;
    ensure!(info["tls_required"] == true, "{info}");
    raw.login(r#"{"verbose":false}"#).await
}

async fn clear_text_on_a_tls_port_is_refused(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, &tls_block(&pki, "timeout: 2")).await? else { return Ok(()) };
    let mut raw = Raw::connect(server.addresses.clients).await?;
    raw.info().await?;
    raw.send("CONNECT {\"verbose\":false}\r\nPING\r\n").await?;
    let said = raw.closed().await?;
    ensure!(!said.contains("PONG"), "{said:?}");
    Ok(())
}

async fn a_certificate_is_required_and_checked(kind: Kind) -> Result<()> {
    let pki = Pki::new()?;
    let Some(server) = start(kind, &pki, &tls_block(&pki, "verify: true")).await? else { return Ok(()) };
    let address = server.addresses.clients;
    let with = |tls: ClientTls| async move {
        let config = client_config(&tls, &[])?;
        let (mut raw, info) = Raw::tls(address, config, "internal-bus").await?;
        ensure!(info["tls_verify"] == true, "{info}");
        // In TLS 1.3 a client learns of its refusal after the handshake.
        raw.login(r#"{"verbose":false}"#).await
    };
    with(pki.service("orders")).await?;
    let nothing = ClientTls::new(pki.path("internal-ca.crt"));
    ensure!(with(nothing.clone()).await.is_err(), "no certificate was accepted");
    ensure!(
        with(nothing.with_pair(pki.dir(), "stranger")).await.is_err(),
        "a stranger's certificate was accepted"
    );
    Ok(())
}
