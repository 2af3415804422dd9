//! Inboxes of clients from outside: each has a space of its own, with stock clients, custom prefixes, and streams that
//! push to them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer};
use futures_util::StreamExt;
use gatehouse_tests::{
    ConfServer, DEADLINE, Gateway, GatewayOptions, Kind, Pki, Raw, Scene, Tokens, eventually, within,
};
use serde_json::json;
use tokio::time::{Instant, timeout};

/// Nothing arrives, until something that was sent later has come another way.
async fn silent(raw: &mut Raw) -> Result<()> {
    raw.fence().await
}

async fn partner(scene: &Scene) -> Result<Raw> {
    let mut raw = scene.raw().await?;
    let login = json!({ "auth_token": scene.tokens.good()?, "verbose": false, "headers": true }).to_string();
    raw.login(&login).await?;
    Ok(raw)
}

#[tokio::test]
async fn nobody_hears_the_answers_of_others_whatever_he_subscribes_to() -> Result<()> {
    let scene = Scene::new().await?;
    let (mut asker, mut nosy) = (partner(&scene).await?, partner(&scene).await?);
    nosy.send("SUB _INBOX.> 1\r\nSUB _INBOX.me.* 2\r\nSUB _INBOX.*.* 3\r\nSUB _INBOX.me.1 q 4\r\n").await?;
    nosy.fence().await?;
    nosy.send("SUB > 5\r\n").await?;
    nosy.expect("-ERR 'Permissions Violation for Subscription to \">\"'").await?;
    let service = scene.service("orders").await?;
    let mut asked = service.subscribe("peer.ask").await?;
    service.flush().await?;
    asker.send("SUB _INBOX.me.* 9\r\n").await?;
    asker.fence().await?;
    // The service's interest crosses the link in its own time: asked again until it is heard.
    let deadline = Instant::now() + DEADLINE;
    let reply = loop {
        ensure!(Instant::now() < deadline, "nobody heard the question");
        asker.send("PUB peer.ask _INBOX.me.1 2\r\nhi\r\n").await?;
        if let Ok(message) = timeout(Duration::from_millis(200), asked.next()).await {
            break message.context("closed")?.reply.context("no reply subject")?;
        }
    };
    ensure!(
        reply.starts_with("_INBOX.") && reply.ends_with(".me.1") && reply.as_str() != "_INBOX.me.1",
        "{reply}"
    );
    service.publish(reply.clone(), "here".into()).await?;
    let answer = asker.message().await?;
    ensure!((answer.subject.as_str(), &*answer.payload) == ("_INBOX.me.1", &b"here"[..]), "{answer:?}");
    silent(&mut nosy).await?;
    // Knowing the name does not help: as a subscription it is another one, in one's own space.
    nosy.send(format!("SUB {reply} 6\r\n")).await?;
    nosy.fence().await?;
    service.publish(reply, "again".into()).await?;
    ensure!(&*asker.message().await?.payload == b"again");
    silent(&mut nosy).await
}

#[tokio::test]
async fn custom_inbox_prefixes_are_ordinary_subjects() -> Result<()> {
    let scene = Scene::new().await?;
    let service = scene.service("orders").await?;
    let mut asked = service.subscribe("peer.ask").await?;
    service.flush().await?;
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            let Some(reply) = message.reply else { continue };
            drop(service.publish(reply, "here".into()).await);
        }
    });
    let url = format!("tls://{}", scene.gateway.addresses.clients);
    let connect = async |prefix: &str| -> Result<async_nats::Client> {
        let options = scene.pki.outsider().async_nats().token(scene.tokens.good()?);
        Ok(options
            .custom_inbox_prefix(prefix)
            .request_timeout(Some(Duration::from_secs(1)))
            .connect(&url)
            .await?)
    };
    // The role allows `peer.>`; a prefix it does not allow is refused like any subject.
    let allowed = connect("peer.inbox").await?;
    eventually("an answer", || async { allowed.request("peer.ask", "".into()).await.ok() }).await?;
    let refused = connect("private.inbox").await?;
    ensure!(refused.request("peer.ask", "".into()).await.is_err(), "heard below a prefix it has no right to");
    Ok(())
}

