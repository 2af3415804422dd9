//! What crosses the gateway: rights of a role, routes, directions, mappings.

use anyhow::{Context, Result, ensure};
use async_nats::RequestErrorKind;
use gatehouse_tests::{GatewayOptions, Pki, Scene, known, next_payload, settle};
use serde_json::json;

/// Roles that may do everything, so that only the routes decide.
fn may_everything(options: &mut GatewayOptions) {
    options.rights = options
        .rights
        .replace(r#"["peer.>", "orders.{{claims.tenant}}.>"]"#, r#"[">"]"#)
        .replace(r#"["peer.>", "shipments.{{claims.tenant}}.>"]"#, r#"[">"]"#);
}

async fn with_routes(routes: &str) -> Result<Scene> {
    let fence = "\n[[routes]]\nsubject = \"peer.>\"\ndirection = \"both\"\n";
    Scene::with(|_: &Pki, mut options| {
        may_everything(&mut options);
        options.routes = format!("{routes}{fence}");
        options
    })
    .await
}

#[tokio::test]
async fn claims_decide_the_subjects() -> Result<()> {
    let scene = Scene::new().await?;
    let mut raw = scene.raw().await?;
    raw.login(&json!({ "verbose": false, "auth_token": scene.tokens.good()? }).to_string()).await?;
    raw.send("PUB orders.acme.new 0\r\n\r\nSUB shipments.acme.> 1\r\n").await?;
    raw.fence().await?;
    for denied in ["orders.other.new", "orders.acme", "shipments.acme.x", "secret"] {
        raw.send(format!("PUB {denied} 0\r\n\r\n")).await?;
        raw.expect_start(&format!("-ERR 'Permissions Violation for Publish to \"{denied}\"'")).await?;
    }
    for denied in ["shipments.other.>", "shipments.>", "shipments.*.x", "orders.acme.>", ">", "$SYS.>"] {
        raw.send(format!("SUB {denied} 2\r\n")).await?;
        raw.expect_start(&format!("-ERR 'Permissions Violation for Subscription to \"{denied}\"'")).await?;
    }
    raw.fence().await
}

#[tokio::test]
async fn a_claim_cannot_smuggle_a_wildcard() -> Result<()> {
    let scene = Scene::new().await?;
    for tenant in ["*", ">", "acme.>", "a b", "", "acme\r\nPUB"] {
        let token = scene.tokens.sign(&scene.tokens.claims().with("tenant", tenant))?;
        let mut raw = scene.raw().await?;
        let connect = json!({ "verbose": false, "auth_token": token });
        raw.send(format!("CONNECT {connect}\r\nPUB orders.other.new 0\r\n\r\nPING\r\n")).await?;
        let said = raw.line().await?;
        ensure!(said.starts_with("-ERR"), "{tenant:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_partners_order_reaches_the_service_and_the_answer_comes_back() -> Result<()> {
    let scene = Scene::new().await?;
    let (partner, service) = (scene.partner().await?, scene.service("orders").await?);
    let mut orders = service.subscribe("orders.>").await?;
    known(&partner, "orders.acme.new", &mut orders).await?;
    partner.publish("orders.acme.new", "1".into()).await?;
    ensure!(next_payload(&mut orders).await? == "1");

    let mut shipments = partner.subscribe("shipments.acme.>").await?;
    known(&service, "shipments.acme.sent", &mut shipments).await?;
    service.publish("shipments.other.sent", "theirs".into()).await?;
    service.publish("shipments.acme.sent", "2".into()).await?;
    ensure!(next_payload(&mut shipments).await? == "2");
    Ok(())
}

#[tokio::test]
async fn nothing_crosses_that_no_route_names() -> Result<()> {
    let scene = with_routes("").await?;
    let (partner, service) = (scene.partner().await?, scene.service("orders").await?);
    let (mut inside, mut outside) =
        (service.subscribe("private.>").await?, partner.subscribe("private.>").await?);
    let (mut fence_in, mut fence_out) =
        (service.subscribe("peer.in").await?, partner.subscribe("peer.out").await?);
    known(&partner, "peer.in", &mut fence_in).await?;
    known(&service, "peer.out", &mut fence_out).await?;
    // Own side first: each sees what its own side publishes, and nothing of the other's, which was sent before.
    partner.publish("private.x", "from outside".into()).await?;
    service.publish("private.x", "from inside".into()).await?;
    for (from, subject, sub) in [(&partner, "peer.in", &mut fence_in), (&service, "peer.out", &mut fence_out)]
    {
        from.publish(subject, "after".into()).await?;
        ensure!(next_payload(sub).await? == "after");
    }
    service.publish("private.x", "last".into()).await?;
    partner.publish("private.x", "last".into()).await?;
    ensure!(next_payload(&mut inside).await? == "from inside" && next_payload(&mut inside).await? == "last");
    ensure!(
        next_payload(&mut outside).await? == "from outside" && next_payload(&mut outside).await? == "last"
    );
    Ok(())
}

#[tokio::test]
async fn a_route_holds_in_its_direction_only() -> Result<()> {
    let routes = "[[routes]]\nsubject = \"down.>\"\ndirection = \"inward\"\n\n[[routes]]\nsubject = \"up.>\"\ndirection = \"outward\"\n";
    let scene = with_routes(routes).await?;
    let (partner, service) = (scene.partner().await?, scene.service("orders").await?);
    let (mut inside, mut outside) = (service.subscribe("*.x").await?, partner.subscribe("*.x").await?);
    let mut fence = service.subscribe("peer.in").await?;
    known(&partner, "peer.in", &mut fence).await?;
    known(&partner, "down.x", &mut inside).await?;
    known(&service, "up.x", &mut outside).await?;
    partner.publish("up.x", "own".into()).await?;
    service.publish("down.x", "own".into()).await?;
    settle(&partner).await?;
    settle(&service).await?;
    partner.publish("down.x", "crossing".into()).await?;
    service.publish("up.x", "crossing".into()).await?;
    // Probes and crossings also reach the publisher's own side: compare what came from the other.
    let mut seen = (Vec::new(), Vec::new());
    while seen.0.last().map(String::as_str) != Some("crossing") {
        seen.0.push(next_payload(&mut inside).await?);
    }
    while seen.1.last().map(String::as_str) != Some("crossing") {
        seen.1.push(next_payload(&mut outside).await?);
    }
    ensure!(seen.0.iter().filter(|payload| *payload == "own").count() == 1, "inside: {:?}", seen.0);
    ensure!(seen.1.iter().filter(|payload| *payload == "own").count() == 1, "outside: {:?}", seen.1);
    Ok(())
}

#[tokio::test]
async fn a_mapping_renames_what_crosses() -> Result<()> {
    let routes = r#"
[[routes]]
subject = "orders.*"
direction = "inward"
to = "ext.orders.{1}"
"#;
    let scene = with_routes(routes).await?;
    let (partner, service) = (scene.partner().await?, scene.service("orders").await?);
    let mut mapped = service.subscribe("ext.orders.*").await?;
    known(&partner, "orders.a", &mut mapped).await?;
    partner.publish("orders.new", "1".into()).await?;
    let message = loop {
        let message = futures_util::StreamExt::next(&mut mapped).await.context("ended")?;
        if message.payload == "1" {
            break message;
        }
    };
    ensure!(message.subject.as_str() == "ext.orders.new", "{}", message.subject);
    // Under its old name it is not there.
    let error = partner.request("orders.new.more", "".into()).await.err().context("an answer")?;
    ensure!(error.kind() == RequestErrorKind::NoResponders, "{error}");
    Ok(())
}
