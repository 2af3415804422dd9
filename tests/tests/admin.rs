//! Monitoring pages: shapes that dashboards of nats-server read, probes, and metrics.

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{
    BusOptions, ConfServer, InternalBus, Kind, Pki, Raw, Scene, eventually, http_get, on_both,
};
use serde_json::Value;

const CONF: &str = "http: \"127.0.0.1:-1\"\nserver_name: here\n";
const OPTIONS: &str = r#"{"verbose":false,"name":"probe","lang":"raw","version":"1.2.3"}"#;

on_both! {
    pages_have_the_shapes_that_dashboards_read
    pages_count_what_happened
}

/// Every field of `page` that `wanted` names is there and a number.
fn numbers(page: &Value, wanted: &[&str]) -> Result<()> {
    for name in wanted {
        ensure!(page[*name].is_number(), "{name} is {} in {page:#}", page[*name]);
    }
    Ok(())
}

/// Every field that `wanted` names is there and a text that is not empty.
fn texts(page: &Value, wanted: &[&str]) -> Result<()> {
    for name in wanted {
        let text = page[*name].as_str().with_context(|| format!("{name} in {page:#}"))?;
        ensure!(!text.is_empty(), "{name} is empty in {page:#}");
    }
    Ok(())
}

async fn pages_have_the_shapes_that_dashboards_read(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, CONF).await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, OPTIONS).await?;
    raw.send("SUB a.> 1\r\n").await?;
    raw.fence().await?;

    ensure!(server.page("/healthz").await?["status"] == "ok");
    let varz = server.page("/varz").await?;
    texts(&varz, &["server_id", "server_name", "version", "host", "start", "now", "uptime"])?;
    numbers(
        &varz,
        &["connections", "total_connections", "subscriptions", "slow_consumers", "leafnodes", "routes"],
    )?;
    numbers(
        &varz,
        &["in_msgs", "out_msgs", "in_bytes", "out_bytes", "mem", "cpu", "cores", "port", "proto"],
    )?;
    numbers(
        &varz,
        &["max_connections", "max_payload", "max_control_line", "max_pending", "ping_interval", "ping_max"],
    )?;
    ensure!(varz["server_name"] == "here" && varz["connections"] == 1, "{varz:#}");

    let connz = server.page("/connz?subs=1").await?;
    numbers(&connz, &["num_connections", "total", "offset", "limit"])?;
    let conn = &connz["connections"][0];
    texts(conn, &["ip", "start", "last_activity", "uptime", "idle", "name", "lang", "version"])?;
    numbers(
        conn,
        &["cid", "port", "pending_bytes", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "subscriptions"],
    )?;
    ensure!(conn["name"] == "probe" && conn["subscriptions_list"][0] == "a.>", "{conn:#}");
    let limited = server.page("/connz?limit=1&offset=1").await?;
    ensure!(limited["num_connections"] == 0 && limited["total"] == 1, "{limited:#}");

    let subsz = server.page("/subsz").await?;
    numbers(&subsz, &["num_subscriptions", "total"])?;
    let leafz = server.page("/leafz").await?;
    ensure!(leafz["leafnodes"] == 0 && leafz["leafs"].is_array(), "{leafz:#}");
    Ok(())
}

async fn pages_count_what_happened(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, CONF).await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, OPTIONS).await?;
    raw.send("SUB a 1\r\nSUB a 2\r\n").await?;
    for _ in 0..10 {
        raw.send("PUB a 5\r\nhello\r\n").await?;
    }
    for _ in 0..20 {
        raw.message().await?;
    }
    raw.fence().await?;
    let varz = server.page("/varz").await?;
    ensure!(varz["in_msgs"] == 10 && varz["out_msgs"] == 20, "{varz:#}");
    ensure!(varz["in_bytes"] == 50 && varz["out_bytes"] == 100, "{varz:#}");
    let conn = &server.page("/connz").await?["connections"][0];
    ensure!(conn["in_msgs"] == 10 && conn["out_msgs"] == 20 && conn["subscriptions"] == 2, "{conn:#}");
    drop(raw);
    eventually("the connection's end in the count", || async {
        (server.page("/varz").await.ok()?["connections"] == 0).then_some(())
    })
    .await?;
    // What an ended connection did is still counted.
    let varz = server.page("/varz").await?;
    ensure!(varz["in_msgs"] == 10 && varz["out_msgs"] == 20 && varz["total_connections"] == 1, "{varz:#}");
    Ok(())
}

