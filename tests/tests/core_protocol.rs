//! The client protocol, byte by byte, on both servers.

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{ConfServer, Kind, Raw, on_both};

/// Options of a quiet client.
const QUIET: &str = r#"{"verbose":false,"pedantic":false}"#;

on_both! {
    info_says_what_clients_need
    verbose_connections_get_an_ok_for_each_operation
    publish_and_subscribe
    spelling_of_operations_is_lenient
    frames_may_be_split_anywhere
    wildcards_and_bad_subjects
    a_subject_may_be_written_with_wildcards
    pedantic_connections_are_told_of_bad_publish_subjects
    unsubscribe_now_and_after_some_messages
    unsubscribing_frees_nothing_else
    no_echo_spares_the_publisher
    headers_are_delivered_as_sent
    subscribers_without_headers_get_the_payload_only
    requests_without_responders_get_a_503
    queue_groups_get_one_copy_each
    payloads_may_hold_anything
    a_pong_says_that_everything_before_it_is_in_force
    who_has_logged_in_is_told_the_account
    clients_are_asked_for_a_sign_of_life_soon
    headers_can_be_switched_off
    unknown_operations_end_the_connection
    payload_without_its_end_ends_the_connection
}

/// Starts a server and logs in `N` quiet clients. Ends the test where the server is not installed.
macro_rules! clients {
    ($kind:expr, $conf:expr, $server:ident, [$($client:ident),*]) => {
        let Some($server) = ConfServer::fresh($kind, $conf).await? else { return Ok(()) };
        $(let mut $client = Raw::logged_in($server.addresses.clients, QUIET).await?;)*
    };
}

async fn info_says_what_clients_need(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "server_name: here\nmax_payload: 4096\n").await? else {
        return Ok(());
    };
    let info = Raw::connect(server.addresses.clients).await?.info().await?;
    ensure!(info["headers"] == true && info["proto"] == 1, "{info}");
    ensure!(info["max_payload"] == 4096 && info["server_name"] == "here", "{info}");
    ensure!(info["server_id"].as_str().is_some_and(|id| !id.is_empty()), "{info}");
    ensure!(info["client_id"].as_u64().is_some_and(|id| id > 0), "{info}");
    ensure!(info["port"] == server.addresses.clients.port() && info["host"] == "127.0.0.1", "{info}");
    let version = info["version"].as_str().unwrap_or_default();
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    ensure!(parts.len() == 3 && parts >= vec![2, 10, 0], "clients skip features by version: {version}");
    ensure!(info["auth_required"] != true && info["tls_required"] != true, "{info}");
    // nats-core of Python takes no INFO without these.
    for field in
        ["server_id", "server_name", "version", "go", "host", "port", "headers", "max_payload", "proto"]
    {
        ensure!(!info[field].is_null(), "{field}: {info}");
    }
    Ok(())
}

async fn verbose_connections_get_an_ok_for_each_operation(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut raw = Raw::connect(server.addresses.clients).await?;
    raw.info().await?;
    raw.send("CONNECT {\"verbose\":true}\r\n").await?;
    raw.expect("+OK").await?;
    raw.send("SUB a 1\r\n").await?;
    raw.expect("+OK").await?;
    raw.send("PUB b 1\r\nx\r\n").await?;
    raw.expect("+OK").await?;
    raw.send("UNSUB 1\r\n").await?;
    raw.expect("+OK").await?;
    raw.fence().await
}

async fn publish_and_subscribe(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [sub, publisher]);
    sub.send("SUB orders.new 17\r\n").await?;
    sub.fence().await?;
    publisher
        .send("PUB orders.new 5\r\nhello\r\nPUB orders.new back.to.me 0\r\n\r\nPUB other 1\r\nx\r\n")
        .await?;
    publisher.fence().await?;
    sub.expect("MSG orders.new 17 5").await?;
    sub.expect("hello").await?;
    sub.expect("MSG orders.new 17 back.to.me 0").await?;
    sub.expect("").await?;
    sub.fence().await
}

async fn spelling_of_operations_is_lenient(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("sub  a\t1\r\npub a   2\r\nhi\r\nPuB\ta 2\r\nho\r\nping\r\n").await?;
    ensure!(raw.message().await?.payload == b"hi");
    ensure!(raw.message().await?.payload == b"ho");
    raw.expect("PONG").await?;
    // A bare line feed ends a control line too.
    raw.send("PING\n").await?;
    raw.expect("PONG").await
}