/// A gateway before a stock server with streams.
async fn before_streams(pki: &Pki, tokens: &Tokens) -> Result<Option<(Gateway, ConfServer)>> {
    let conf = format!(
        "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{}\", domain: hub }}\n{}\n{}\n",
        pki.text("streams"),
        "accounts { SYS { users: [{ user: sys, password: sys }] }, APP { jetstream: enabled, users: [{ user: app, password: app }] } }",
        "system_account: SYS\nleafnodes { listen: \"127.0.0.1:-1\" }"
    );
    let Some(server) = ConfServer::start(Kind::Stock, pki.dir(), &conf).await? else { return Ok(None) };
    let leafnodes = server.addresses.leafnodes.context("no leafnode port")?;
    let mut options = GatewayOptions::dialling(pki, leafnodes);
    options.link = format!(
        "urls = [\"nats-leaf://{leafnodes}\"]\nuser = \"app\"\npassword = \"app\"\njetstream_domain = \"hub\"\n"
    );
    options.rights =
        options.rights.replace("\"peer.>\", \"orders", "\"$JS.>\", \"events.>\", \"peer.>\", \"orders");
    options.routes.push_str("\n[[routes]]\nsubject = \"events.>\"\ndirection = \"inward\"\n");
    let mut gateway = Gateway::start_plain(pki, tokens, &options).await?;
    gateway.ready().await?;
    Ok(Some((gateway, server)))
}

#[tokio::test]
async fn streams_push_to_the_clients_inbox_and_nowhere_it_could_not_listen() -> Result<()> {
    let pki = Pki::new()?;
    let tokens = Tokens::new(pki.dir())?;
    let Some((gateway, server)) = before_streams(&pki, &tokens).await? else { return Ok(()) };
    let inner = async_nats::ConnectOptions::new().user_and_password("app".into(), "app".into());
    let inner = inner.connect(server.url()).await?;
    let config = jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        ..Default::default()
    };
    let inside = jetstream::new(inner.clone());
    let stream = inside.create_stream(config).await?;
    for number in 0..3 {
        inside.publish("events.made", number.to_string().into()).await?.await?;
    }
    let client = gateway.client(&pki, &tokens.good()?).await?;
    let outside =
        eventually("the stream", || async { jetstream::new(client.clone()).get_stream("EVENTS").await.ok() })
            .await?;
    let push = |subject: String| consumer::push::Config {
        deliver_subject: subject,
        ack_policy: consumer::AckPolicy::None,
        inactive_threshold: Duration::from_secs(60),
        ..Default::default()
    };
    let inbox = client.new_inbox();
    let mut pushed = client.subscribe(inbox.clone()).await?;
    client.flush().await?;
    within("a consumer", outside.create_consumer(push(inbox))).await??;
    for number in 0..3 {
        let message = within("a pushed message", pushed.next()).await?.context("closed")?;
        ensure!(message.payload == number.to_string(), "{message:?}");
    }
    // Where it may listen it may have it delivered; elsewhere nobody delivers for it.
    let mut elsewhere = inner.subscribe("billing.>").await?;
    inner.flush().await?;
    let refused = outside.create_consumer(push("billing.forged".into())).await;
    ensure!(refused.is_err(), "a consumer that delivers where its maker may not listen");
    within("a consumer", outside.create_consumer(push("peer.pushed".into()))).await??;
    inside.publish("events.made", "last".into()).await?.await?;
    ensure!(within("the last one", pushed.next()).await?.context("closed")?.payload == "last");
    ensure!(timeout(Duration::from_millis(1), elsewhere.next()).await.is_err(), "delivered");
    ensure!(stream.cached_info().config.name == "EVENTS");
    Ok(())
}
