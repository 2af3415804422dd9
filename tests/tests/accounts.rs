//! Accounts that share streams and services, on both servers.

use anyhow::{Result, ensure};
use gatehouse_tests::{ConfServer, Kind, Raw, on_both};
use serde_json::{Value, json};

on_both! {
    streams_cross_under_their_names_here
    services_answer_across_accounts
    answers_of_many_parts
    nobody_there_is_said_across_accounts
    queue_groups_and_private_exports
    the_system_answers
    a_reload_changes_users_and_rights
    a_reload_changes_what_crosses
    subjects_stand_for_others
    an_account_without_streams_is_told_so
    streams_elsewhere_answer_for_themselves
}

const USERS: &str = "users: [{user: a, password: x}]";

async fn start(kind: Kind, a: &str, b: &str) -> Result<Option<(ConfServer, Raw, Raw)>> {
    let users = |name: &str| USERS.replace("user: a", &format!("user: {name}"));
    let conf = format!(
        "accounts {{\n A {{ {}, {a} }}\n B {{ {}, {b} }}\n C {{ {} }}\n}}\n",
        users("a"),
        users("b"),
        users("c")
    );
    let Some(server) = ConfServer::fresh(kind, &conf).await? else { return Ok(None) };
    let (a, b) = (login(&server, "a").await?, login(&server, "b").await?);
    Ok(Some((server, a, b)))
}