/// Names of metrics with their values, labels and all.
fn samples(text: &str) -> Vec<(&str, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect()
}

fn sum(text: &str, name: &str) -> f64 {
    let belongs =
        |sample: &str| sample.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    samples(text).into_iter().filter(|(sample, _)| belongs(sample)).map(|(_, value)| value).sum()
}

/// Families of metrics that both processes have, by the beginning of their names.
const FAMILIES: [&str; 10] = [
    "gatehouse_connections",
    "gatehouse_in_messages",
    "gatehouse_in_bytes",
    "gatehouse_out_messages",
    "gatehouse_out_bytes",
    "gatehouse_pending_bytes",
    "gatehouse_slow_consumers",
    "gatehouse_links",
    "gatehouse_link_rtt_seconds",
    "gatehouse_certificate_expiry_seconds",
];

#[tokio::test]
async fn both_processes_answer_probes_and_count_in_metrics() -> Result<()> {
    let scene = Scene::new().await?;
    let (partner, service) = (scene.partner().await?, scene.service("orders").await?);
    let mut sub = service.subscribe("peer.x").await?;
    gatehouse_tests::known(&partner, "peer.x", &mut sub).await?;
    for (name, admin) in [("gateway", scene.gateway.admin()?), ("bus", scene.bus.admin()?)] {
        for page in ["/healthz", "/readyz"] {
            ensure!(http_get(admin, page).await?.status == 200, "{name} {page}");
        }
        for page in ["/varz", "/connz", "/subsz", "/leafz"] {
            ensure!(http_get(admin, page).await?.json()?.is_object(), "{name} {page}");
        }
        let leafz = http_get(admin, "/leafz").await?.json()?;
        ensure!(leafz["leafnodes"] == 1, "{name} {leafz:#}");
        ensure!(http_get(admin, "/nothing").await?.status == 404, "{name}");
        let metrics = http_get(admin, "/metrics").await?;
        ensure!(metrics.head.to_lowercase().contains("content-type: "), "{name} {}", metrics.head);
        let text = &metrics.body;
        for family in FAMILIES {
            ensure!(
                samples(text).iter().any(|(sample, _)| sample.starts_with(family)),
                "{name}: no {family}* in\n{text}"
            );
        }
        ensure!(!text.contains(&scene.tokens.good()?), "{name}: a token");
    }
    Ok(())
}

#[tokio::test]
async fn refusals_are_counted_by_reason() -> Result<()> {
    let scene = Scene::new().await?;
    let admin = scene.gateway.admin()?;
    let before = sum(&http_get(admin, "/metrics").await?.body, "gatehouse_auth_failures_total");
    let expired = scene.tokens.sign(&scene.tokens.claims().expires_in(-3600))?;
    for token in [scene.tokens.forged()?, expired] {
        let refused = scene.gateway.client(&scene.pki, &token).await;
        ensure!(refused.is_err());
    }
    let after = http_get(admin, "/metrics").await?.body;
    ensure!(sum(&after, "gatehouse_auth_failures_total") >= before + 2.0, "{after}");
    let reasons =
        samples(&after).into_iter().filter(|(name, _)| name.starts_with("gatehouse_auth_failures_total{"));
    let reasons: Vec<_> = reasons.map(|(name, _)| name.to_owned()).collect();
    ensure!(reasons.iter().any(|reason| reason.contains("expired")), "{reasons:?}");
    ensure!(reasons.len() >= 2, "expired and forged look alike: {reasons:?}");
    Ok(())
}

#[tokio::test]
async fn the_admin_port_changes_nothing() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let admin = bus.admin()?;
    ensure!(admin.ip().is_loopback(), "{admin}");
    let mut raw = Raw::connect(admin).await?;
    raw.send("POST /varz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
    let said = raw.closed().await?;
    ensure!(said.starts_with("HTTP/1.1 405"), "{said}");
    Ok(())
}
