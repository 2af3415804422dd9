//! Keys that are fetched: rotation, and every way in which an issuer can be of no help. Nobody is refused for it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gatehouse_tests::{
    Behaviour, Claims, Client, FakeIssuer, GatewayOptions, HttpsServer, Lobby, Pki, Reply, ResultExt, Tokens,
    answer, client_config, eventually, long_run, run_scenarios,
};
use serde_json::json;
use tokio::task::JoinSet;

/// What a client is told that nobody can decide about in time; stock clients come back after it.
const LATER: &str = "Login Undecided, Try Again Later";
/// What a client is told that is refused.
const REFUSED: &str = "Authorization Violation";

/// A gateway that trusts a fake issuer by discovery.
async fn with_issuer(limits: &str, fetch: &str) -> Result<(Lobby, FakeIssuer)> {
    let pki = Pki::new()?;
    let issuer = FakeIssuer::start(&pki).await?;
    let sections =
        format!("{}\n[limits]\nfailed_logins_free = 100000\n{limits}\n", issuer.section(&pki, fetch));
    let lobby = Lobby::start(pki, |_, options| options.sections = sections).await?;
    Ok((lobby, issuer))
}

fn claims(lobby: &Lobby) -> Claims {
    lobby.tokens.claims()
}

/// Logs in until it is let in, and never refused.
async fn let_in(lobby: &Lobby, token: &str) -> Result<()> {
    let said =
        eventually("a decision", || async { lobby.login(token).await.ok().filter(|said| said != LATER) })
            .await?;
    ensure!(said == "PONG", "{said}");
    Ok(())
}

#[tokio::test]
async fn keys_come_by_discovery_and_follow_rotation() -> Result<()> {
    let (lobby, issuer) = with_issuer("", "").await?;
    let first = issuer.token(&claims(&lobby))?;
    let_in(&lobby, &first).await?;
    // The next key is published beside the old one, then alone.
    issuer.rotate("key-2", true)?;
    let second = issuer.token(&claims(&lobby))?;
    let_in(&lobby, &second).await?;
    let_in(&lobby, &first).await?;
    issuer.rotate("key-3", false)?;
    let_in(&lobby, &issuer.token(&claims(&lobby))?).await?;
    ensure!(lobby.login(&second).await? == REFUSED, "the key is gone");
    // Another issuer's key, under our issuer's name.
    let forged = lobby.tokens.sign(&claims(&lobby).with("iss", issuer.name()))?;
    let said =
        eventually("a decision", || async { lobby.login(&forged).await.ok().filter(|said| said != LATER) })
            .await?;
    ensure!(said == REFUSED, "{said}");
    Ok(())
}

#[tokio::test]
async fn keys_are_fetched_anew_before_they_are_old() -> Result<()> {
    let (lobby, issuer) = with_issuer("", "lifetime = \"400ms\"\n").await?;
    let token = issuer.token(&claims(&lobby))?;
    let_in(&lobby, &token).await?;
    let before = issuer.server.requests();
    eventually("regular fetches", || async { (issuer.server.requests() >= before + 4).then_some(()) })
        .await?;
    // Withdrawn by the issuer, the key is of no use after the next fetch, without anybody asking for another.
    issuer.rotate("key-2", false)?;
    eventually("the withdrawn key out of use", || async {
        lobby.login(&token).await.ok().filter(|said| said == REFUSED)
    })
    .await?;
    Ok(())
}

/// The rows of the failure-mode table that are about issuers: whoever has a known key gets in, whoever has not is told
/// to come back, and gets in once the issuer is well.
#[tokio::test]
async fn an_issuer_of_no_help_refuses_nobody() -> Result<()> {
    let (lobby, issuer) = with_issuer("auth_timeout = \"1s\"\n", "timeout = \"600ms\"\n").await?;
    let known = issuer.token(&claims(&lobby))?;
    let_in(&lobby, &known).await?;
    for (row, behaviour) in [
        ("JWKS slow", Behaviour::Slow(Duration::from_secs(3))),
        ("issuer broken", Behaviour::Broken),
        ("10 MB JWKS", Behaviour::Huge),
        ("duplicate kid", Behaviour::DuplicateKid),
        ("wrong issuer", Behaviour::WrongIssuer),
        ("redirect", Behaviour::Redirecting),
        ("keys in clear", Behaviour::InClear),
    ] {
        issuer.behave(behaviour);
        issuer.rotate(row, true)?;
        let unknown = issuer.token(&claims(&lobby))?;
        let began = Instant::now();
        let said = lobby.login(&unknown).await?;
        ensure!(said == LATER, "{row}: {said}");
        ensure!(began.elapsed() < Duration::from_secs(5), "{row}: {:?}", began.elapsed());
        ensure!(lobby.login(&known).await? == "PONG", "{row}: a known key does not depend on the issuer");
        issuer.behave(Behaviour::Well);
        let_in(&lobby, &unknown).await?;
    }
    issuer.server.set_down(true);
    issuer.rotate("down", true)?;
    let unknown = issuer.token(&claims(&lobby))?;
    ensure!(lobby.login(&unknown).await? == LATER && lobby.login(&known).await? == "PONG", "issuer down");
    issuer.server.set_down(false);
    let_in(&lobby, &unknown).await?;
    let refusals = lobby.refusals(8).await?;
    ensure!(refusals.iter().all(|reason| reason == "issuer_unavailable"), "{refusals:?}");
    let log = lobby.gateway.process.log();
    ensure!(log.contains("issuer keys can't be fetched"), "the log says so");
    ensure!(issuer.server.written() < 40 << 20, "{} bytes were taken", issuer.server.written());
    Ok(())
}