async fn frames_may_be_split_anywhere(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, WITH_HEADERS).await?;
    let frames = "SUB a.* 1\r\nPUB a.b 4\r\nx\r\ny\r\nHPUB a.c r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nab\r\n";
    for at in 1..frames.len() {
        let (first, second) = frames.split_at(at);
        raw.send(first).await?;
        raw.send(second).await?;
        let (one, two) = (raw.message().await?, raw.message().await?);
        ensure!(one.subject == "a.b" && one.payload == b"x\r\ny", "split at {at}: {one:?}");
        ensure!(two.headers == "NATS/1.0\r\nA: b\r\n\r\n" && two.payload == b"ab", "split at {at}: {two:?}");
        ensure!(two.reply.as_deref() == Some("r"), "split at {at}: {two:?}");
        raw.send("UNSUB 1\r\n").await?;
        raw.fence().await?;
    }
    for byte in frames.as_bytes() {
        raw.send([*byte]).await?;
    }
    ensure!(raw.message().await?.payload == b"x\r\ny" && raw.message().await?.payload == b"ab");
    Ok(())
}

async fn wildcards_and_bad_subjects(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    for bad in ["a..b", ".a", "a.", "a.>.b"] {
        raw.send(format!("SUB {bad} 1\r\n")).await?;
        raw.expect_start("-ERR 'Invalid Subject'").await?;
    }
    raw.fence().await?;
    // A star or a tail mark inside a token is a letter like any other.
    raw.send("SUB a*.b 1\r\nPUB ax.b 0\r\n\r\nPUB a*.b 0\r\n\r\n").await?;
    ensure!(raw.message().await?.subject == "a*.b");
    raw.send("SUB x.*.z 2\r\nSUB x.> 3\r\nPUB x 0\r\n\r\nPUB x.y 0\r\n\r\nPUB x.y.z 0\r\n\r\n").await?;
    let mut got = Vec::new();
    for _ in 0..3 {
        let message = raw.message().await?;
        got.push(format!("{} {}", message.subject, message.sid));
    }
    got.sort();
    ensure!(got == ["x.y 3", "x.y.z 2", "x.y.z 3"], "{got:?}");
    raw.fence().await
}

async fn a_subject_may_be_written_with_wildcards(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("SUB a.* 1\r\nSUB a.> 2\r\nSUB *.* 3\r\nSUB a.b 4\r\nSUB a.*.c 5\r\nSUB > 6\r\n").await?;
    raw.send("SUB a.> q 7\r\nPUB a.* 1\r\nx\r\nPUB a.> 1\r\ny\r\nPING\r\n").await?;
    let mut got = Vec::new();
    for _ in 0..if kind == Kind::Stock { 10 } else { 8 } {
        let message = raw.message().await?;
        got.push(format!("{} {}", message.subject, message.sid));
    }
    got.sort();
    // To whoever takes all it stands for, and to nobody twice.
    let one = ["a.* 1", "a.* 2", "a.* 3", "a.* 6", "a.* 7"];
    // To nats-server the tail mark is a token like any other here.
    let all: &[&str] = match kind {
        Kind::Stock => &["a.> 1", "a.> 2", "a.> 3", "a.> 6", "a.> 7"],
        _ => &["a.> 2", "a.> 6", "a.> 7"],
    };
    ensure!(got == [&one[..], all].concat(), "{got:?}");
    raw.expect("PONG").await
}

async fn pedantic_connections_are_told_of_bad_publish_subjects(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"pedantic":true}"#).await?;
    raw.send("PUB a.* 2\r\nhi\r\n").await?;
    raw.expect_start("-ERR 'Invalid Publish Subject'").await?;
    raw.fence().await
}

async fn unsubscribe_now_and_after_some_messages(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n").await?;
    ensure!(raw.message().await?.payload == b"1" && raw.message().await?.payload == b"2");
    raw.fence().await?;
    // Messages that came before the limit was set count too.
    raw.send("SUB b 2\r\nPUB b 1\r\n1\r\nPUB b 1\r\n2\r\nUNSUB 2 1\r\nPUB b 1\r\n3\r\n").await?;
    ensure!(raw.message().await?.payload == b"1" && raw.message().await?.payload == b"2");
    raw.fence().await?;
    raw.send("SUB c 3\r\nUNSUB 3\r\nPUB c 1\r\nx\r\nUNSUB 99\r\n").await?;
    raw.fence().await
}

