//! Bounds of the client protocol, on both servers: sizes, counts, times, and the words a client hears.

use anyhow::{Result, bail, ensure};
use gatehouse_tests::{ConfServer, Kind, Raw, eventually, on_both, within};

const QUIET: &str = r#"{"verbose":false,"pedantic":false}"#;

on_both! {
    a_payload_over_the_limit_ends_the_connection
    a_control_line_over_the_limit_ends_the_connection
    sizes_that_are_no_sizes_end_the_connection
    connections_over_the_limit_are_refused_with_a_reason
    fewer_connections_by_a_reload_end_some
    subscriptions_over_the_limit_are_refused
    silence_before_the_login_ends_in_an_authentication_timeout
    a_client_that_answers_no_ping_is_stale
    a_client_that_answers_pings_stays
    a_slow_reader_is_cut_and_delays_nobody
    many_publishers_and_one_unhurried_reader_lose_nothing
    lame_duck_tells_clients_and_then_closes
}

async fn a_payload_over_the_limit_ends_the_connection(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "max_payload: 100\n").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"headers":true}"#).await?;
    raw.send(format!("SUB a 1\r\nPUB a 100\r\n{}\r\n", "x".repeat(100))).await?;
    ensure!(raw.message().await?.payload.len() == 100);
    raw.send("PUB a 101\r\n").await?;
    let said = raw.closed().await?;
    ensure!(said.starts_with("-ERR 'Maximum Payload Violation'"), "{said}");
    // Headers count towards the size.
    let mut raw = Raw::logged_in(server.addresses.clients, r#"{"verbose":false,"headers":true}"#).await?;
    raw.send("HPUB a 50 101\r\n").await?;
    let said = raw.closed().await?;
    ensure!(said.starts_with("-ERR 'Maximum Payload Violation'"), "{said}");
    Ok(())
}

async fn a_control_line_over_the_limit_ends_the_connection(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "max_control_line: 512\n").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    raw.send(format!("SUB {} 1\r\n", "a".repeat(400))).await?;
    raw.fence().await?;
    raw.send(format!("SUB {} 1\r\n", "a".repeat(600))).await?;
    let said = raw.closed().await?;
    ensure!(said.to_lowercase().starts_with("-err 'maximum control line exceeded'"), "{said}");
    // Without an end in sight, the limit holds too.
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    raw.send(format!("SUB {}", "a".repeat(2000))).await?;
    let said = raw.closed().await?;
    ensure!(said.to_lowercase().starts_with("-err 'maximum control line exceeded'"), "{said}");
    Ok(())
}

async fn sizes_that_are_no_sizes_end_the_connection(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let options = r#"{"verbose":false,"headers":true}"#;
    for bad in
        ["PUB a x\r\n", "PUB a -1\r\n", "PUB a\r\n", "PUB a 99999999999999999999\r\n", "HPUB a 5 3\r\n"]
    {
        let mut raw = Raw::logged_in(server.addresses.clients, options).await?;
        raw.send(bad).await?;
        let said = raw.closed().await?;
        ensure!(said.starts_with("-ERR '") || said.is_empty(), "{bad:?}: {said:?}");
    }
    Raw::logged_in(server.addresses.clients, QUIET).await?.fence().await
}

async fn connections_over_the_limit_are_refused_with_a_reason(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "max_connections: 2\n").await? else { return Ok(()) };
    let first = Raw::logged_in(server.addresses.clients, QUIET).await?;
    let mut second = Raw::logged_in(server.addresses.clients, QUIET).await?;
    let mut third = Raw::connect(server.addresses.clients).await?;
    let said = third.closed().await?;
    ensure!(said.contains("-ERR 'maximum connections exceeded'"), "{said}");
    second.fence().await?;
    drop(first);
    eventually("a free place", || async { Raw::logged_in(server.addresses.clients, QUIET).await.ok() })
        .await?;
    Ok(())
}

async fn fewer_connections_by_a_reload_end_some(kind: Kind) -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("gatehouse-test-")?;
    let conf = |most: u32| format!("listen: \"127.0.0.1:-1\"\nmax_connections: {most}\n");
    let Some(server) = ConfServer::start(kind, dir.path(), &conf(2)).await? else { return Ok(()) };
    let mut first = Raw::logged_in(server.addresses.clients, QUIET).await?;
    let mut second = Raw::logged_in(server.addresses.clients, QUIET).await?;
    std::fs::write(dir.path().join("server.conf"), conf(1))?;
    server.process.signal("HUP").await?;
    let (said, mut other) = tokio::select! {
        said = first.closed() => (said?, second),
        said = second.closed() => (said?, first),
    };
    ensure!(said.contains("-ERR 'maximum connections exceeded'"), "{said}");
    other.fence().await?;
    std::fs::write(dir.path().join("server.conf"), conf(3))?;
    server.process.signal("HUP").await?;
    eventually("more connections again", || async {
        Raw::logged_in(server.addresses.clients, QUIET).await.ok()
    })
    .await?;
    other.fence().await
}

