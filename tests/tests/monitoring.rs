//! What operators of a nats-server look at, on both servers: the same pages have the same fields, and the `nats` command
//! finds what it asks for.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{ConfServer, Kind, eventually, on_both, peers_dir, run, skip};
use serde_json::Value;
use tempfile::TempDir;

on_both! {
    the_nats_command_reports
    the_nats_command_checks
    clients_that_have_gone_are_remembered
}

const CONF: &str = "ping_interval: \"1s\"\nhttp: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\naccounts { A { jetstream: enabled, users: [{user: a, password: x}] }, SYS { users: [{user: s, password: x}] } }\nsystem_account: SYS\n";

/// What nats-server says on top.
const ELSEWHERE: &[&str] = &[
    // Of its program and configuration file; ours has a version (`gatehouse`) and its own reload status.
    "config_digest",
    "config_load_time",
    "feature_flags",
    "git_commit",
    "go",
    "gomaxprocs",
    // Of its monitoring port, which here is [admin].
    "http_base_path",
    "http_host",
    "http_port",
    "http_req_stats",
    "https_port",
    // Of how it works inside: locks around its disk, clients it stalls, its match cache.
    "disk_io_wait_stats",
    "stalled_clients",
    "avg_fanout",
    "cache_hit_rate",
    "max_fanout",
    "num_cache",
    "num_inserts",
    "num_matches",
    "num_removes",
    "account_detail.sublist_stats",
    // Bounds that are not there are not told.
    "jetstream.limits.default_max_consumers",
    "limits.default_max_consumers",
    // An account of its own imports the API of streams by a service; here it is answered without one.
    "account_detail.imports",
    // Names that only operator mode gives accounts.
    "connections.name_tag",
    "subscriptions_list.account_tag",
    // Messages are counted by connection, not by subscription: that would cost a counter on the way of each message.
    "connections.subscriptions_list_detail.msgs",
    "subscriptions_list.msgs",
];

fn fields(value: &Value, before: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let path = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
                fields(inner, &path, all);
                all.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, before, all)),
        _ => {}
    }
}

/// A server with a stream, a consumer and a client that listens; dropped in this order.
struct Filled {
    _listens: [async_nats::Subscriber; 2],
    server: ConfServer,
    _dir: TempDir,
}

async fn filled(kind: Kind) -> Result<Option<Filled>> {
    let dir = TempDir::with_prefix("gatehouse-test-")?;
    let conf = format!("listen: \"127.0.0.1:-1\"\n{CONF}");
    let Some(server) = ConfServer::start(kind, dir.path(), &conf).await? else { return Ok(None) };
    let options = async_nats::ConnectOptions::with_user_and_password("a".into(), "x".into()).name("watcher");
    let client = options.connect(server.url()).await?;
    let context = async_nats::jetstream::new(client.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        ..Default::default()
    };
    let stream = context.create_stream(config).await?;
    let durable = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("C".into()),
        ..Default::default()
    };
    stream.create_consumer(durable).await?;
    context.publish("s.1", "x".into()).await?.await?;
    let listens = [client.subscribe("y.>").await?, client.queue_subscribe("z", "q".into()).await?];
    client.flush().await?;
    // Its round trip is measured when a PING of the server has come back, here and there.
    let measured = || async {
        let page = server.page("/connz?acc=A").await.ok()?;
        page["connections"][0]["rtt"].is_string().then_some(())
    };
    eventually("a measured round trip", measured).await?;
    Ok(Some(Filled { _listens: listens, server, _dir: dir }))
}

