//! How a link logs in at a stock nats-server, and that it keeps to what it is let do there.

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{
    ConfServer, Gateway, GatewayOptions, Kind, Pki, Tokens, eventually, http_get, known, nats_jwt,
    next_payload, settle,
};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// A gateway before a stock server with the configuration `conf`, linked with `login`.
struct Front {
    outer: async_nats::Client,
    gateway: Gateway,
    server: ConfServer,
    _pki: Pki,
}

impl Front {
    async fn start(pki: Pki, conf: &str, login: &str) -> Result<Option<Self>> {
        let conf = format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nleafnodes {{ listen: \"127.0.0.1:-1\" }}\n{conf}"
        );
        let Some(server) = ConfServer::named(Kind::Stock, pki.dir(), "hub", &conf).await? else {
            return Ok(None);
        };
        let tokens = Tokens::new(pki.dir())?;
        let leafnodes = server.addresses.leafnodes.context("no leafnode listener")?;
        let mut options = GatewayOptions::dialling(&pki, leafnodes);
        options.link = format!("urls = [\"nats-leaf://{leafnodes}\"]\n{login}\n");
        let mut gateway = Gateway::start_plain(&pki, &tokens, &options).await?;
        gateway.ready().await?;
        let outer = gateway.client(&pki, &tokens.good()?).await?;
        Ok(Some(Self { outer, gateway, server, _pki: pki }))
    }

    async fn link(&self) -> Result<Value> {
        Ok(http_get(self.gateway.admin()?, "/leafz").await?.json()?["leafs"][0].clone())
    }

    /// A message gets in, in the account `options` log in to.
    async fn gets_through(&self, options: async_nats::ConnectOptions) -> Result<()> {
        let inner = options.connect(self.server.url()).await?;
        let mut heard = inner.subscribe("peer.in").await?;
        inner.flush().await?;
        known(&self.outer, "peer.in", &mut heard).await
    }
}

#[tokio::test]
async fn user_and_password_lead_into_their_account() -> Result<()> {
    let conf = "accounts { A { users: [{ user: link, password: secret }, { user: a, password: a }] } }";
    let login = "user = \"link\"\npassword = \"secret\"";
    let Some(front) = Front::start(Pki::new()?, conf, login).await? else { return Ok(()) };
    front.gets_through(async_nats::ConnectOptions::with_user_and_password("a".into(), "a".into())).await?;
    let log = front.gateway.process.log();
    ensure!(!log.contains("secret"), "the password is in the log");
    Ok(())
}

#[tokio::test]
async fn a_token_is_enough() -> Result<()> {
    let conf = "authorization { token: s3cr3t }";
    let Some(front) = Front::start(Pki::new()?, conf, "token = \"s3cr3t\"").await? else { return Ok(()) };
    front.gets_through(async_nats::ConnectOptions::with_token("s3cr3t".into())).await
}

#[tokio::test]
async fn an_nkey_signs_the_nonce() -> Result<()> {
    let pki = Pki::new()?;
    let key = KeyPair::new_user();
    std::fs::write(pki.path("link.nk"), key.seed()?)?;
    let conf = format!(
        "accounts {{ A {{ users: [{{ nkey: {} }}, {{ user: a, password: a }}] }} }}",
        key.public_key()
    );
    let login = format!("nkey_path = \"{}\"", pki.text("link.nk"));
    let Some(front) = Front::start(pki, &conf, &login).await? else { return Ok(()) };
    front.gets_through(async_nats::ConnectOptions::with_user_and_password("a".into(), "a".into())).await
}

#[tokio::test]
async fn a_credentials_file_leads_into_the_account_of_its_jwt() -> Result<()> {
    let pki = Pki::new()?;
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": true });
    let operator_jwt =
        nats_jwt(&operator, &operator.public_key(), "O", &json!({ "type": "operator", "version": 2 }), None)?;
    let account_jwt = nats_jwt(
        &operator,
        &account.public_key(),
        "A",
        &json!({ "type": "account", "version": 2, "limits": limits }),
        None,
    )?;
    let user_jwt = nats_jwt(
        &account,
        &user.public_key(),
        "link",
        &json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 }),
        None,
    )?;
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()?
    );
    std::fs::write(pki.path("link.creds"), &creds)?;
    let conf = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {}: {account_jwt} }}",
        account.public_key()
    );
    let login = format!("credentials_path = \"{}\"", pki.text("link.creds"));
    let Some(front) = Front::start(pki, &conf, &login).await? else { return Ok(()) };
    // The hub has the link in the account whose user it is.
    let links = front.server.page("/leafz").await?;
    ensure!(links["leafs"][0]["account"] == account.public_key(), "{links}");
    ensure!(!front.gateway.process.log().contains(&user_jwt), "the JWT is in the log");
    Ok(())
}