async fn login(server: &ConfServer, user: &str) -> Result<Raw> {
    let options =
        format!(r#"{{"verbose":false,"headers":true,"no_responders":true,"user":"{user}","pass":"x"}}"#);
    Raw::logged_in(server.addresses.clients, &options).await
}

async fn streams_cross_under_their_names_here(kind: Kind) -> Result<()> {
    let exports = "exports: [{stream: 'orders.*'}, {stream: 'plain.>'}]";
    let imports = "imports: [{stream: {account: A, subject: 'orders.*'}, to: 'from.$1.orders'}, \
                   {stream: {account: A, subject: 'plain.one'}, prefix: pre}]";
    let Some((server, mut a, mut b)) = start(kind, exports, imports).await? else { return Ok(()) };
    let mut c = login(&server, "c").await?;
    c.send("SUB > 1\r\n").await?;
    c.fence().await?;
    b.send("SUB from.> 1\r\nSUB pre.> 2\r\nSUB orders.* 3\r\n").await?;
    b.fence().await?;
    a.send("PUB orders.7 in.1 1\r\nx\r\nPUB plain.one 1\r\ny\r\nPUB plain.two 1\r\nz\r\n").await?;
    a.fence().await?;
    let first = b.message().await?;
    ensure!(first.subject == "from.7.orders" && first.sid == "1" && first.reply.as_deref() == Some("in.1"));
    let second = b.message().await?;
    ensure!(second.subject == "pre.plain.one" && second.payload == b"y", "{second:?}");
    b.fence().await?;
    c.fence().await
}

async fn services_answer_across_accounts(kind: Kind) -> Result<()> {
    let exports = "exports: [{service: 'help.*'}]";
    let imports = "imports: [{service: {account: A, subject: 'help.*'}, to: 'ask.$1'}]";
    let Some((_server, mut a, mut b)) = start(kind, exports, imports).await? else { return Ok(()) };
    a.send("SUB help.* q 1\r\n").await?;
    a.fence().await?;
    b.send("SUB _INBOX.> 1\r\n").await?;
    for turn in 0..3 {
        b.send(format!("PUB ask.me _INBOX.{turn} 1\r\n?\r\n")).await?;
        let request = a.message().await?;
        ensure!(request.subject == "help.me" && request.payload == b"?", "{request:?}");
        ensure!(request.headers.contains("Nats-Request-Info: {\"acc\":\"B\""), "{request:?}");
        let reply = request.reply.unwrap_or_default();
        ensure!(reply.starts_with("_R_."), "{reply}");
        a.send(format!("PUB {reply} 2\r\nok\r\nPUB {reply} 2\r\nno\r\n")).await?;
        let answer = b.message().await?;
        ensure!(answer.subject == format!("_INBOX.{turn}") && answer.payload == b"ok", "{answer:?}");
        b.fence().await?;
    }
    Ok(())
}

async fn answers_of_many_parts(kind: Kind) -> Result<()> {
    let exports = "exports: [{service: list, response_type: stream}]";
    let imports = "imports: [{service: {account: A, subject: list}}]";
    let Some((_server, mut a, mut b)) = start(kind, exports, imports).await? else { return Ok(()) };
    a.send("SUB list 1\r\n").await?;
    a.fence().await?;
    b.send("SUB in.* 1\r\nPUB list in.1 0\r\n\r\n").await?;
    let reply = a.message().await?.reply.unwrap_or_default();
    for part in ["1", "2", "3"] {
        a.send(format!("PUB {reply} 1\r\n{part}\r\n")).await?;
        ensure!(b.message().await?.payload == part.as_bytes());
    }
    a.send(format!("PUB {reply} 0\r\n\r\n")).await?;
    ensure!(b.message().await?.payload.is_empty());
    a.send(format!("PUB {reply} 1\r\n4\r\n")).await?;
    a.fence().await?;
    b.fence().await
}

async fn nobody_there_is_said_across_accounts(kind: Kind) -> Result<()> {
    let exports = "exports: [{service: help}]";
    let imports = "imports: [{service: {account: A, subject: help}}]";
    let Some((_server, _a, mut b)) = start(kind, exports, imports).await? else { return Ok(()) };
    b.send("SUB in.* 1\r\nPUB help in.1 0\r\n\r\n").await?;
    let answer = b.message().await?;
    ensure!(answer.headers.starts_with("NATS/1.0 503"), "{answer:?}");
    Ok(())
}

async fn queue_groups_and_private_exports(kind: Kind) -> Result<()> {
    let exports = "exports: [{stream: jobs, accounts: [B]}]";
    let imports = "imports: [{stream: {account: A, subject: jobs}}]";
    let Some((server, mut a, mut b)) = start(kind, exports, imports).await? else { return Ok(()) };
    let mut other = login(&server, "b").await?;
    for member in [&mut b, &mut other] {
        member.send("SUB jobs workers 1\r\n").await?;
        member.fence().await?;
    }
    let mut total = 0;
    for _ in 0..20 {
        a.send("PUB jobs 1\r\nx\r\n").await?;
    }
    a.fence().await?;
    for member in [&mut b, &mut other] {
        member.send("PUB end 1\r\nx\r\nSUB end 9\r\nPUB end 1\r\nx\r\n").await?;
        while member.message().await?.subject == "jobs" {
            total += 1;
        }
    }
    ensure!(total == 20, "{total} of 20 came");
    Ok(())
}

async fn the_system_answers(kind: Kind) -> Result<()> {
    let conf = "accounts {\n A { users: [{user: a, password: x, permissions: {publish: '$SYS.>', subscribe: 'in.>'}}] }\n\
                SYS { users: [{user: s, password: x}] }\n}\nsystem_account: SYS\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let (mut a, mut s) = (login(&server, "a").await?, login(&server, "s").await?);
    a.send("SUB in.* 1\r\nPUB $SYS.REQ.USER.INFO in.1 0\r\n\r\n").await?;
    let info: Value = serde_json::from_slice(&a.message().await?.payload)?;
    ensure!(info["data"]["user"] == "a" && info["data"]["account"] == "A", "{info}");
    ensure!(info["data"]["permissions"]["subscribe"]["allow"][0] == "in.>", "{info}");
    ensure!(info["server"]["id"].is_string() && info["server"]["ver"].is_string(), "{info}");
    s.send("SUB in.* 1\r\nPUB $SYS.REQ.SERVER.PING in.1 0\r\n\r\n").await?;
    let stats: Value = serde_json::from_slice(&s.message().await?.payload)?;
    ensure!(stats["statsz"]["connections"] == 2, "{stats}");
    let id = stats["server"]["id"].as_str().unwrap_or_default().to_owned();
    for subject in ["$SYS.REQ.SERVER.PING.VARZ".to_owned(), format!("$SYS.REQ.SERVER.{id}.VARZ")] {
        s.send(format!("PUB {subject} in.2 0\r\n\r\n")).await?;
        let varz: Value = serde_json::from_slice(&s.message().await?.payload)?;
        ensure!(varz["data"]["server_id"] == id.as_str(), "{varz}");
    }
    // Members of other accounts learn nothing of the server.
    a.send("PUB $SYS.REQ.SERVER.PING.VARZ in.3 0\r\n\r\n").await?;
    let answer = a.message().await?;
    ensure!(answer.headers.starts_with("NATS/1.0 503"), "{answer:?}");
    Ok(())
}

async fn a_reload_changes_users_and_rights(kind: Kind) -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("gatehouse-test-")?;
    let conf = |a: &str, b: &str| {
        format!(
            "listen: \"127.0.0.1:-1\"\nauthorization {{ users: [{{user: a, password: x, {a}}}, {{user: b, password: {b}}}] }}\n"
        )
    };
    let Some(server) = ConfServer::start(kind, dir.path(), &conf("", "x")).await? else { return Ok(()) };
    let (mut a, mut b) = (login(&server, "a").await?, login(&server, "b").await?);
    a.send("SUB secret 1\r\nSUB open 2\r\n").await?;
    a.fence().await?;
    std::fs::write(dir.path().join("server.conf"), conf("permissions: {subscribe: open}", "y"))?;
    server.process.signal("HUP").await?;
    // Who proves himself otherwise now has to log in anew; who may less has less.
    b.closed().await?;
    a.expect_start("-ERR 'Permissions Violation for Subscription to \"secret\"").await?;
    ensure!(login(&server, "b").await.is_err(), "the old password still opens the door");
    a.send("PUB secret 1\r\nx\r\nPUB open 1\r\ny\r\n").await?;
    ensure!(a.message().await?.payload == b"y");
    Ok(())
}