#[tokio::test]
async fn pages_have_the_fields_of_nats_server() -> Result<()> {
    let Some(there) = filled(Kind::Stock).await? else { return Ok(()) };
    let here = filled(Kind::Ours).await?.context("no server")?;
    let (stock, ours) = (&there.server, &here.server);
    for page in [
        "/varz",
        "/connz?subs=1&auth=1",
        "/connz?subs=detail&sort=bytes_to&limit=5",
        "/connz?acc=A",
        "/connz?state=closed",
        "/connz?state=any&auth=1",
        "/gatewayz",
        "/routez",
        "/subsz",
        "/subsz?subs=1&acc=A",
        "/accountz",
        "/accountz?acc=A",
        "/accstatz",
        "/accstatz?unused=1",
        "/jsz",
        "/jsz?accounts=1&streams=1&consumers=1&config=1&limit=10&offset=0",
        "/healthz",
        "/healthz?js-enabled-only=true",
        "/healthz?js-server-only=true",
    ] {
        let (mut there, mut here) = (BTreeSet::new(), BTreeSet::new());
        fields(&stock.page(page).await?, "", &mut there);
        fields(&ours.page(page).await?, "", &mut here);
        let known = |name: &String| {
            ELSEWHERE.iter().any(|other| name == other || name.starts_with(&format!("{other}.")))
        };
        let missing: Vec<&String> = there.difference(&here).filter(|name| !known(name)).collect();
        ensure!(missing.is_empty(), "{page}: {missing:?}");
    }
    let varz = ours.page("/varz").await?;
    ensure!(
        varz["auth_required"] == true && varz["tls_required"].is_null() && varz["mem"].is_u64(),
        "{varz}"
    );
    // Options mean what they mean there.
    let connz = ours.page("/connz?user=nobody").await?;
    ensure!(connz["num_connections"] == 0, "{connz}");
    let subsz = ours.page("/subsz?subs=1&test=y.z").await?;
    ensure!(subsz["subscriptions_list"][0]["subject"] == "y.>" && subsz["total"] == 1, "{subsz}");
    let jsz = ours.page("/jsz?acc=A&streams=1&consumers=1&config=1").await?;
    let stream = &jsz["account_details"][0]["stream_detail"][0];
    ensure!(stream["config"]["name"] == "S" && stream["consumer_detail"][0]["name"] == "C", "{jsz}");
    let accstatz = ours.page("/accstatz").await?;
    let of_a = &accstatz["account_statz"][0];
    ensure!(of_a["acc"] == "A" && of_a["conns"] == 1, "{accstatz}");
    ensure!(of_a["received"]["msgs"].as_u64() > Some(2), "{accstatz}");
    Ok(())
}

async fn the_nats_command_reports(kind: Kind) -> Result<()> {
    let nats = peers_dir().join("bin/nats");
    if !nats.exists() {
        skip("the nats command is not installed");
        return Ok(());
    }
    let Some(filled) = filled(kind).await? else { return Ok(()) };
    let (server, dir) = (&filled.server, TempDir::new()?);
    for (user, command, said) in [
        ("s", "server ls", "2.15.1"),
        ("s", "server ping 1", "rtt="),
        ("s", "server info", "2.15.1"),
        ("s", "server report connections", "A"),
        ("s", "server report accounts", "A"),
        ("s", "server report jetstream", "Streams"),
        ("s", "server report mem", "Memory Usage"),
        ("s", "server report cpu", "CPU Usage"),
        ("s", "server account info A", "A"),
        ("s", "server request accounts", "SYS"),
        ("s", "server request jetstream", "streams"),
        ("s", "server request connections", "watcher"),
        ("s", "server request subscriptions", "num_subscriptions"),
        ("s", "server request variables", "server_id"),
        ("s", "server request jetstream-health", "ok"),
        ("a", "account info", "Streams"),
    ] {
        let url = server.url().replace("nats://", &format!("nats://{user}:x@"));
        let words = ["--server", &url].into_iter().chain(command.split(' '));
        let ran = run(nats.as_os_str(), dir.path(), words.map(str::to_owned)).await?;
        ensure!(ran.code == Some(0) && ran.stdout.contains(said), "nats {command}: {ran:?}");
    }
    Ok(())
}

