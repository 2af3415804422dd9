//! Who gets through the gateway's door, and what everybody else hears.

use anyhow::{Context, Result, ensure};
use async_nats::ConnectErrorKind;
use gatehouse_tests::{
    Claims, Client, ClientTls, Raw, ResultExt, Scene, Tokens, client_config, eventually, known,
    run_scenarios, within,
};
use serde_json::json;
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// CONNECT options with one field.
fn connect(field: &str, value: &str) -> String {
    json!({ "verbose": false, field: value }).to_string()
}

#[tokio::test]
async fn a_token_may_travel_in_each_field_that_clients_have() -> Result<()> {
    let scene = Scene::new().await?;
    let token = scene.tokens.good()?;
    for options in [
        connect("auth_token", &token),
        connect("jwt", &token),
        connect("user", &token),
        json!({ "verbose": false, "user": "partner", "pass": token }).to_string(),
    ] {
        scene.raw().await?.login(&options).await.with_context(|| options.replace(&token, "TOKEN"))?;
    }
    // As the user part of the URL, where some tools offer nothing else.
    let mut options = scene.pki.outsider().peer_options();
    options["url"] = json!(format!("tls://{token}@{}", scene.gateway.addresses.clients));
    for client in [Client::Python, Client::Go].into_iter().filter(|client| client.installed_or_skip()) {
        run_scenarios(client, &options, &["connect"], |_| ()).await?.all_pass()?;
    }
    ensure!(!scene.gateway.process.log().contains(&token), "the token is in the log");
    Ok(())
}

#[tokio::test]
async fn tls_12_and_13_are_spoken() -> Result<()> {
    let scene = Scene::new().await?;
    for version in [&TLS12, &TLS13] {
        let config = client_config(&scene.pki.outsider(), &[version])?;
        let (mut raw, info) = Raw::tls(scene.gateway.addresses.clients, config, "localhost").await?;
        ensure!(info["tls_required"] == true && info["auth_required"] == true, "{info}");
        raw.login(&connect("auth_token", &scene.tokens.good()?)).await?;
    }
    Ok(())
}

/// Tokens that must not open the door, by name.
fn bad_tokens(tokens: &Tokens) -> Result<Vec<(&'static str, String)>> {
    let signed = |claims: Claims| tokens.sign(&claims);
    let good = tokens.good()?;
    let mut tampered = good.clone().into_bytes();
    let middle = good.find('.').context("a token")? + 10;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    Ok(vec![
        ("no token", String::new()),
        ("not a token", "partner-1".to_owned()),
        ("another key", tokens.forged()?),
        ("no signature", tokens.unsigned()?),
        ("cut signature", good.rsplit_once('.').context("a token")?.0.to_owned() + "."),
        ("algorithm confusion", tokens.confused()?),
        ("changed claims", String::from_utf8(tampered)?),
        ("expired", signed(tokens.claims().expires_in(-3600))?),
        ("no expiry", signed(tokens.claims().without("exp"))?),
        ("not yet valid", signed(tokens.claims().with("nbf", 4_102_444_800_u64))?),
        ("wrong issuer", signed(tokens.claims().with("iss", "https://login.example.com/realms/others"))?),
        ("no issuer", signed(tokens.claims().without("iss"))?),
        ("wrong audience", signed(tokens.claims().with("aud", "billing"))?),
        ("no audience", signed(tokens.claims().without("aud"))?),
    ])
}

#[tokio::test]
async fn bad_tokens_are_refused_in_words_that_tell_little() -> Result<()> {
    let scene = Scene::new().await?;
    for (name, token) in bad_tokens(&scene.tokens)? {
        let mut raw = scene.raw().await?;
        raw.send(format!("CONNECT {}\r\nSUB > 1\r\nPING\r\n", connect("auth_token", &token))).await?;
        let said = raw.closed().await?;
        // Whoever holds a token that was good once is told to get a new one.
        let words = if name == "expired" { "User Authentication Expired" } else { "Authorization Violation" };
        ensure!(said.lines().any(|line| line == format!("-ERR '{words}'")), "{name}: {said:?}");
        ensure!(!said.contains("PONG"), "{name}: {said:?}");
        let log = scene.gateway.process.log();
        ensure!(token.len() < 20 || !log.contains(&token), "{name}: the token is in the log");
    }
    // A client library understands it too.
    let refused =
        scene.gateway.client(&scene.pki, &scene.tokens.forged()?).await.err().context("accepted")?;
    let kind = refused.downcast_ref::<async_nats::ConnectError>().context("another error")?.kind();
    ensure!(kind == ConnectErrorKind::AuthorizationViolation, "{kind:?}");
    Ok(())
}

