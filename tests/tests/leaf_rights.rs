//! Our bus as hub of leafnodes: leaves are told what they may do, keep to it, and are held to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use gatehouse_tests::{
    ConfServer, Gateway, GatewayOptions, Kind, Pki, Raw, Tokens, eventually, http_get, known, next_payload,
    settle,
};

/// A hub whose user `link` may do little, and `a`, everything, in the same account.
const HUB: &str = r#"
    listen: "127.0.0.1:-1"
    http: "127.0.0.1:-1"
    leafnodes { listen: "127.0.0.1:-1" }
    accounts { A { users: [
      { user: link, password: link, permissions: {
          publish: { allow: ["peer.in.>", "_INBOX.>"], deny: "peer.in.not" }
          subscribe: { allow: ["peer.out.>", "_INBOX.>"] }
          allow_responses: true } }
      { user: a, password: a }
    ] } }"#;

async fn inner(hub: &ConfServer) -> Result<Client> {
    Ok(ConnectOptions::with_user_and_password("a".into(), "a".into()).connect(hub.url()).await?)
}

/// What may cross does, and what may not does neither cross nor end the link.
async fn keeps_to_it(outer: &Client, inner: &Client) -> Result<()> {
    let mut forbidden = outer.subscribe("peer.secret.>").await?;
    let mut allowed = outer.subscribe("peer.out.x").await?;
    let mut inside = inner.subscribe("peer.>").await?;
    outer.flush().await?;
    inner.flush().await?;
    known(inner, "peer.out.x", &mut allowed).await?;
    known(outer, "peer.in.x", &mut inside).await?;
    outer.publish("peer.elsewhere", "no".into()).await?;
    outer.publish("peer.in.not", "no".into()).await?;
    outer.publish("peer.in.x", "yes".into()).await?;
    settle(outer).await?;
    loop {
        // What comes from this side, too.
        let message = tokio::time::timeout(Duration::from_secs(10), inside.next()).await?.context("ended")?;
        ensure!(message.subject.starts_with("peer.in.x") || message.subject.starts_with("peer.out."));
        if message.payload == "yes" {
            break;
        }
    }
    inner.publish("peer.secret.x", "no".into()).await?;
    inner.publish("peer.out.x", "yes".into()).await?;
    ensure!(next_payload(&mut allowed).await? == "yes");
    let quiet = tokio::time::timeout(Duration::from_millis(50), forbidden.next()).await;
    ensure!(quiet.is_err(), "what may not be asked for came");
    // Requests in, with an answer; and requests out, answered by right.
    let mut serving = inner.subscribe("peer.in.ask").await?;
    let answering = inner.clone();
    tokio::spawn(async move {
        while let Some(request) = serving.next().await {
            if let Some(reply) = request.reply {
                drop(answering.publish(reply, "in".into()).await);
            }
        }
    });
    let answer =
        eventually("an answer", || async { outer.request("peer.in.ask", "".into()).await.ok() }).await?;
    ensure!(answer.payload == "in");
    Ok(())
}