async fn a_reload_changes_what_crosses(kind: Kind) -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("gatehouse-test-")?;
    let conf = |exports: &str, imports: &str| {
        format!(
            "listen: \"127.0.0.1:-1\"\naccounts {{\n A {{ users: [{{user: a, password: x}}], exports: [{exports}] }}\n B {{ users: [{{user: b, password: x}}], imports: [{imports}] }}\n}}\n"
        )
    };
    let import = |name: &str| format!("{{stream: {{account: A, subject: {name}}}}}");
    let both = "{stream: one}, {stream: two}, {service: help}";
    let first = conf(both, &import("one"));
    let Some(mut server) = ConfServer::start(kind, dir.path(), &first).await? else { return Ok(()) };
    let (mut a, mut b) = (login(&server, "a").await?, login(&server, "b").await?);
    a.send("SUB help 7\r\n").await?;
    a.fence().await?;
    b.send("SUB one 1\r\nSUB two 2\r\nSUB in.* 3\r\n").await?;
    b.fence().await?;
    a.send("PUB two 1\r\n-\r\nPUB one 1\r\n1\r\n").await?;
    ensure!(b.message().await?.payload == b"1", "what is not imported came");
    let second = conf(both, &format!("{}, {{service: {{account: A, subject: help}}}}", import("two")));
    std::fs::write(dir.path().join("server.conf"), second)?;
    server.process.signal("HUP").await?;
    server
        .process
        .wait_log("the reload", |log| log.contains("Reloaded server configuration").then_some(()))
        .await?;
    // Stock closes the clients of accounts that have changed when it likes; ours keeps them.
    let (mut a, mut b) = match kind {
        Kind::Ours => (a, b),
        _ => (login(&server, "a").await?, login(&server, "b").await?),
    };
    if kind != Kind::Ours {
        a.send("SUB help 7\r\n").await?;
        a.fence().await?;
        b.send("SUB one 1\r\nSUB two 2\r\nSUB in.* 3\r\n").await?;
        b.fence().await?;
    }
    a.send("PUB one 1\r\n-\r\nPUB two 1\r\n2\r\n").await?;
    ensure!(b.message().await?.payload == b"2", "what is no longer imported came");
    b.send("PUB help in.1 1\r\n?\r\n").await?;
    let asked = a.message().await?;
    a.send(&format!("PUB {} 1\r\n!\r\n", asked.reply.unwrap_or_default())).await?;
    ensure!(b.message().await?.payload == b"!");
    // What is wrong changes nothing.
    std::fs::write(dir.path().join("server.conf"), conf("{stream: one}", &import("two")))?;
    if kind == Kind::Ours {
        server.process.signal("HUP").await?;
        server
            .process
            .wait_log("a refusal", |log| log.contains("configuration refused").then_some(()))
            .await?;
        a.send("PUB two 1\r\n3\r\n").await?;
        ensure!(b.message().await?.payload == b"3");
    }
    Ok(())
}

