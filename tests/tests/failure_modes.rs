//! The rows of "When parts of it are down" in docs/access-control.md: what clients see, what is logged, what recovers by
//! itself. `Authorization Violation` is said to nobody who was not refused.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use certs_dev::{LeafRequest, San, Usage};
use gatehouse_tests::{
    BusOptions, Gateway, GatewayOptions, InternalBus, Pki, Scene, Tokens, client_config, eventually,
    free_ports, http_get, within,
};
use serde_json::json;
use tokio::net::TcpListener;

/// Why `/readyz` says there is no link, once it has all of these words.
async fn why_no_link(admin: SocketAddr, words: &[&str]) -> Option<String> {
    let page = http_get(admin, "/readyz").await.ok().filter(|answer| answer.status == 503)?.json().ok()?;
    let link = page["guards"].as_array()?.iter().find(|guard| guard["name"] == "link")?.clone();
    let why = link["reason"].as_str()?;
    words.iter().all(|word| why.contains(word)).then(|| why.to_owned())
}

#[tokio::test]
async fn of_a_gateway_link_readiness_says_why_it_is_down() -> Result<()> {
    let (pki, ports) = (Pki::new()?, free_ports(2)?);
    let tokens = Tokens::new(pki.dir())?;
    let mut options = GatewayOptions::dialling(&pki, ([127, 0, 0, 1], ports[0]).into());
    options.service = format!("gateway_port = {}\n", ports[1]);
    options.link = "protocol = \"gateway\"\n".to_owned();
    options.sections =
        format!("[internal_event_service]\nhost = \"127.0.0.1\"\ngateway_port = {}\n", ports[0]);
    let gateway = Gateway::start(&pki, &tokens, &options).await?;
    let admin = gateway.admin()?;
    let address = format!("127.0.0.1:{}", ports[0]);
    let words = ["cluster ", address.as_str(), "refused"];
    eventually("nobody listens", || why_no_link(admin, &words)).await?;
    // Somebody does now, who is no gateway.
    let wrong = TcpListener::bind(&address).await?;
    let answers = tokio::spawn(async move {
        while let Ok((stream, _)) = wrong.accept().await {
            drop(stream);
        }
    });
    let words = ["cluster ", address.as_str(), "tls_handshake"];
    eventually("the wrong one listens", || why_no_link(admin, &words)).await?;
    answers.abort();
    Ok(())
}

#[tokio::test]
async fn bus_down_clients_get_in_and_publishers_are_held_then_told() -> Result<()> {
    let mut scene = Scene::with(|_, mut options| {
        options.link.push_str("hold = \"500ms\"\n");
        options
    })
    .await?;
    let known = scene.partner().await?;
    scene.proxy.cut();
    let admin = scene.gateway.admin()?;
    let not_ready = || async { http_get(admin, "/readyz").await.ok().filter(|answer| answer.status == 503) };
    eventually("not ready", not_ready).await?;
    eventually("why no link is up", || why_no_link(admin, &["127.0.0.1:"])).await?;
    // Who knocks now gets in, and who is in goes on where no link is needed.
    let fresh = scene.partner().await?;
    let mut own = fresh.subscribe("$GATEHOUSE.AUTH.EXPIRING").await?;
    fresh.flush().await?;
    let start = Instant::now();
    ensure!(within("an answer", known.request("peer.ask", "".into())).await?.is_err(), "somebody answered");
    ensure!(start.elapsed() > Duration::from_millis(400), "not held: {:?}", start.elapsed());
    // A publisher that asks for no answer is told in words after which it comes back.
    let login = json!({ "auth_token": scene.tokens.good()?, "verbose": false }).to_string();
    let mut raw = scene.raw().await?;
    raw.login(&login).await?;
    raw.send("PUB orders.acme.1 1\r\nx\r\n").await?;
    raw.expect("-ERR 'Stale Connection'").await?;
    scene.proxy.restore();
    scene.gateway.ready().await?;
    let service = scene.service("orders").await?;
    let mut answers = service.subscribe("peer.ask").await?;
    service.flush().await?;
    let answer = async {
        let message = futures_util::StreamExt::next(&mut answers).await.context("closed")?;
        let reply = message.reply.context("no reply")?;
        service.publish(reply, "here".into()).await?;
        anyhow::Ok(())
    };
    let asked = eventually("an answer", || async { known.request("peer.ask", "".into()).await.ok() });
    let (asked, answered) = tokio::join!(asked, answer);
    answered?;
    ensure!(&*asked?.payload == b"here");
    ensure!(
        tokio::time::timeout(Duration::from_millis(1), futures_util::StreamExt::next(&mut own))
            .await
            .is_err()
    );
    ensure!(!scene.gateway.process.log().contains("Authorization Violation"));
    Ok(())
}