#[tokio::test]
async fn operations_before_the_login_are_refused() -> Result<()> {
    let scene = Scene::new().await?;
    for early in ["PUB peer.a 1\r\nx\r\n", "SUB peer.a 1\r\n"] {
        let mut raw = scene.raw().await?;
        raw.send(early).await?;
        let said = raw.closed().await?;
        ensure!(said.contains("-ERR 'Authorization Violation'"), "{early:?}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_without_a_role_may_do_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let token = scene.tokens.sign(&scene.tokens.claims().with("groups", json!(["visitors"])))?;
    let mut raw = scene.raw().await?;
    raw.send(format!("CONNECT {}\r\nPUB peer.a 1\r\nx\r\nPING\r\n", connect("auth_token", &token))).await?;
    // Whether it is refused at the door or at each step, nothing is allowed.
    let mut lines = vec![raw.line().await?];
    while !lines.iter().any(|line| line.starts_with("-ERR")) {
        lines.push(raw.line().await?);
    }
    let said = lines.join("\n");
    ensure!(said.contains("Authorization Violation") || said.contains("Permissions Violation"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_connection_ends_with_its_token() -> Result<()> {
    let scene = Scene::new().await?;
    let token = scene.tokens.sign(&scene.tokens.claims().expires_in(3))?;
    let mut raw = scene.raw().await?;
    raw.login(&connect("auth_token", &token)).await?;
    raw.send("SUB peer.a 1\r\nPUB peer.a 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.payload == b"x", "the token is good until it ends");
    let said = raw.closed().await?;
    ensure!(said.contains("-ERR 'User Authentication Expired'"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn each_name_shows_its_own_certificate() -> Result<()> {
    let scene = Scene::with(|pki, mut options| {
        let other = certs_dev::LeafRequest::named("other")
            .usage(certs_dev::Usage::Server)
            .san(certs_dev::San::dns("events.other.example"));
        // A CA of its own: a handshake succeeds only with the right certificate.
        let ca = certs_dev::Authority::new("other CA").and_then(|ca| ca.write(pki.dir(), "other-ca").map(|()| ca));
        let issued = ca.and_then(|ca| ca.issue(&other)).and_then(|leaf| leaf.write(pki.dir(), "other"));
        assert!(issued.is_ok(), "{issued:?}");
        let [cert, key] = ["other.crt", "other.key"].map(|file| pki.text(file));
        options.frontend += &format!(
            "\n[[frontend_tls]]\nserver_name = \"events.other.example\"\ncert_path = \"{cert}\"\nkey_path = \"{key}\"\n"
        );
        options
    })
    .await?;
    let address = scene.gateway.addresses.clients;
    let [first, other] = ["frontend-ca.crt", "other-ca.crt"].map(|ca| ClientTls::new(scene.pki.path(ca)));
    Raw::tls(address, client_config(&first, &[])?, "localhost").await?;
    Raw::tls(address, client_config(&other, &[])?, "events.other.example").await?;
    ensure!(
        Raw::tls(address, client_config(&first, &[])?, "events.other.example").await.is_err(),
        "wrong certificate"
    );
    ensure!(Raw::tls(address, client_config(&other, &[])?, "localhost").await.is_err(), "wrong certificate");
    Ok(())
}

#[tokio::test]
async fn tls_may_end_at_a_proxy_in_front() -> Result<()> {
    let scene = Scene::with(|_, mut options| {
        options.service += "disable_frontend_tls = true\n";
        options.frontend = String::new();
        options
    })
    .await?;
    let mut raw = Raw::connect(scene.gateway.addresses.clients).await?;
    let info = raw.info().await?;
    ensure!(info["tls_required"] != true && info["auth_required"] == true, "{info}");
    raw.login(&connect("auth_token", &scene.tokens.good()?)).await
}

#[tokio::test]
async fn a_client_certificate_can_be_asked_for() -> Result<()> {
    let scene = Scene::with(|pki, mut options| {
        let ca = pki.text("internal-ca.crt");
        options.sections += &format!("[client_certificates]\nmode = \"required\"\nca_path = \"{ca}\"\n");
        options
    })
    .await?;
    let token = scene.tokens.good()?;
    let attempt = |tls: ClientTls| {
        let (address, options) = (scene.gateway.addresses.clients, connect("auth_token", &token));
        async move {
            let (mut raw, _) = Raw::tls(address, client_config(&tls, &[])?, "localhost").await?;
            raw.login(&options).await
        }
    };
    let outsider = scene.pki.outsider();
    attempt(outsider.clone().with_pair(scene.pki.dir(), "orders")).await?;
    ensure!(attempt(outsider.clone()).await.is_err(), "no certificate was accepted");
    ensure!(
        attempt(outsider.with_pair(scene.pki.dir(), "stranger")).await.is_err(),
        "a stranger was accepted"
    );
    Ok(())
}

#[tokio::test]
async fn the_gateway_drains_and_leaves_with_zero() -> Result<()> {
    let mut scene = Scene::new().await?;
    let mut raw = scene.raw().await?;
    let options = json!({ "verbose": false, "protocol": 1, "auth_token": scene.tokens.good()? });
    raw.login(&options.to_string()).await?;
    raw.send("SUB peer.a 1\r\n").await?;
    raw.fence().await?;
    scene.gateway.process.signal("TERM").await?;
    let said = within("the end of the drain", raw.closed()).await??;
    let told = said.lines().any(|line| line.starts_with("INFO ") && line.contains("\"ldm\":true"));
    ensure!(told, "not told to go: {said}");
    let status = scene.gateway.process.ended().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn readiness_follows_the_link() -> Result<()> {
    let mut scene = Scene::new().await?;
    let admin = scene.gateway.admin()?;
    let status = || async move { Some(gatehouse_tests::http_get(admin, "/readyz").await.ok()?.status) };
    scene.proxy.cut();
    eventually("not ready", || async { status().await.filter(|status| *status == 503) }).await?;
    let partner = scene.partner().await?;
    // No silent loss: a request learns at once that nobody can answer, and the connection stays.
    let answer = within("an answer", partner.request("peer.ask", "".into())).await?;
    ensure!(answer.is_err(), "{answer:?}");
    scene.proxy.restore();
    scene.gateway.ready().await?;
    let service = scene.service("orders").await?;
    let mut sub = service.subscribe("peer.back").await?;
    known(&partner, "peer.back", &mut sub).await?;
    Ok(())
}