#[tokio::test]
async fn what_the_hub_does_not_allow_is_neither_asked_for_nor_sent_and_is_shown() -> Result<()> {
    let conf = r#"
        accounts { A { users: [
          { user: link, password: link, permissions: {
              publish: { allow: ["peer.in.>", "_INBOX.>"] }, subscribe: { allow: ["peer.out.>", "_INBOX.>"] } } }
          { user: a, password: a }
        ] } }"#;
    let login = "user = \"link\"\npassword = \"link\"";
    let Some(front) = Front::start(Pki::new()?, conf, login).await? else { return Ok(()) };
    let options = async_nats::ConnectOptions::with_user_and_password("a".into(), "a".into());
    let inner = options.connect(front.server.url()).await?;
    // Interest that the hub would end the link for.
    let mut forbidden = front.outer.subscribe("peer.secret.>").await?;
    let mut allowed = front.outer.subscribe("peer.out.x").await?;
    let mut inside = inner.subscribe("peer.>").await?;
    front.outer.flush().await?;
    inner.flush().await?;
    known(&inner, "peer.out.x", &mut allowed).await?;
    known(&front.outer, "peer.in.x", &mut inside).await?;
    front.outer.publish("peer.not.in", "no".into()).await?;
    front.outer.publish("peer.in.x", "yes".into()).await?;
    settle(&front.outer).await?;
    ensure!(next_payload(&mut inside).await? == "yes", "what may not be sent was sent");
    inner.publish("peer.secret.x", "no".into()).await?;
    inner.publish("peer.out.x", "yes".into()).await?;
    ensure!(next_payload(&mut allowed).await? == "yes");
    ensure!(
        tokio::time::timeout(
            std::time::Duration::from_millis(20),
            futures_util::StreamExt::next(&mut forbidden)
        )
        .await
        .is_err(),
        "what may not be asked for came"
    );
    let link = front.link().await?;
    ensure!(link["permissions"]["publish"]["allow"][0] == "peer.in.>", "{link}");
    let log = front.gateway.process.log();
    ensure!(!log.contains("Permissions Violation") && log.matches("link established").count() == 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_refused_is_tried_again_and_said() -> Result<()> {
    let pki = Pki::new()?;
    let conf = "listen: \"127.0.0.1:-1\"\nleafnodes { listen: \"127.0.0.1:-1\" }\naccounts { A { users: [{ user: link, password: right }] } }";
    let Some(server) = ConfServer::named(Kind::Stock, pki.dir(), "hub", conf).await? else { return Ok(()) };
    let tokens = Tokens::new(pki.dir())?;
    let leafnodes = server.addresses.leafnodes.context("no leafnode listener")?;
    let mut options = GatewayOptions::dialling(&pki, leafnodes);
    options.link = format!("urls = [\"nats-leaf://{leafnodes}\"]\nuser = \"link\"\npassword = \"wrong\"\n");
    let mut gateway = Gateway::start_plain(&pki, &tokens, &options).await?;
    let twice = |log: &str| (log.matches("Authorization Violation").count() >= 2).then_some(());
    gateway.process.wait_log("two refusals", twice).await?;
    let admin = gateway.admin()?;
    let status = eventually("readiness", || async { http_get(admin, "/readyz").await.ok() }).await?.status;
    ensure!(status == 503, "ready without a link: {status}");
    Ok(())
}
