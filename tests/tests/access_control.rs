//! Rights of live connections: revoked, withdrawn, swapped; by the admin API, a file, a list, a logout, a policy.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use certs_dev::{Authority, LeafRequest};
use gatehouse_tests::{AuditLog, Gateway, Lobby, Pki, Raw, Tokens, http_api, http_form, http_get};
use serde_json::{Value, json};

const ADMIN: &str = "an-admin-token-of-more-than-32-characters";

/// What a revocation may take until the connection is cut.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Everybody may publish `x`, and what the line `more` says.
fn rights(more: &str) -> String {
    let issuer = Tokens::ISSUER;
    format!(
        "[[roles]]\nname = \"partner\"\npublish = {{ allow = [\"x\"{more}] }}\nsubscribe = {{ allow = [\"x\"{more}] }}\n\
         [[bindings]]\nrole = \"partner\"\nissuer = \"{issuer}\"\n\
         [[roles]]\nname = \"device\"\npublish = {{ allow = [\"x\"] }}\n\
         [[bindings]]\nrole = \"device\"\nwhen = {{ \"certificate.dns\" = \"billing.internal\" }}\n"
    )
}

struct World {
    lobby: Lobby,
    partners: Authority,
    log: AuditLog,
}

async fn world() -> Result<World> {
    let pki = Pki::new()?;
    let partners = Authority::new("Partners CA")?;
    fs::write(pki.path("partners.crt"), partners.cert_pem())?;
    let now = SystemTime::now();
    let hour = Duration::from_secs(3_600);
    fs::write(pki.path("partners.crl"), partners.crl(&[], now - hour, now + hour)?)?;
    partners.issue(&LeafRequest::client("billing"))?.write(pki.dir(), "billing")?;
    fs::write(pki.path("admin.tokens"), format!("ops:{ADMIN}\n"))?;
    let lobby = Lobby::start(pki, |pki, options| {
        options.rights = rights(", \"y.>\"");
        options.admin = format!("token_file = \"{}\"", pki.text("admin.tokens"));
        let [ca, crl, audit] = ["partners.crt", "partners.crl", "audit.jsonl"].map(|file| pki.text(file));
        options.sections = format!(
            "[client_certificates]\nmode = \"optional\"\nca_path = \"{ca}\"\ncrl_path = \"{crl}\"\n\
             [revocation]\nfile = \"revoked.toml\"\n[audit]\nfile = \"{audit}\"\n\
             [logout]\nhost = \"127.0.0.1\"\nport = 0\n"
        );
    });
    let lobby = lobby.await?;
    let log = AuditLog::at(&lobby.pki.path("audit.jsonl"));
    Ok(World { lobby, partners, log })
}

impl World {
    async fn api(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = http_api(self.lobby.gateway.admin()?, method, path, ADMIN, body).await?;
        Ok((answer.status, answer.json()?))
    }

    /// A client with a token of these claims, logged in.
    async fn client(&self, claims: &Value) -> Result<Raw> {
        let mut all = self.lobby.tokens.claims();
        for (name, value) in claims.as_object().context("claims")? {
            all = all.with(name, value.clone());
        }
        let mut raw = self.lobby.connect(&self.lobby.pki.outsider()).await?;
        raw.login(&json!({ "verbose": false, "auth_token": self.lobby.tokens.sign(&all)? }).to_string())
            .await?;
        Ok(raw)
    }

    /// Whether a login with these claims works.
    async fn lets_in(&self, claims: &Value) -> bool {
        self.client(claims).await.is_ok()
    }

    /// Rewrites the configuration.
    fn rewrite(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let file = self.lobby.pki.path("gateway.toml");
        Ok(fs::write(&file, change(fs::read_to_string(&file)?))?)
    }
}

