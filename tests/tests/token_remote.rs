//! Tokens that are no JWTs: opaque ones, introspection, a webhook; and tokens bound to a certificate.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_tests::{
    HttpRequest, HttpsServer, Lobby, Pki, Reply, answer, eventually, first_certificate, run_binary, within,
};
use serde_json::{Value, json};

const LATER: &str = "Login Undecided, Try Again Later";
const REFUSED: &str = "Authorization Violation";

/// A role for everybody from one of these.
fn binding(issuer: &str) -> String {
    format!("[[bindings]]\nrole = \"partner\"\nissuer = \"{issuer}\"\n")
}

#[tokio::test]
async fn opaque_tokens_are_made_used_and_revoked() -> Result<()> {
    let pki = Pki::new()?;
    let file = pki.text("tokens.json");
    let role = "[[roles]]\nname = \"sensor\"\npublish = { allow = [\"telemetry.{{claims.site}}.>\"] }\n";
    let audit = pki.text("audit.jsonl");
    let sections = format!("[opaque_tokens]\nfile = \"{file}\"\n[audit]\nfile = \"{audit}\"\n{role}");
    let lobby = Lobby::start(pki, |_, options| options.sections = sections).await?;
    let config = lobby.pki.text("gateway.toml");
    let token_cmd = |args: &[&str]| {
        let args: Vec<String> = ["token"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let dir = lobby.pki.dir();
        async move { run_binary("event-gateway", dir, &args).await }
    };
    let made = token_cmd(&[
        "create",
        "--config",
        &config,
        "--owner",
        "sensor-7",
        "--role",
        "sensor",
        "--claim",
        "site=north",
    ])
    .await?;
    let token = made.output()?.trim().to_owned();
    ensure!(token.starts_with("gh_") && !token.contains(char::is_whitespace), "{token}");
    // The gateway follows the file.
    eventually("the token in use", || async { lobby.login(&token).await.ok().filter(|said| said == "PONG") })
        .await?;
    let mut live = lobby.connect(&lobby.pki.outsider()).await?;
    ensure!(answer(&mut live, &json!({ "auth_token": token })).await? == "PONG");
    live.send("PUB telemetry.north.1 1\r\nx\r\nPUB telemetry.south.1 1\r\nx\r\nPING\r\n").await?;
    ensure!(live.line().await?.contains("Permissions Violation for Publish to \"telemetry.south.1\""));
    live.expect("PONG").await?;
    let listed = token_cmd(&["list", "--json", "--file", &file]).await?.output()?;
    let listed: Value = serde_json::from_str(&listed)?;
    ensure!(listed["owner"] == "sensor-7" && listed["state"] == "active", "{listed}");
    let id = listed["id"].as_str().context("an id")?;
    // Another secret under the same id, and what is no token at all.
    let guess = format!("{}A", &token[..token.len() - 1]);
    ensure!(guess == token || lobby.login(&guess).await? == REFUSED);
    ensure!(lobby.login("gh_").await? == REFUSED);
    // Revoked, it ends its live connections within a second.
    let revoked = Instant::now();
    token_cmd(&["revoke", id, "--file", &file]).await?.output()?;
    let said = within("the end of the session", live.closed()).await??;
    ensure!(said.contains("-ERR "), "{said}");
    ensure!(revoked.elapsed() < Duration::from_secs(3), "{:?}", revoked.elapsed());
    ensure!(lobby.login(&token).await? == REFUSED);
    eventually("the refusal in the log", || async {
        lobby.refusals_so_far().last().filter(|reason| *reason == "revoked").map(drop)
    })
    .await?;
    let known =
        lobby.refusals_so_far().iter().all(|reason| reason == "opaque_unknown" || reason == "revoked");
    ensure!(known, "{:?}", lobby.refusals_so_far());
    // What became of the token is written down, whoever changed the file.
    let written = eventually("the end of the story", || async {
        let text = std::fs::read_to_string(&audit).ok()?;
        text.contains("\"token_revoked\"").then_some(text)
    })
    .await?;
    for kind in ["token_created", "login", "session_closed", "token_revoked"] {
        let line = written.lines().find(|line| line.contains(&format!("\"{kind}\"")));
        ensure!(line.is_some_and(|line| line.contains("sensor-7")), "{kind}: {written}");
    }
    ensure!(!written.contains(&token[16..]), "the token is in the audit log");
    ensure!(!lobby.gateway.process.log().contains(&token[16..]), "the token is in the log");
    ensure!(token_cmd(&["revoke", "nobody", "--file", &file]).await?.code == Some(1));
    Ok(())
}

/// An authorization server that knows `good-N`, for a client with HTTP Basic.
fn introspect(request: &HttpRequest) -> Reply {
    let basic = format!(
        "authorization: Basic {}\r\n",
        base64::engine::general_purpose::STANDARD.encode("gate:s%26cret")
    );
    if request.line != "POST /introspect" || !request.head.contains(&basic) {
        return Reply::Status(401, String::new());
    }
    let good =
        request.body.starts_with("token=good-") && request.body.contains("&token_type_hint=access_token");
    Reply::Json(match good {
        true => json!({"active": true, "sub": "alice", "tenant": "acme", "aud": "events"}),
        false => json!({"active": false}),
    })
}

#[tokio::test]
async fn introspection_says_who_is_good_and_its_troubles_refuse_nobody() -> Result<()> {
    let pki = Pki::new()?;
    let server = HttpsServer::start(&pki, false, introspect).await?;
    std::fs::write(pki.path("secret"), "s&cret\n")?;
    let sections = format!(
        "{}[introspection]\nendpoint = \"{}\"\nissuer = \"https://as.example\"\naudience = [\"events\"]\nclient_id = \
         \"gate\"\nclient_secret_file = \"{}\"\n[introspection.call]\nca_path = \"{}\"\nopen_min = \"50ms\"\nopen_max = \
         \"100ms\"\nnegative_ttl = \"0s\"\n[limits]\nauth_timeout = \"1s\"\n",
        binding("https://as.example"),
        server.url("/introspect"),
        pki.text("secret"),
        pki.text("internal-ca.crt"),
    );
    let lobby = Lobby::start(pki, |_, options| options.sections = sections).await?;
    ensure!(lobby.login("good-1").await? == "PONG");
    ensure!(lobby.login("bad-1").await? == REFUSED);
    let asked = server.requests();
    ensure!(lobby.login("good-1").await? == "PONG" && server.requests() == asked, "kept");
    // A JWT of a configured issuer is nobody else's business.
    ensure!(lobby.login(&lobby.tokens.good()?).await? == "PONG" && server.requests() == asked);
    ensure!(lobby.login(&lobby.tokens.forged()?).await? == REFUSED && server.requests() == asked);
    // Slower than clients wait: told to come back, and the answer is there by then.
    server.answer(|request| Reply::After(Duration::from_millis(1500), Box::new(introspect(request))));
    ensure!(lobby.login("good-slow").await? == LATER);
    let_in(&lobby, "good-slow").await?;
    // Down, broken, our own credentials refused, nonsense: known tokens get in, nobody is refused.
    for (row, reply) in [
        ("introspection broken", Reply::Status(500, String::new())),
        ("our credentials refused", Reply::Status(401, String::new())),
        ("nonsense", Reply::Json(json!({"hello": "world"}))),
        ("endless", Reply::Flood(1 << 20)),
        ("redirect", Reply::Status(302, "location: https://evil.example/\r\n".into())),
    ] {
        server.answer(move |_| reply.clone());
        let unknown = format!("good-{}", row.replace(' ', "-"));
        ensure!(lobby.login(&unknown).await? == LATER, "{row}");
        ensure!(lobby.login("good-1").await? == "PONG", "{row}");
        server.answer(introspect);
        let_in(&lobby, &unknown).await?;
    }
    server.set_down(true);
    for n in 0..10 {
        ensure!(lobby.login(&format!("good-down-{n}")).await? == LATER, "introspection down");
    }
    server.set_down(false);
    let_in(&lobby, "good-down-0").await?;
    let reasons = lobby.refusals(4).await?;
    let known = ["inactive", "signature", "introspection_slow", "introspection_unavailable"];
    ensure!(reasons.iter().all(|reason| known.contains(&reason.as_str())), "{reasons:?}");
    Ok(())
}

/// Logs in until there is a decision.
async fn let_in(lobby: &Lobby, token: &str) -> Result<()> {
    let said =
        eventually("a decision", || async { lobby.login(token).await.ok().filter(|said| said != LATER) })
            .await?;
    ensure!(said == "PONG", "{said}");
    Ok(())
}

/// A service that knows `good-…` and lets in who is not called mallory.
fn webhook(request: &HttpRequest) -> Reply {
    let Ok(asked) = serde_json::from_str::<Value>(&request.body) else {
        return Reply::Status(400, String::new());
    };
    match request.line.as_str() {
        "POST /authn" => {
            let subject = asked["token"].as_str().and_then(|token| token.strip_prefix("good-"));
            Reply::Json(match subject {
                Some(subject) => json!({"active": true, "subject": subject, "claims": {"tenant": "acme"}}),
                None => json!({"active": false}),
            })
        }
        "POST /authz" => {
            let asks_right = asked["action"] == "ingest:unifiedEvents:create"
                && asked["resource"] == "ingest:unifiedEvents";
            let allowed = asks_right && asked["subject"] != "mallory";
            Reply::Json(json!({"allowed": allowed, "roles": ["partner"]}))
        }
        _ => Reply::Status(404, String::new()),
    }
}

#[tokio::test]
async fn a_webhook_judges_tokens_and_rights_over_mutual_tls() -> Result<()> {
    let pki = Pki::new()?;
    let server = HttpsServer::start(&pki, true, webhook).await?;
    let [ca, cert, key] =
        ["internal-ca.crt", "event-gateway.crt", "event-gateway.key"].map(|file| pki.text(file));
    let sections = format!(
        "[auth]\nauthn_endpoint = \"{}\"\nauthz_endpoint = \"{}\"\n[auth.call]\nca_path = \"{ca}\"\ncert_path = \
         \"{cert}\"\nkey_path = \"{key}\"\nopen_min = \"50ms\"\nopen_max = \"100ms\"\nnegative_ttl = \"0s\"\n[limits]\n\
         auth_timeout = \"1s\"\n",
        server.url("/authn"),
        server.url("/authz"),
    );
    let lobby = Lobby::start(pki, |_, options| options.sections = sections).await?;
    // The role comes from the webhook: no binding speaks about its tokens.
    ensure!(lobby.login("good-alice").await? == "PONG");
    ensure!(lobby.login("bad").await? == REFUSED);
    ensure!(lobby.login("good-mallory").await? == REFUSED);
    // Also whose token is verified here is asked about.
    ensure!(lobby.login(&lobby.tokens.good()?).await? == "PONG");
    ensure!(
        lobby.login(&lobby.tokens.sign(&lobby.tokens.claims().with("sub", "mallory"))?).await? == REFUSED
    );
    let refused = ["inactive", "not_authorized", "not_authorized"];
    let reasons = lobby.refusals(refused.len()).await?;
    ensure!(reasons == refused, "{reasons:?}");
    server.answer(|request| Reply::After(Duration::from_millis(1500), Box::new(webhook(request))));
    ensure!(lobby.login("good-bob").await? == LATER, "webhook slow");
    let_in(&lobby, "good-bob").await?;
    ensure!(lobby.login("good-alice").await? == "PONG", "kept");
    server.answer(|_| Reply::Status(503, String::new()));
    ensure!(lobby.login("good-carol").await? == LATER, "webhook broken");
    server.answer(webhook);
    let_in(&lobby, "good-carol").await?;
    server.set_down(true);
    ensure!(lobby.login("good-dave").await? == LATER, "webhook down");
    server.set_down(false);
    let_in(&lobby, "good-dave").await?;
    let later = lobby.refusals(refused.len() + 3).await?.split_off(refused.len());
    ensure!(later.iter().all(|reason| reason.starts_with("webhook_")), "{later:?}");
    Ok(())
}

#[tokio::test]
async fn a_bound_token_works_over_its_own_certificate_alone() -> Result<()> {
    let lobby = Lobby::start(Pki::new()?, |pki, options| {
        let ca = pki.text("internal-ca.crt");
        options.sections = format!("[client_certificates]\nmode = \"optional\"\nca_path = \"{ca}\"\n");
    })
    .await?;
    let thumbprint = {
        use aws_lc_rs::digest::{SHA256, digest};
        let certificate = first_certificate(&lobby.pki.path("orders.crt"))?;
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate))
    };
    let claims = lobby.tokens.claims();
    let bound = lobby.tokens.sign(&claims.clone().with("cnf", json!({"x5t#S256": thumbprint})))?;
    let outsider = lobby.pki.outsider();
    let with = |name: &str| outsider.clone().with_pair(lobby.pki.dir(), name);
    let login = json!({ "auth_token": bound });
    ensure!(lobby.login_as(&with("orders"), &login).await? == "PONG");
    ensure!(lobby.login_as(&with("billing"), &login).await? == REFUSED, "another certificate");
    ensure!(lobby.login_as(&outsider, &login).await? == REFUSED, "no certificate");
    let reasons = lobby.refusals(2).await?;
    ensure!(reasons == ["binding", "binding"], "{reasons:?}");
    // One that is bound to nothing works with any certificate, and with none.
    let free = json!({ "auth_token": lobby.tokens.sign(&claims)? });
    ensure!(lobby.login_as(&with("billing"), &free).await? == "PONG");
    ensure!(lobby.login_as(&outsider, &free).await? == "PONG");
    Ok(())
}