#[tokio::test]
async fn keys_that_are_too_old_are_no_longer_used_and_nobody_is_refused_for_it() -> Result<()> {
    let (lobby, issuer) =
        with_issuer("auth_timeout = \"1s\"\n", "lifetime = \"300ms\"\nmax_stale = \"700ms\"\n").await?;
    let token = issuer.token(&claims(&lobby))?;
    let_in(&lobby, &token).await?;
    issuer.server.set_down(true);
    eventually("the end of stale keys", || async {
        lobby.login(&token).await.ok().filter(|said| said == LATER)
    })
    .await?;
    ensure!(lobby.gateway.process.log().contains("too old and no longer used"), "the log says so");
    issuer.server.set_down(false);
    let_in(&lobby, &token).await
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_waited_for() -> Result<()> {
    let pki = Pki::new()?;
    let issuer = FakeIssuer::start(&pki).await?;
    issuer.server.set_down(true);
    let sections = issuer.section(&pki, "");
    let lobby = Lobby::start(pki, |_, options| options.sections = sections).await?;
    let token = issuer.token(&claims(&lobby))?;
    ensure!(lobby.login(&token).await? == LATER);
    ensure!(lobby.login(&lobby.tokens.good()?).await? == "PONG", "the other issuer is not concerned");
    issuer.server.set_down(false);
    let_in(&lobby, &token).await
}

/// Kubernetes: the API server is the issuer; its keys are behind a login with the pod's own token, which changes.
#[tokio::test]
async fn projected_service_account_tokens() -> Result<()> {
    let pki = Pki::new()?;
    let cluster = Tokens::new(pki.dir())?;
    let keys = cluster.public_jwk()?;
    let own = pki.path("own-token");
    std::fs::write(&own, "first\n")?;
    let server = HttpsServer::start(&pki, false, |_| Reply::Status(503, String::new())).await?;
    let (issuer, url) = (server.url(""), server.url("/openid/v1/jwks"));
    let serve = move |accepted: &'static str| {
        let (issuer, url, keys) = (issuer.clone(), url.clone(), keys.clone());
        move |request: &gatehouse_tests::HttpRequest| {
            if !request.head.contains(&format!("authorization: Bearer {accepted}\r\n")) {
                return Reply::Status(401, String::new());
            }
            match request.line.as_str() {
                "GET /.well-known/openid-configuration" => {
                    Reply::Json(json!({"issuer": issuer, "jwks_uri": url}))
                }
                "GET /openid/v1/jwks" => Reply::Json(json!({ "keys": [keys] })),
                _ => Reply::Status(404, String::new()),
            }
        }
    };
    server.answer(serve("first"));
    let issuer = server.url("");
    let sections = format!(
        "[[issuers]]\nissuer = \"{issuer}\"\naudience = [\"events\"]\nalgorithms = [\"ES256\"]\ndiscovery = true\n\
         [issuers.fetch]\nca_path = \"{}\"\ntoken_file = \"{}\"\nmin_interval = \"50ms\"\nbackoff_min = \"50ms\"\n\
         lifetime = \"500ms\"\nmax_stale = \"0s\"\n[[bindings]]\nrole = \"partner\"\nissuer = \"{issuer}\"\nwhen = {{ \
         \"claims.kubernetes.io.namespace\" = \"shop\" }}\n",
        pki.text("internal-ca.crt"),
        own.display()
    );
    let lobby = Lobby::start(pki, |_, options: &mut GatewayOptions| options.sections = sections).await?;
    let account = |namespace: &str| {
        let claims = cluster.claims().with("iss", issuer.clone()).with("aud", json!(["events"]));
        let claims = claims.with("sub", format!("system:serviceaccount:{namespace}:cart"));
        cluster.sign(
            &claims
                .with("kubernetes.io", json!({"namespace": namespace, "serviceaccount": {"name": "cart"}})),
        )
    };
    let_in(&lobby, &account("shop")?).await?;
    ensure!(lobby.login(&account("other")?).await? == REFUSED, "no binding");
    // The pod's own token is replaced, and the old one no longer good: keys are fetched with the new one.
    std::fs::write(lobby.pki.path("own-token"), "second\n")?;
    server.answer(serve("second"));
    let before = server.requests();
    eventually("fetches with it", || async { (server.requests() >= before + 4).then_some(()) }).await?;
    let_in(&lobby, &account("shop")?).await
}