#[tokio::test]
async fn a_stock_leaf_is_told_its_lists_and_keeps_to_them() -> Result<()> {
    for kind in [Kind::Stock, Kind::Ours, Kind::Older("2.12")] {
        let pki = Pki::new()?;
        let Some(hub) = ConfServer::named(Kind::Ours, pki.dir(), "hub", HUB).await? else { return Ok(()) };
        let leafnodes = hub.addresses.leafnodes.context("no leafnode listener")?;
        let conf = format!(
            "listen: \"127.0.0.1:-1\"\nserver_name: leaf\nleafnodes {{ reconnect: \"100ms\", remotes: [ {{ url: \"nats-leaf://link:link@{leafnodes}\" }} ] }}"
        );
        let Some(leaf) = ConfServer::named(kind, pki.dir(), "leaf", &conf).await? else { continue };
        let outer = async_nats::connect(leaf.url()).await?;
        let inner = inner(&hub).await?;
        keeps_to_it(&outer, &inner).await.with_context(|| format!("{kind:?} as leaf"))?;
        // A request to the leaf's side: its answer is a right of its own there.
        let mut serving = outer.subscribe("peer.out.ask").await?;
        tokio::spawn(async move {
            while let Some(request) = serving.next().await {
                if let Some(reply) = request.reply {
                    drop(outer.publish(reply, "out".into()).await);
                }
            }
        });
        let ask = || async { inner.request("peer.out.ask", "".into()).await.ok() };
        ensure!(eventually("an answer", ask).await?.payload == "out");
        let log = hub.process.log();
        ensure!(
            !log.contains("it may not") && log.matches("link established").count() == 1,
            "{kind:?}: {log}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn our_gateway_is_told_its_lists_and_keeps_to_them() -> Result<()> {
    let pki = Pki::new()?;
    let Some(hub) = ConfServer::named(Kind::Ours, pki.dir(), "hub", HUB).await? else { return Ok(()) };
    let leafnodes = hub.addresses.leafnodes.context("no leafnode listener")?;
    let tokens = Tokens::new(pki.dir())?;
    let mut options = GatewayOptions::dialling(&pki, leafnodes);
    options.link = format!("urls = [\"nats-leaf://{leafnodes}\"]\nuser = \"link\"\npassword = \"link\"\n");
    let mut gateway = Gateway::start_plain(&pki, &tokens, &options).await?;
    gateway.ready().await?;
    let outer = gateway.client(&pki, &tokens.good()?).await?;
    keeps_to_it(&outer, &inner(&hub).await?).await?;
    let links = http_get(gateway.admin()?, "/leafz").await?.json()?;
    let told = &links["leafs"][0]["permissions"];
    ensure!(
        told["publish"]["allow"][0] == "peer.in.>" && told["publish"]["deny"][0] == "peer.in.not",
        "{told}"
    );
    ensure!(told["subscribe"]["allow"][0] == "peer.out.>", "{told}");
    let log = hub.process.log();
    ensure!(!log.contains("it may not") && log.matches("link established").count() == 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_leaf_that_does_not_keep_to_its_lists_is_told_so_and_ended() -> Result<()> {
    let pki = Pki::new()?;
    let Some(hub) = ConfServer::named(Kind::Ours, pki.dir(), "hub", HUB).await? else { return Ok(()) };
    let leafnodes = hub.addresses.leafnodes.context("no leafnode listener")?;
    let inner = inner(&hub).await?;
    let mut inside = inner.subscribe(">").await?;
    inner.flush().await?;
    let rogues = [
        ("LMSG peer.secret 2\r\nno\r\n", "-ERR 'Permissions Violation for Publish to \"peer.secret\"'"),
        ("LMSG peer.in.not 2\r\nno\r\n", "-ERR 'Permissions Violation for Publish to \"peer.in.not\"'"),
        ("LS+ peer.secret\r\n", "-ERR 'Permissions Violation for Subscription to \"peer.secret\"'"),
    ];
    for (line, text) in rogues {
        let mut leaf = Raw::connect(leafnodes).await?;
        leaf.info().await?;
        leaf.send("CONNECT {\"user\":\"link\",\"pass\":\"link\",\"name\":\"rogue\",\"server_id\":\"R\",\"headers\":true}\r\nPING\r\n")
            .await?;
        let told = leaf.info().await?;
        ensure!(
            told["import"]["allow"][0] == "peer.out.>" && told["export"]["allow"][0] == "peer.in.>",
            "{told}"
        );
        leaf.send(line).await?;
        let mut heard = leaf.line().await?;
        while !heard.starts_with("-ERR") {
            ensure!(!heard.contains("secret"), "{heard}");
            heard = leaf.line().await?;
        }
        ensure!(heard == text, "{heard}");
    }
    inner.publish("end", "".into()).await?;
    let first = tokio::time::timeout(Duration::from_secs(10), inside.next()).await?.context("ended")?;
    ensure!(first.subject.as_str() == "end", "{} got in", first.subject);
    Ok(())
}