async fn subjects_stand_for_others(kind: Kind) -> Result<()> {
    let conf = "mappings {\n foo: bar\n \"orders.*.*\": \"by.{{wildcard(2)}}.{{wildcard(1)}}\"\n \"part.*\": \"part.{{partition(3,1)}}.{{wildcard(1)}}\"\n split: [{destination: left, weight: 50%}, {destination: right, weight: 50}]\n lossy: [{destination: lossy, weight: 50%}]\n some: {dest: other, weight: 50%}\n}\naccounts { A { users: [{user: a, password: x, permissions: {publish: {allow: [there, foo, \"in.>\"]}}}], mappings: { foo: there, there: else } } }\nno_auth_user: n\nauthorization { users: [{user: n, password: n}] }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let mut client = Raw::logged_in(
        server.addresses.clients,
        "{\"verbose\":false,\"headers\":true,\"no_responders\":true}",
    )
    .await?;
    client.send("SUB > 1\r\n").await?;
    client.fence().await?;
    client
        .send("PUB foo in.1 1\r\nx\r\nPUB orders.7.eu 1\r\nx\r\nPUB part.abc 1\r\nx\r\nPUB none 1\r\nx\r\n")
        .await?;
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(client.message().await?.subject);
    }
    let partition = heard.get(2).cloned().unwrap_or_default();
    ensure!(heard == ["bar", "by.eu.7", &partition, "none"] && partition.ends_with(".abc"), "{heard:?}");
    for (subject, places, stays) in [
        ("split", ["left", "right"], 400),
        ("lossy", ["lossy", "lossy"], 0),
        ("some", ["some", "other"], 400),
    ] {
        client.send(&format!("PUB {subject} 1\r\nx\r\n").repeat(400)).await?;
        client.send("PUB end 1\r\nx\r\n").await?;
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        loop {
            let message = client.message().await?;
            if message.subject == "end" {
                break;
            }
            *counts.entry(message.subject).or_default() += 1;
        }
        // Far from where chance gets in four hundred draws.
        ensure!(
            places.iter().all(|place| counts.get(*place).is_some_and(|count| (100..300).contains(count))),
            "{subject}: {counts:?}"
        );
        ensure!(stays == 0 || counts.values().sum::<usize>() == stays, "{subject}: {counts:?}");
    }
    // Rights are asked for where a message goes, once.
    let mut a = login(&server, "a").await?;
    a.send("SUB there 1\r\nSUB else 2\r\n").await?;
    a.fence().await?;
    a.send("PUB foo 1\r\n1\r\nPUB there 1\r\n2\r\n").await?;
    ensure!(a.message().await?.subject == "there");
    a.expect_start("-ERR 'Permissions Violation for Publish to").await?;
    Ok(())
}

