//! What operators of a nats-server look at, on both servers: the same pages have the same fields, and the `nats` command
//! finds what it asks for.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{ConfServer, Kind, on_both, peers_dir, run, skip};
use serde_json::Value;
use tempfile::TempDir;

on_both! {
    the_nats_command_reports
}

const CONF: &str = "http: \"127.0.0.1:-1\"\njetstream { store_dir: \"store\" }\naccounts { A { jetstream: enabled, users: [{user: a, password: x}] }, SYS { users: [{user: s, password: x}] } }\nsystem_account: SYS\n";

/// What nats-server says on top: of its inside, of routes and gateways, and what only it counts.
const ELSEWHERE: &[&str] = &[
    "config_digest",
    "config_load_time",
    "disk_io_wait_stats",
    "feature_flags",
    "git_commit",
    "go",
    "gomaxprocs",
    "http_base_path",
    "http_host",
    "http_port",
    "http_req_stats",
    "https_port",
    "in_client_bytes",
    "in_client_msgs",
    "out_client_bytes",
    "out_client_msgs",
    "slow_consumer_stats",
    "stale_connection_stats",
    "stalled_clients",
    "jetstream.limits.default_max_consumers",
    "limits.default_max_consumers",
    "avg_fanout",
    "cache_hit_rate",
    "max_fanout",
    "num_cache",
    "num_inserts",
    "num_matches",
    "num_removes",
    "account_detail.imports",
    "account_detail.sublist_stats",
    "connections.name_tag",
    "connections.rtt",
    "connections.subscriptions_list_detail.msgs",
    "subscriptions_list.account_tag",
    "subscriptions_list.msgs",
    "subscriptions_list.qgroup",
    "account_details.stream_detail.cluster",
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
    _listens: async_nats::Subscriber,
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
    let listens = client.subscribe("y.>").await?;
    client.flush().await?;
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