/// Everybody comes back at once while the issuer is down: all whose tokens are good get in with the keys at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_storm_while_the_issuer_is_down() -> Result<()> {
    let clients = if long_run() { 5_000 } else { 1_000 };
    // Handshakes of debug builds take their time; what is measured here is who gets in.
    let limits = "auth_timeout = \"60s\"\ntls_timeout = \"60s\"\n";
    let (lobby, issuer) = with_issuer(limits, "lifetime = \"2s\"\n").await?;
    let_in(&lobby, &issuer.token(&claims(&lobby))?).await?;
    issuer.server.set_down(true);
    let address = lobby.gateway.addresses.clients;
    let config = client_config(&lobby.pki.outsider(), &[])?;
    let mut storm = JoinSet::new();
    for client in 0..clients {
        // One in ten comes with a token that is over.
        let good = client % 10 != 0;
        let mine = claims(&lobby).with("sub", format!("client-{client}"));
        let token = issuer.token(&if good { mine } else { mine.expires_in(-600) })?;
        let config = config.clone();
        storm.spawn(async move {
            let (mut raw, _) = storm_connection(address, config).await?;
            let said = answer(&mut raw, &json!({ "auth_token": token })).await?;
            let expected = if good { "PONG" } else { "User Authentication Expired" };
            ensure!(said == expected, "client {client}: {said}");
            // Held until the end, so that all are there at once.
            Ok(good.then_some(raw))
        });
    }
    let mut there = Vec::new();
    while let Some(one) = storm.join_next().await {
        there.extend(one??);
    }
    ensure!(there.len() == clients * 9 / 10, "{} got in", there.len());
    for raw in there.iter_mut().step_by(50) {
        raw.fence().await?;
    }
    Ok(())
}

/// Connects as often as it takes: a backlog that is full resets whoever comes too much.
async fn storm_connection(
    address: std::net::SocketAddr,
    config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>,
) -> Result<(gatehouse_tests::Raw, serde_json::Value)> {
    let mut attempts = 0;
    loop {
        match gatehouse_tests::Raw::tls(address, config.clone(), "localhost").await {
            Err(_) if attempts < 5 => attempts += 1,
            outcome => return outcome,
        }
    }
}

/// Stock clients come back by themselves after what they are told while nobody can decide about them.
async fn comes_back(client: Client) -> Result<()> {
    if !client.installed_or_skip() {
        return Ok(());
    }
    let pki = Pki::new()?;
    let issuer = FakeIssuer::start(&pki).await?;
    let sections =
        issuer.section(&pki, "") + "[limits]\nauth_timeout = \"1s\"\nfailed_logins_free = 100000\n";
    // Nothing crosses: what the client publishes comes back to itself.
    let lobby =
        Lobby::start(pki, |_, options| (options.sections, options.routes) = (sections, String::new()))
            .await?;
    let file = lobby.pki.path("fresh.token");
    let refresh = || {
        let next = file.with_extension("next");
        std::fs::write(&next, issuer.token(&claims(&lobby).expires_in(4))?)?;
        anyhow::Ok(std::fs::rename(&next, &file)?)
    };
    refresh()?;
    let mut options = lobby.pki.outsider().peer_options();
    options["url"] = json!(format!("tls://{}", lobby.gateway.addresses.clients));
    options["token_file"] = json!(file);
    options["prefix"] = json!("peer.back");
    // When its first token ends, the client comes with one of a key nobody knows, and the issuer is down.
    let trouble = async {
        eventually("the client in", || async {
            lobby.gateway.process.log().contains("connection established").then_some(())
        })
        .await?;
        issuer.server.set_down(true);
        issuer.rotate("next", false)?;
        refresh()?;
        lobby.refusals(3).await?;
        issuer.server.set_down(false);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            refresh()?;
        }
        #[allow(unreachable_code)]
        anyhow::Ok(())
    };
    tokio::select! {
        outcomes = run_scenarios(client, &options, &["expiry"], |_| {}) => outcomes?.all_pass()?,
        failed = trouble => failed?,
    }
    let told = lobby.refusals_so_far();
    ensure!(told.len() >= 3 && told.iter().all(|reason| reason == "issuer_unavailable"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn python_comes_back() -> Result<()> {
    comes_back(Client::Python).await
}

#[tokio::test]
async fn node_comes_back() -> Result<()> {
    comes_back(Client::Node).await
}

#[tokio::test]
async fn legacy_node_comes_back() -> Result<()> {
    comes_back(Client::NodeLegacy).await
}

#[tokio::test]
async fn go_comes_back() -> Result<()> {
    comes_back(Client::Go).await
}