#[tokio::test]
async fn too_many_logins_wait_and_none_is_called_a_violation() -> Result<()> {
    let limits =
        "[limits]\nsource_login_burst = 4\nsource_logins_per_second = 1\nauth_timeout = \"1500ms\"\n";
    let scene = Scene::with(|_, mut options| {
        options.sections.push_str(limits);
        options
    })
    .await?;
    let login = json!({ "auth_token": scene.tokens.good()?, "verbose": false }).to_string();
    let attempt = || async {
        // Whoever has to wait too long for its turn is closed, in the handshake or after the words for it.
        let Ok(mut raw) = scene.raw().await else { return Ok(None) };
        raw.send(format!("CONNECT {login}\r\nPING\r\n")).await?;
        anyhow::Ok(raw.line().await.ok())
    };
    let answers = futures_util::future::try_join_all((0..12).map(|_| attempt())).await?;
    let (mut in_time, mut late) = (0, 0);
    for answer in answers {
        match answer.as_deref() {
            Some("PONG") => in_time += 1,
            None | Some("-ERR 'Login Undecided, Try Again Later'") => late += 1,
            other => anyhow::bail!("told {other:?}"),
        }
    }
    ensure!(in_time >= 1 && late >= 1, "{in_time} in time, {late} late");
    // Nothing is held against anybody: a little later everybody gets in.
    eventually("a login", || async { scene.partner().await.ok() }).await?;
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_of_ours_is_told_and_replaced_without_a_restart() -> Result<()> {
    let pki = Pki::new()?;
    let tokens = Tokens::new(pki.dir())?;
    let names = [San::dns("localhost"), San::Ip([127, 0, 0, 1].into())];
    let server = LeafRequest::server("frontend").with_sans(names.to_vec());
    pki.issue_frontend("frontend", &server.clone().expired())?;
    let link = LeafRequest::server("event-gateway").usage(Usage::Client);
    pki.issue("event-gateway", &link.clone().expired())?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
    let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
    gateway.process.wait_log("the expired certificate", |log| log.find("frontend.crt: expired at")).await?;
    // Clients that verify it break off: nothing that looks like a refusal.
    let config = client_config(&pki.outsider(), &[])?;
    let shown =
        gatehouse_tests::peer_certificate(gateway.addresses.clients, config.clone(), "localhost").await;
    ensure!(format!("{:?}", shown.err().context("an expired certificate was taken")?).contains("xpired"));
    let metrics = http_get(gateway.admin()?, "/metrics").await?.body;
    let ended = |line: &&str| line.starts_with("gatehouse_certificate_expiry_seconds") && line.contains(" -");
    ensure!(metrics.lines().filter(ended).count() >= 1, "no certificate is told to have ended");
    pki.issue_frontend("frontend", &server)?;
    eventually("a client", || async { gateway.client(&pki, &tokens.good().ok()?).await.ok() }).await?;
    // The link's certificate has ended, too: clients get in, the gateway is not ready; it dials with the new one.
    ensure!(http_get(gateway.admin()?, "/readyz").await?.status == 503);
    pki.issue("event-gateway", &link)?;
    gateway.ready().await?;
    ensure!(!gateway.process.log().contains("login refused"));
    Ok(())
}