/// Users of accounts with (`a`) and without (`b`) streams; `b`'s account imports as told.
async fn with_streams(kind: Kind, exports: &str, imports: &str) -> Result<Option<(ConfServer, Raw)>> {
    let conf = format!(
        "jetstream {{ store_dir: \"store\" }}\naccounts {{\n A {{ jetstream: enabled, {}, {exports} }}\n B {{ {}, {imports} }}\n}}\n",
        USERS,
        USERS.replace("user: a", "user: b")
    );
    let Some(server) = ConfServer::fresh(kind, &conf).await? else { return Ok(None) };
    let mut b = login(&server, "b").await?;
    b.send("SUB in.* 1\r\n").await?;
    Ok(Some((server, b)))
}

async fn an_account_without_streams_is_told_so(kind: Kind) -> Result<()> {
    let Some((_server, mut b)) = with_streams(kind, "", "").await? else { return Ok(()) };
    let page = json!({ "total": 0, "offset": 0, "limit": 0 });
    let names = json!({ "total": 0, "offset": 0, "limit": 0, "streams": null });
    let streams = json!({ "total": 0, "offset": 0, "limit": 0, "streams": [] });
    let consumers = json!({ "total": 0, "offset": 0, "limit": 0, "consumers": [] });
    let nothing = json!({});
    // What is asked, the type of the answer, and what stands in it beside the error.
    let table = [
        ("INFO", "account_info", &nothing),
        ("STREAM.NAMES", "stream_names", &names),
        ("STREAM.LIST", "stream_list", &streams),
        ("STREAM.CREATE.S", "stream_create", &nothing),
        ("STREAM.UPDATE.S", "stream_update", &nothing),
        ("STREAM.DELETE.S", "stream_delete", &nothing),
        ("STREAM.INFO.S", "stream_info", &page),
        ("STREAM.MSG.GET.S", "stream_msg_get", &nothing),
        ("CONSUMER.CREATE.S", "consumer_create", &nothing),
        ("CONSUMER.CREATE.S.c", "consumer_create", &nothing),
        ("CONSUMER.DURABLE.CREATE.S.c", "consumer_create", &nothing),
        ("CONSUMER.DELETE.S.c", "consumer_delete", &nothing),
        ("CONSUMER.INFO.S.c", "consumer_info", &nothing),
        ("CONSUMER.NAMES.S", "consumer_names", &consumers),
        ("CONSUMER.LIST.S", "consumer_list", &consumers),
    ];
    for (operation, kind, beside) in table {
        b.send(format!("PUB $JS.API.{operation} in.1 2\r\n{{}}\r\n")).await?;
        let answer: Value = serde_json::from_slice(&b.message().await?.payload)?;
        let mut wanted = beside.clone();
        wanted["type"] = json!(format!("io.nats.jetstream.api.v1.{kind}_response"));
        let description = "JetStream not enabled for account";
        wanted["error"] = json!({ "code": 503, "err_code": 10039, "description": description });
        ensure!(answer == wanted, "{operation}: {answer}");
    }
    for operation in ["CONSUMER.MSG.NEXT.S.c", "DIRECT.GET.S"] {
        b.send(format!("PUB $JS.API.{operation} in.1 0\r\n\r\n")).await?;
        let answer = b.message().await?;
        ensure!(answer.headers.starts_with("NATS/1.0 503"), "{operation}: {answer:?}");
    }
    Ok(())
}

async fn streams_elsewhere_answer_for_themselves(kind: Kind) -> Result<()> {
    let exports = "exports: [{service: '$JS.API.>'}]";
    let imports = "imports: [{service: {account: A, subject: '$JS.API.>'}}]";
    let Some((_server, mut b)) = with_streams(kind, exports, imports).await? else { return Ok(()) };
    b.send("PUB $JS.API.STREAM.NAMES in.1 0\r\n\r\n").await?;
    let answer: Value = serde_json::from_slice(&b.message().await?.payload)?;
    ensure!(answer["total"] == 0 && answer["error"].is_null(), "{answer}");
    // One answer, and no other after it.
    b.fence().await
}