async fn unsubscribing_frees_nothing_else(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("SUB a 1\r\nSUB a 2\r\nSUB a q 3\r\nUNSUB 1\r\nPUB a 1\r\nx\r\n").await?;
    let mut sids = vec![raw.message().await?.sid, raw.message().await?.sid];
    sids.sort();
    ensure!(sids == ["2", "3"], "{sids:?}");
    raw.fence().await
}

async fn no_echo_spares_the_publisher(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [other]);
    let mut raw = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"echo":false}"#).await?;
    other.send("SUB a 1\r\n").await?;
    other.fence().await?;
    raw.send("SUB a 1\r\nPUB a 1\r\nx\r\n").await?;
    raw.fence().await?;
    ensure!(other.message().await?.payload == b"x");
    other.send("PUB a 1\r\ny\r\n").await?;
    ensure!(raw.message().await?.payload == b"y");
    Ok(())
}

const WITH_HEADERS: &str = r#"{"verbose":false,"headers":true,"no_responders":true}"#;

async fn headers_are_delivered_as_sent(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, WITH_HEADERS).await?;
    let head = "NATS/1.0\r\nKey:  value \r\nkey: other\r\nKey: again\r\nEmpty:\r\n\r\n";
    let total = head.len() + 2;
    raw.send(format!("SUB a 1\r\nHPUB a {} {total}\r\n{head}ok\r\n", head.len())).await?;
    let message = raw.message().await?;
    ensure!(message.headers == head && message.payload == b"ok", "{message:?}");
    raw.send(format!("HPUB a re {0} {0}\r\n{head}\r\n", head.len())).await?;
    let message = raw.message().await?;
    ensure!(message.headers == head && message.payload.is_empty(), "{message:?}");
    ensure!(message.reply.as_deref() == Some("re"), "{message:?}");
    raw.fence().await
}

async fn subscribers_without_headers_get_the_payload_only(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut publisher = Raw::logged_in(server.addresses.clients, WITH_HEADERS).await?;
    let mut old = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"headers":false}"#).await?;
    old.send("SUB a 1\r\n").await?;
    old.fence().await?;
    publisher.send("HPUB a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n").await?;
    old.expect("MSG a 1 2").await?;
    old.expect("ok").await
}

async fn requests_without_responders_get_a_503(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, WITH_HEADERS).await?;
    raw.send("SUB in.* 9\r\nPUB nobody in.1 1\r\nx\r\n").await?;
    let message = raw.message().await?;
    ensure!(message.subject == "in.1" && message.sid == "9" && message.payload.is_empty(), "{message:?}");
    ensure!(message.headers == "NATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n", "{message:?}");
    raw.fence().await?;
    // Nobody asked for it on a connection that did not opt in.
    let mut old = Raw::logged_in(server.addresses.clients, QUIET).await?;
    old.send("SUB in.* 9\r\nPUB nobody in.1 1\r\nx\r\n").await?;
    old.fence().await
}

async fn queue_groups_get_one_copy_each(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("SUB a.> q 1\r\nSUB a.* q 2\r\nSUB a.b r 3\r\nSUB a.b 4\r\n").await?;
    for _ in 0..50 {
        raw.send("PUB a.b 1\r\nx\r\n").await?;
    }
    let mut counts = [0; 5];
    for _ in 0..150 {
        let sid: usize = raw.message().await?.sid.parse()?;
        counts[sid] += 1;
    }
    raw.fence().await?;
    ensure!(counts[1] + counts[2] == 50 && counts[3] == 50 && counts[4] == 50, "{counts:?}");
    ensure!(counts[1] > 0 && counts[2] > 0, "one member of the group was never chosen: {counts:?}");
    Ok(())
}

async fn payloads_may_hold_anything(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [raw]);
    raw.send("SUB a 1\r\n").await?;
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for payload in [b"\r\nPUB a 1\r\nx\r\n".as_slice(), b"", b"\0\0\r\n\r\n", &every_byte] {
        raw.send(format!("PUB a {}\r\n", payload.len())).await?;
        raw.send(payload).await?;
        raw.send("\r\n").await?;
        let message = raw.message().await?;
        ensure!(message.payload == payload, "{} bytes came back as {}", payload.len(), message.payload.len());
    }
    raw.fence().await
}