#[tokio::test]
async fn a_revocation_cuts_live_connections_at_once_and_outlives_a_restart() -> Result<()> {
    let world = world().await?;
    for (number, (claims, revocation)) in [
        (json!({"jti": "t-1"}), json!({"jti": "t-1"})),
        (json!({"sub": "mallory"}), json!({"sub": "mallory", "issuer": Tokens::ISSUER, "reason": "left"})),
        (json!({"sid": "s-1"}), json!({"sid": "s-1", "expires_in": 3_600})),
        (json!({"azp": "app-1"}), json!({"client_id": "app-1"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut cut = world.client(&claims).await?;
        let mut other = world.client(&json!({"sub": format!("other-{number}")})).await?;
        let begun = Instant::now();
        let (status, answer) = world.api("POST", "/api/v1/revocations", &revocation).await?;
        ensure!(status == 200 && answer["durable"] == true, "{answer}");
        let words = cut.closed().await?;
        let took = begun.elapsed();
        ensure!(took < AT_ONCE, "{revocation}: {took:?}");
        ensure!(!words.contains("Authorization Violation") || words.contains("Revoked"), "{words}");
        other.fence().await?;
        ensure!(!world.lets_in(&claims).await, "{revocation}: came back");
    }
    let (_, listed) = world.api("GET", "/api/v1/revocations", &Value::Null).await?;
    ensure!(listed["total"] == 4, "{listed}");
    world.log.next("revoked", 3).await?;
    world.log.next("session_closed", 3).await?;
    let entries = listed["revocations"].as_array().context("a list")?;
    let token = entries.iter().find(|entry| entry["target"]["jti"] == "t-1").context("the token's")?;
    let id = token["id"].as_str().context("an id")?.to_owned();
    let (status, _) = world.api("DELETE", &format!("/api/v1/revocations/{id}"), &Value::Null).await?;
    ensure!(status == 200 && world.lets_in(&json!({"jti": "t-1"})).await, "lifted");
    let kept = fs::read_to_string(world.lobby.pki.path("data/revocations"))?;
    ensure!(kept.lines().count() == 5, "four entries and one lifting: {kept}");
    let metrics = http_get(world.lobby.gateway.admin()?, "/metrics").await?.body;
    ensure!(metrics.contains("gatehouse_revocations 4"), "lifted entries are remembered");
    Ok(())
}

#[tokio::test]
async fn neither_a_restart_nor_a_crash_forgets_a_revocation() -> Result<()> {
    let mut world = world().await?;
    for (number, crash) in [(0, false), (1, true)] {
        let [gone, back] = ["gone", "back"].map(|name| json!({ "sub": format!("{name}-{number}") }));
        let revoke = |claims: &Value| json!({ "sub": claims["sub"], "issuer": Tokens::ISSUER });
        let (status, answer) = world.api("POST", "/api/v1/revocations", &revoke(&gone)).await?;
        ensure!(status == 200 && answer["durable"] == true, "{answer}");
        let (_, lifted) = world.api("POST", "/api/v1/revocations", &revoke(&back)).await?;
        let id = lifted["id"].as_str().context("an id")?.to_owned();
        world.api("DELETE", &format!("/api/v1/revocations/{id}"), &Value::Null).await?;
        match crash {
            true => world.lobby.gateway.process.kill().await?,
            false => ensure!(world.lobby.gateway.process.stop().await?.success()),
        }
        let toml = fs::read_to_string(world.lobby.pki.path("gateway.toml"))?;
        world.lobby.gateway = Gateway::from_toml(&world.lobby.pki, &toml).await?;
        ensure!(!world.lets_in(&gone).await, "crash: {crash}: came back");
        ensure!(world.lets_in(&back).await, "crash: {crash}: what was lifted is in force again");
        let (_, listed) = world.api("GET", "/api/v1/revocations", &Value::Null).await?;
        ensure!(listed["total"] == number + 1, "{listed}");
    }
    Ok(())
}

#[tokio::test]
async fn operators_revoke_in_a_file_and_issuers_by_logout() -> Result<()> {
    let world = world().await?;
    let mut by_file = world.client(&json!({"sub": "alice"})).await?;
    fs::write(world.lobby.pki.path("revoked.toml"), "[[revoke]]\nsub = \"alice\"\n")?;
    let begun = Instant::now();
    by_file.closed().await?;
    ensure!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    fs::write(world.lobby.pki.path("revoked.toml"), "")?;
    ensure!(world.log.next("revocation_lifted", 0).await?["by"] == "file");
    ensure!(world.lets_in(&json!({"sub": "alice"})).await);

    let mut session = world.client(&json!({"sub": "bob", "sid": "s-9"})).await?;
    let mut other = world.client(&json!({"sub": "bob", "sid": "s-8"})).await?;
    let token = world
        .lobby
        .tokens
        .claims()
        .without("sub")
        .with("sid", "s-9")
        .with("jti", "logout-1")
        .with("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    let header = json!({"alg": "ES256", "typ": "logout+jwt", "kid": Tokens::KID}).to_string();
    let token = world.lobby.tokens.sign_text(&header, &token.json().to_string())?;
    let ports: Value = serde_json::from_str(&fs::read_to_string(world.lobby.pki.path("gateway.ports"))?)?;
    let url = ports["logout"][0].as_str().context("a logout port")?;
    let address = url.trim_start_matches("http://").split('/').next().context("an address")?.parse()?;
    let form = format!("logout_token={token}");
    let done = http_form(address, "/backchannel-logout", &form).await?;
    ensure!(done.status == 200, "{}", done.body);
    session.closed().await?;
    other.fence().await?;
    let again = http_form(address, "/backchannel-logout", &form).await?;
    ensure!(again.status == 400 && again.json()?["error"] == "invalid_request", "replayed: {}", again.body);
    let access = world.lobby.tokens.good()?;
    ensure!(
        http_form(address, "/backchannel-logout", &format!("logout_token={access}")).await?.status == 400
    );
    ensure!(http_get(address, "/metrics").await?.status == 404, "nothing else at that port");
    world.log.next("logout", 0).await?;
    Ok(())
}

#[tokio::test]
async fn certificates_are_judged_again_when_a_list_changes() -> Result<()> {
    let world = world().await?;
    let tls = world.lobby.pki.outsider().with_pair(world.lobby.pki.dir(), "billing");
    let mut live = world.lobby.connect(&tls).await?;
    live.login("{\"verbose\":false}").await?;
    let (_, sessions) = world.api("GET", "/api/v1/sessions?role=device", &Value::Null).await?;
    let serial = sessions["sessions"][0]["certificate"]["serial"].as_str().context("a serial")?.to_owned();
    let bytes: Vec<u8> = (0..serial.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&serial[at..at + 2], 16))
        .collect::<Result<_, _>>()?;
    let now = SystemTime::now();
    let hour = Duration::from_secs(3_600);
    fs::write(world.lobby.pki.path("partners.crl"), world.partners.crl(&[bytes], now, now + hour)?)?;
    live.closed().await?;
    ensure!(world.log.next("certificates_changed", 0).await?["tls"] == "clients");
    let closed = world.log.next("session_closed", 0).await?;
    ensure!(
        closed["reason"] == "certificate" && closed["detail"].to_string().contains("Revoked"),
        "{closed}"
    );
    Ok(())
}

#[tokio::test]
async fn a_policy_changes_as_a_whole_or_not_at_all() -> Result<()> {
    let world = world().await?;
    let mut live = world.client(&json!({"sub": "alice"})).await?;
    live.send("SUB y.a 1\r\nSUB x 2\r\n").await?;
    live.fence().await?;

    world.rewrite(|text| {
        text.replace(&rights(", \"y.>\""), "[[roles]]\nname = \"partner\"\npublish = { alow = [] }\n")
    })?;
    let (status, refused) = world.api("POST", "/api/v1/reload", &Value::Null).await?;
    ensure!(status == 422, "{refused}");
    ensure!(refused["problems"].to_string().contains("alow"), "{refused}");
    live.send("PUB y.a 1\r\na\r\n").await?;
    live.expect_start("MSG y.a 1 1").await?;
    live.expect("a").await?;
    ensure!(world.log.next("policy_refused", 0).await?["by"] == "token:ops");

    world.rewrite(|text| {
        text.replace("[[roles]]\nname = \"partner\"\npublish = { alow = [] }\n", &rights(""))
    })?;
    let (status, applied) = world.api("POST", "/api/v1/reload", &Value::Null).await?;
    ensure!(status == 200 && applied["subscriptions_ended"] == 1, "{applied}");
    let lost = live.expect_start("-ERR 'Permissions Violation for Subscription to \"y.a\"").await?;
    live.send("PUB y.a 1\r\na\r\n").await?;
    live.expect_start("-ERR 'Permissions Violation for Publish to \"y.a\"").await.context(lost)?;
    live.send("PUB x 1\r\nb\r\n").await?;
    live.expect_start("MSG x 2 1").await?;
    live.expect("b").await?;
    ensure!(world.log.next("policy_changed", 0).await?["by"] == "token:ops");
    world.log.next("rights_changed", 0).await?;

    // The file alone is enough, without anybody asking.
    world.rewrite(|text| text.replace(Tokens::ISSUER, "https://somebody.else"))?;
    live.closed().await?;
    ensure!(!world.lets_in(&json!({"sub": "alice"})).await, "the issuer is no longer accepted");
    let metrics = http_get(world.lobby.gateway.admin()?, "/metrics").await?.body;
    ensure!(metrics.contains("gatehouse_config_stale 0"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed_kicked_and_explained() -> Result<()> {
    let world = world().await?;
    let mut alice = world.client(&json!({"sub": "alice", "jti": "t-7"})).await?;
    let mut bob = world.client(&json!({"sub": "bob"})).await?;
    let (_, all) = world.api("GET", "/api/v1/sessions", &Value::Null).await?;
    ensure!(all["total"] == 2, "{all}");
    let (_, one) = world.api("GET", "/api/v1/sessions?identity=alice", &Value::Null).await?;
    ensure!(one["total"] == 1 && one["sessions"][0]["token"]["jti"] == "t-7", "{one}");
    let (status, _) = world.api("DELETE", "/api/v1/sessions", &Value::Null).await?;
    ensure!(status == 400, "nobody means everybody");
    let (_, kicked) = world.api("DELETE", "/api/v1/sessions?identity=alice", &Value::Null).await?;
    ensure!(kicked["kicked"] == 1);
    alice.closed().await?;
    bob.fence().await?;
    let question = json!({"claims": {"iss": Tokens::ISSUER, "sub": "carol"}, "can": ["publish", "y.z"]});
    let (_, explained) = world.api("POST", "/api/v1/explain", &question).await?;
    ensure!(
        explained["can"]["answer"] == true && explained["bindings"][1]["matches"] == false,
        "{explained}"
    );
    let (_, certificates) = world.api("GET", "/api/v1/certificates", &Value::Null).await?;
    ensure!(certificates["certificates"][0]["seconds_left"].as_i64().is_some_and(|left| left > 0));
    let admin = world.lobby.gateway.admin()?;
    ensure!(http_api(admin, "POST", "/api/v1/reload", "wrong", &Value::Null).await?.status == 401);
    ensure!(world.log.next("admin_denied", 0).await?["request"] == "POST /api/v1/reload");
    world.log.next("admin", 1).await?;
    Ok(())
}