/// What monitoring systems run: exit code and text.
async fn the_nats_command_checks(kind: Kind) -> Result<()> {
    let nats = peers_dir().join("bin/nats");
    if !nats.exists() {
        skip("the nats command is not installed");
        return Ok(());
    }
    let Some(filled) = filled(kind).await? else { return Ok(()) };
    let (server, dir) = (&filled.server, TempDir::new()?);
    for (user, command, code, said) in [
        ("a", "server check connection", 0, "OK"),
        ("a", "server check stream --stream S --msgs-warn 0 --msgs-critical 0", 0, "OK"),
        ("a", "server check stream --stream S --msgs-warn 5 --msgs-critical 2", 2, "CRITICAL"),
        ("a", "server check stream --stream NONE", 2, "CRITICAL"),
        ("a", "server check consumer --stream S --consumer C --outstanding-ack-critical 5", 0, "OK"),
        ("a", "server check consumer --stream S --consumer C --unprocessed-critical 1", 2, "CRITICAL"),
        ("a", "server check jetstream --mem-warn 90 --mem-critical 95", 0, "OK"),
        ("a", "stream report", 0, "S"),
        ("a", "consumer report S", 0, "C"),
        ("a", "stream subjects S", 0, "s.1"),
        ("s", "server stream-check --unsynced", 0, ""),
        ("s", "server report connections --state closed", 0, ""),
        ("s", "server request gateways", 0, "outbound_gateways"),
        ("s", "server request routes", 0, "num_routes"),
        ("s", "server request leafnodes", 0, "leafnodes"),
        ("s", "server request connections --filter-state closed", 0, "connections"),
    ] {
        let url = server.url().replace("nats://", &format!("nats://{user}:x@"));
        let words = ["--server", &url].into_iter().chain(command.split(' '));
        let ran = run(nats.as_os_str(), dir.path(), words.map(str::to_owned)).await?;
        ensure!(ran.code == Some(code) && ran.stdout.contains(said), "nats {command}: {ran:?}");
    }
    Ok(())
}

async fn clients_that_have_gone_are_remembered(kind: Kind) -> Result<()> {
    let conf = format!("{CONF}max_closed_clients: 3\n");
    let Some(server) = ConfServer::fresh(kind, &conf).await? else { return Ok(()) };
    let login = |password: &str| {
        let options = async_nats::ConnectOptions::with_user_and_password("a".into(), password.into());
        options.name("gone").connect(server.url())
    };
    let closed = |want: usize, reason: &'static str| {
        let server = &server;
        eventually("closed clients", move || async move {
            let page = server.page("/connz?state=closed&sort=stop&auth=1").await.ok()?;
            let last = page["connections"].as_array()?.iter().find(|conn| conn["reason"] == reason)?.clone();
            (page["total"] == want).then_some((page, last))
        })
    };
    let client = login("x").await?;
    client.publish("y", "hello".into()).await?;
    client.flush().await?;
    let cid = client.server_info().client_id;
    ensure!(server.page(&format!("/connz?cid={cid}")).await?["connections"][0].get("stop").is_none());
    client.drain().await?;
    let (_, last) = closed(1, "Client Closed").await?;
    for (field, value) in [("cid", cid.into()), ("name", Value::from("gone")), ("account", "A".into())] {
        ensure!(last[field] == value, "{field}: {last}");
    }
    ensure!(last["in_msgs"] == 1 && last["in_bytes"] == 5 && last["authorized_user"] == "a", "{last}");
    ensure!(last["stop"].is_string() && last["start"].as_str() < last["stop"].as_str(), "{last}");
    // By its number it is found whatever became of it; among those connected it is not.
    ensure!(server.page(&format!("/connz?cid={cid}&state=closed")).await?["total"] == 1);
    ensure!(server.page("/connz").await?["total"] == 0);
    ensure!(server.page("/connz?state=any").await?["total"] == 1);
    // One that was turned away is there, too; and the list has its bound.
    ensure!(login("wrong").await.is_err());
    closed(2, "Authentication Failure").await?;
    for _ in 0..3 {
        login("x").await?.drain().await?;
    }
    let forgotten = || async {
        let page = server.page(&format!("/connz?cid={cid}&state=closed")).await.ok()?;
        (page["num_connections"] == 0).then_some(())
    };
    eventually("the first is forgotten", forgotten).await?;
    ensure!(server.page("/connz?state=closed").await?["num_connections"] == 3);
    Ok(())
}