async fn a_pong_says_that_everything_before_it_is_in_force(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [sub, publisher]);
    for i in 0..1000 {
        sub.send(format!("SUB s.{i} {i}\r\n")).await?;
        sub.fence().await?;
        publisher.send(format!("PUB s.{i} 1\r\nx\r\n").repeat(3)).await?;
        publisher.fence().await?;
        sub.send("PING\r\n").await?;
        for _ in 0..3 {
            let message = sub.message().await.with_context(|| format!("round {i}"))?;
            ensure!(message.sid == i.to_string(), "{message:?}");
        }
        sub.expect("PONG").await?;
        sub.send(format!("UNSUB {i}\r\n")).await?;
        sub.fence().await?;
        publisher.send(format!("PUB s.{i} 1\r\nx\r\n")).await?;
        publisher.fence().await?;
        sub.fence().await.with_context(|| format!("after the end of round {i}"))?;
    }
    Ok(())
}

async fn unknown_operations_end_the_connection(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    for junk in ["HELLO\r\n", "GET / HTTP/1.1\r\n", "PUBLISH a 1\r\nx\r\n", "SUBa 1\r\n"] {
        let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
        raw.send(junk).await?;
        let said = raw.closed().await?;
        ensure!(said.starts_with("-ERR 'Unknown Protocol Operation'"), "{junk:?}: {said:?}");
    }
    Ok(())
}

async fn payload_without_its_end_ends_the_connection(kind: Kind) -> Result<()> {
    clients!(kind, "", server, [sub, raw]);
    sub.send("SUB a 1\r\n").await?;
    sub.fence().await?;
    raw.send("PUB a 2\r\nhiho\r\nPUB a 2\r\nhi\r\n").await?;
    ensure!(raw.closed().await?.starts_with("-ERR '"), "no error");
    sub.fence().await
}

async fn who_has_logged_in_is_told_the_account(kind: Kind) -> Result<()> {
    let conf = "accounts { A { users: [{user: a, password: x}] }, S { users: [{user: s, password: x}] } }\n\
                system_account: S\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    for (user, account, system) in [("a", "A", false), ("s", "S", true)] {
        let mut raw = Raw::connect(server.addresses.clients).await?;
        let first = raw.info().await?;
        ensure!(first.get("connect_info").is_none() && first.get("remote_account").is_none(), "{first}");
        let options = format!(r#"{{"verbose":false,"protocol":1,"user":"{user}","pass":"x"}}"#);
        raw.send(format!("CONNECT {options}\r\nPING\r\n")).await?;
        raw.expect("PONG").await?;
        let info = raw.info().await?;
        ensure!(info["connect_info"] == true && info["remote_account"] == account, "{info}");
        ensure!((info["acc_is_sys"] == true) == system, "{info}");
        // Everything else is as before: clients take it for the whole.
        for field in ["server_id", "client_id", "port", "max_payload", "auth_required"] {
            ensure!(info[field] == first[field], "{field}: {info} {first}");
        }
        raw.send("PING\r\n").await?;
        raw.expect("PONG").await?;
        raw.fence().await?;
    }
    // Who does not understand it is not told.
    let mut raw =
        Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"user":"a","pass":"x"}"#).await?;
    raw.fence().await
}

async fn clients_are_asked_for_a_sign_of_life_soon(kind: Kind) -> Result<()> {
    // The default interval is two minutes: there are programs that wait for a second line to see that a server runs.
    clients!(kind, "", server, [quiet]);
    quiet.expect("PING").await?;
    quiet.send("PONG\r\n").await?;
    quiet.fence().await
}

async fn headers_can_be_switched_off(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "no_header_support: true\n").await? else { return Ok(()) };
    let info = Raw::connect(server.addresses.clients).await?.info().await?;
    ensure!(info["headers"] == false, "{info}");
    let mut raw = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"headers":true}"#).await?;
    raw.send("SUB a 1\r\nPUB a 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.payload == b"x");
    raw.send("HPUB a 12 13\r\nNATS/1.0\r\n\r\ny\r\n").await?;
    ensure!(!raw.closed().await?.contains("MSG"));
    Ok(())
}