async fn subscriptions_over_the_limit_are_refused(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "max_subscriptions: 2\n").await? else { return Ok(()) };
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    raw.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n").await?;
    raw.expect_start("-ERR 'maximum subscriptions exceeded'").await?;
    raw.send("UNSUB 1\r\nSUB d 4\r\nPUB d 1\r\nx\r\nPUB c 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.sid == "4");
    raw.fence().await
}

async fn silence_before_the_login_ends_in_an_authentication_timeout(kind: Kind) -> Result<()> {
    let conf = "authorization { token: secret, timeout: 0.3 }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let mut raw = Raw::connect(server.addresses.clients).await?;
    raw.info().await?;
    let said = raw.closed().await?;
    ensure!(said.starts_with(&format!("-ERR '{}'", gatehouse_tests::late_login(kind))), "{said}");
    Ok(())
}

async fn a_client_that_answers_no_ping_is_stale(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "ping_interval: \"200ms\"\nping_max: 1\n").await? else {
        return Ok(());
    };
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    raw.expect("PING").await?;
    let said = raw.closed().await?;
    ensure!(said.contains("-ERR 'Stale Connection'"), "{said:?}");
    Ok(())
}

async fn a_client_that_answers_pings_stays(kind: Kind) -> Result<()> {
    let Some(server) = ConfServer::fresh(kind, "ping_interval: \"100ms\"\nping_max: 1\n").await? else {
        return Ok(());
    };
    let mut raw = Raw::logged_in(server.addresses.clients, QUIET).await?;
    for _ in 0..5 {
        raw.expect("PING").await?;
        raw.send("PONG\r\n").await?;
    }
    Ok(())
}

async fn a_slow_reader_is_cut_and_delays_nobody(kind: Kind) -> Result<()> {
    let conf = "debug: true\nmax_pending: 1048576\nwrite_deadline: \"1s\"\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let mut slow = Raw::logged_in(server.addresses.clients, QUIET).await?;
    slow.send("SUB a 1\r\n").await?;
    slow.fence().await?;
    let mut quick = Raw::logged_in(server.addresses.clients, QUIET).await?;
    quick.send("SUB a 1\r\n").await?;
    quick.fence().await?;
    let mut publisher = Raw::logged_in(server.addresses.clients, QUIET).await?;
    let payload = vec![b'x'; 64 * 1024];
    let publishing = async {
        // Far more than the slow reader's budget and both socket buffers hold.
        for _ in 0..600 {
            publisher.send(format!("PUB a {}\r\n", payload.len())).await?;
            publisher.send(&payload).await?;
            publisher.send("\r\n").await?;
        }
        publisher.fence().await
    };
    let reading = async {
        for _ in 0..600 {
            ensure!(quick.message().await?.payload.len() == 64 * 1024);
        }
        Ok(())
    };
    let (published, read) =
        within("the quick reader's messages", async { tokio::join!(publishing, reading) }).await?;
    published?;
    read?;
    // The reader that took nothing finds its connection closed.
    slow.closed().await?;
    quick.fence().await
}

/// Four publishers fill one reader's queue over and over: whoever empties it has to wake all that wait.
async fn many_publishers_and_one_unhurried_reader_lose_nothing(kind: Kind) -> Result<()> {
    const EACH: usize = 5000;
    let Some(server) = ConfServer::fresh(kind, "").await? else { return Ok(()) };
    let mut reader = Raw::logged_in(server.addresses.clients, QUIET).await?;
    reader.send("SUB a 1\r\n").await?;
    reader.fence().await?;
    let mut publishing = tokio::task::JoinSet::new();
    for name in 0..4 {
        let mut publisher = Raw::logged_in(server.addresses.clients, QUIET).await?;
        publishing.spawn(async move {
            for number in 0..EACH {
                let payload = format!("{name} {number} {}", "x".repeat(2000));
                publisher.send(format!("PUB a {}\r\n{payload}\r\n", payload.len())).await?;
            }
            publisher.fence().await
        });
    }
    let mut next = [0; 4];
    for _ in 0..4 * EACH {
        let payload = String::from_utf8(reader.message().await?.payload)?;
        let mut words = payload.split(' ').map(str::parse::<usize>);
        let (Some(Ok(name)), Some(Ok(number))) = (words.next(), words.next()) else { bail!("{payload:.40}") };
        ensure!(number == next[name], "publisher {name}: {number} in place of {}", next[name]);
        next[name] += 1;
    }
    while let Some(done) = publishing.join_next().await {
        done??;
    }
    reader.fence().await
}

async fn lame_duck_tells_clients_and_then_closes(kind: Kind) -> Result<()> {
    let conf = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"100ms\"\n";
    let Some(mut server) = ConfServer::fresh(kind, conf).await? else { return Ok(()) };
    let mut raw = Raw::connect(server.addresses.clients).await?;
    raw.info().await?;
    raw.login(r#"{"verbose":false,"protocol":1}"#).await?;
    raw.send("SUB a 1\r\n").await?;
    raw.fence().await?;
    server.process.signal("USR2").await?;
    let info = raw.info().await?;
    ensure!(info["ldm"] == true, "{info}");
    // What was accepted before the end is delivered.
    raw.send("PUB a 1\r\nx\r\n").await?;
    ensure!(raw.message().await?.payload == b"x");
    drop(raw);
    let status = server.process.ended().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}
