//! A link whose other end does not read: what waits for it is bounded, who publishes over it is held, and nobody else
//! notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use gatehouse_tests::{
    ConfServer, Kind, Pki, Raw, eventually, free_ports, known, next_payload, settle, within,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// `max_pending` of the bus; a link may hold four times as much.
const MAX_PENDING: usize = 2 << 20;
/// What may wait for one link.
const BUDGET: usize = 4 * MAX_PENDING;
/// What the bus may grow by while it holds that: buffers grow by doubling, and the rest of the process lives, too.
const MOST_GROWTH: u64 = 2 * BUDGET as u64 + (16 << 20);
/// Bytes of one message.
const PAYLOAD: usize = 4096;
/// Messages for the link that does not read: far more bytes than its budget and all socket buffers hold.
const MESSAGES: usize = 16_384;
/// Requests over the other link meanwhile.
const REQUESTS: usize = 200;

/// How the two links are made.
#[derive(Clone, Copy, Debug)]
struct Made {
    gateway: bool,
    tls: bool,
}

/// Our bus, and two stock servers linked to it.
struct Hub {
    bus: ConfServer,
    slow: ConfServer,
    quick: ConfServer,
    _pki: Pki,
}

fn tls_block(pki: &Pki, name: &str, verify: bool) -> String {
    let [cert, key, ca] =
        [format!("{name}.crt"), format!("{name}.key"), "internal-ca.crt".into()].map(|file| pki.text(&file));
    let verify = if verify { ", verify: true" } else { "" };
    format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\"{verify} }}")
}

/// The end of the configuration of one of the three.
fn links(pki: &Pki, made: Made, name: &str, own: u16, hub: Option<u16>) -> String {
    let certificate = if hub.is_some() { "event-gateway" } else { "internal-bus" };
    let tls = |verify| if made.tls { tls_block(pki, certificate, verify) } else { String::new() };
    let url = hub.map(|hub| format!("{}://localhost:{hub}", if made.tls { "tls" } else { "nats" }));
    if made.gateway {
        let remote = url.map(|url| format!("{{ name: hub, url: \"{url}\" }}")).unwrap_or_default();
        return format!(
            "gateway {{ name: {name}, listen: \"127.0.0.1:{own}\", advertise: \"localhost:{own}\"\n{}\ngateways: [{remote}] }}\n",
            tls(true)
        );
    }
    match url {
        None => format!("leafnodes {{ listen: \"127.0.0.1:{own}\"\ncompression: off\n{} }}\n", tls(true)),
        Some(url) => {
            format!("leafnodes {{ remotes: [ {{ url: \"{url}\"\ncompression: off\n{} }} ] }}\n", tls(false))
        }
    }
}

/// A bus with a small budget that waits for a link as long as a test may take.
fn bus_conf(links: &str) -> String {
    format!(
        "server_name: hub\nhttp: \"127.0.0.1:-1\"\nmax_pending: {MAX_PENDING}\nwrite_deadline: \"60s\"\n{links}"
    )
}

impl Hub {
    /// `None` where stock nats-server is not installed.
    async fn start(made: Made) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let [hub, slow, quick] = free_ports(3)?.try_into().ok().context("not three ports")?;
        let conf = format!("listen: \"127.0.0.1:-1\"\n{}", bus_conf(&links(&pki, made, "hub", hub, None)));
        let bus = ConfServer::named(Kind::Ours, pki.dir(), "hub", &conf).await?.context("no bus")?;
        let mut others = Vec::new();
        for (name, port) in [("slow", slow), ("quick", quick)] {
            let links = links(&pki, made, name, port, Some(hub));
            let conf = format!("server_name: {name}\nlisten: \"127.0.0.1:-1\"\n{links}");
            let Some(server) = ConfServer::named(Kind::Stock, pki.dir(), name, &conf).await? else {
                return Ok(None);
            };
            others.push(server);
        }
        let (Some(quick), Some(slow)) = (others.pop(), others.pop()) else { bail!("not two servers") };
        Ok(Some(Self { bus, slow, quick, _pki: pki }))
    }
}

/// The links to the server of that name, of either protocol.
async fn links_to(bus: &ConfServer, name: &str) -> Option<Vec<Value>> {
    let leafs = bus.page("/leafz").await.ok()?["leafs"].as_array()?.clone();
    let gateways = bus.page("/gatewayz").await.ok()?;
    let outbound = gateways["outbound_gateways"].as_object()?.values();
    let inbound = gateways["inbound_gateways"].as_object()?.values().filter_map(Value::as_array).flatten();
    let gateways = outbound.chain(inbound).map(|gateway| gateway["connection"].clone());
    Some(leafs.into_iter().chain(gateways).filter(|link| link["name"] == name).collect())
}

/// Bytes that wait for the link to the server of that name.
async fn waiting(bus: &ConfServer, name: &str) -> Option<u64> {
    links_to(bus, name).await?.iter().filter_map(|link| link["pending_bytes"].as_u64()).max()
}

/// Publishes to `subject` as fast as the server takes it; counts what it took.
async fn flood(bus: SocketAddr, subject: &'static str, sent: Arc<AtomicUsize>) -> Result<Raw> {
    let mut publisher = Raw::logged_in(bus, r#"{"verbose":false}"#).await?;
    let body = "x".repeat(PAYLOAD - 8);
    for number in 0..MESSAGES {
        publisher.send(format!("PUB {subject} {PAYLOAD}\r\n{number:08}{body}\r\n")).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    publisher.fence().await?;
    Ok(publisher)
}

async fn one_that_stands_still_holds_its_own_publishers_only(made: Made) -> Result<()> {
    let Some(hub) = Hub::start(made).await? else { return Ok(()) };
    let inside = async_nats::connect(hub.bus.url()).await?;
    let reading = async_nats::ConnectOptions::new().subscription_capacity(2 * MESSAGES);
    let reader = reading.connect(hub.slow.url()).await?;
    let mut seen = reader.subscribe("slow.data").await?;
    known(&inside, "slow.data", &mut seen).await?;
    let server = async_nats::connect(hub.quick.url()).await?;
    let mut asked = server.subscribe("quick.ask").await?;
    let serving = tokio::spawn(async move {
        while let Some(request) = asked.next().await {
            let reply = request.reply.context("a request without reply")?;
            server.publish(reply, request.payload).await?;
        }
        anyhow::Ok(())
    });
    let answered = || async { inside.request("quick.ask", "first".into()).await.ok() };
    eventually("an answer over the other link", answered).await?;

    let before = hub.bus.process.resident_bytes()?;
    hub.slow.process.signal("STOP").await?;
    let sent = Arc::new(AtomicUsize::new(0));
    let flooding = tokio::spawn(flood(hub.bus.addresses.clients, "slow.data", Arc::clone(&sent)));
    eventually("bytes that wait for the link", || async {
        waiting(&hub.bus, "slow").await.filter(|bytes| *bytes > 1 << 20)
    })
    .await?;
    let mut most = 0;
    for number in 0..REQUESTS {
        let answer =
            within("an answer over the other link", inside.request("quick.ask", number.to_string().into()));
        ensure!(answer.await??.payload == number.to_string(), "another answer");
        most = most.max(waiting(&hub.bus, "slow").await.context("the link is gone")?);
    }
    let grown = hub.bus.process.resident_bytes()?.saturating_sub(before);
    let taken = sent.load(Ordering::Relaxed);
    eprintln!("{made:?}: {taken} of {MESSAGES} messages taken, {most} bytes waited, {grown} bytes grown");
    ensure!(taken < MESSAGES && !flooding.is_finished(), "the publisher was not held");
    ensure!(most <= BUDGET as u64, "{most} bytes waited for a link that may hold {BUDGET}");
    ensure!(grown <= MOST_GROWTH, "the bus grew by {grown} bytes");

    hub.slow.process.signal("CONT").await?;
    let _publisher = within("the publisher", flooding).await???;
    for number in 0..MESSAGES {
        let got = next_payload(&mut seen).await?;
        ensure!(got.starts_with(&format!("{number:08}")), "another message than {number}");
    }
    serving.abort();
    Ok(())
}

macro_rules! on_links {
    ($($name:ident: $made:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> Result<()> {
            one_that_stands_still_holds_its_own_publishers_only($made).await
        }
    )*};
}

on_links! {
    a_leaf_that_stands_still_holds_its_own_publishers_only: Made { gateway: false, tls: false };
    a_leaf_over_tls_that_stands_still_holds_its_own_publishers_only: Made { gateway: false, tls: true };
    a_cluster_that_stands_still_holds_its_own_publishers_only: Made { gateway: true, tls: false };
    a_cluster_over_tls_that_stands_still_holds_its_own_publishers_only: Made { gateway: true, tls: true };
}

/// The other end of a link, in the test's own hand. Its socket takes little that is not read.
struct Peer(TcpStream);

impl Peer {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(32 * 1024)?;
        Ok(Self(within("a connection", socket.connect(address)).await??))
    }

    /// A leaf called `name` that wants `pattern`.
    async fn leaf(bus: &ConfServer, name: &str, pattern: &str) -> Result<Self> {
        let mut peer = Self::connect(bus.addresses.leafnodes.context("no leafnode listener")?).await?;
        peer.until("INFO ").await?;
        let connect =
            format!(r#"{{"server_id":"{name}","name":"{name}","version":"2.12.0","headers":true}}"#);
        peer.send(&format!("CONNECT {connect}\r\nPING\r\n")).await?;
        peer.until("PONG").await?;
        peer.send(&format!("LS+ {pattern}\r\nPING\r\n")).await?;
        peer.until("PONG").await?;
        Ok(peer)
    }

    /// The outbound connection of `bus` to a cluster `name`, for which the test listens; it wants `pattern`.
    async fn cluster(listener: &TcpListener, name: &str, pattern: &str) -> Result<Self> {
        let (stream, _) = within("the bus", listener.accept()).await??;
        let mut peer = Self(stream);
        let address = listener.local_addr()?;
        let info = format!(
            r#"{{"server_id":"{name}","server_name":"{name}","version":"2.12.0","proto":1,"host":"127.0.0.1","port":{},"headers":true,"max_payload":1048576,"gateway":"{name}","gateway_url":"{address}","gateway_nrp":true,"gateway_iom":true}}"#,
            address.port()
        );
        peer.send(&format!("INFO {info}\r\n")).await?;
        peer.until("PING").await?;
        let command = |number| {
            format!(r#"INFO {{"gateway":"{name}","gateway_cmd":{number},"gateway_cmd_payload":"JEc="}}"#)
        };
        let told = format!("{}\r\nRS+ $G {pattern}\r\n{}\r\nPONG\r\nPING\r\n", command(2), command(3));
        peer.send(&told).await?;
        peer.until("PONG").await?;
        Ok(peer)
    }

    async fn send(&mut self, text: &str) -> Result<()> {
        within("room to send", self.0.write_all(text.as_bytes())).await??;
        Ok(())
    }

    /// Reads lines until one begins with `word`.
    async fn until(&mut self, word: &str) -> Result<()> {
        let mut line = Vec::new();
        loop {
            line.push(within(word, self.0.read_u8()).await??);
            if line.ends_with(b"\r\n") {
                if line.starts_with(word.as_bytes()) {
                    return Ok(());
                }
                line.clear();
            }
        }
    }

    /// Reads until `done` bytes of payload have come; how many bytes came before `PONG`, and how many in all.
    async fn read_out(&mut self, done: usize) -> Result<(Option<usize>, usize)> {
        let (mut before, mut all) = (None, Vec::new());
        let mut buffer = vec![0; 64 * 1024];
        while all.len() < done {
            let count = within("bytes", self.0.read(&mut buffer)).await??;
            ensure!(count > 0, "the link has ended");
            let from = all.len().saturating_sub(8);
            all.extend_from_slice(&buffer[..count]);
            if before.is_none() {
                before = all[from..].windows(6).position(|window| window == b"PONG\r\n").map(|at| from + at);
            }
        }
        Ok((before, all.len()))
    }
}

/// An answer to PING overtakes what waits for a link that reads nothing.
async fn signs_of_life_overtake(bus: &ConfServer, mut peer: Peer, marker: &str) -> Result<()> {
    let inside = async_nats::connect(bus.url()).await?;
    let mut publisher = Raw::logged_in(bus.addresses.clients, r#"{"verbose":false}"#).await?;
    // Interest is not overtaken: that of the client's inbox is told before anything waits.
    settle(&inside).await?;
    let body = "x".repeat(PAYLOAD);
    // Below what holds publishers: all of it is taken, and waits.
    let mut waits = 0;
    let mut sent = 0;
    while waits < 512 * 1024 {
        publisher.send(format!("PUB slow.data {PAYLOAD}\r\n{body}\r\n")).await?;
        publisher.fence().await?;
        sent += PAYLOAD;
        waits = waiting(bus, "raw").await.context("the link is gone")?;
        ensure!(sent < 64 << 20, "nothing waits");
    }
    // Interest that is known behind the PING shows that the PING has been heard.
    peer.send(&format!("PING\r\n{marker}\r\n")).await?;
    eventually("interest behind the PING", || async {
        let asked =
            tokio::time::timeout(std::time::Duration::from_millis(200), inside.request("heard", "".into()));
        // Nobody answers, but somebody is there.
        asked.await.is_err().then_some(())
    })
    .await?;
    let (before, all) = peer.read_out(sent).await?;
    let before = before.context("no PONG")?;
    eprintln!("PONG after {before} of {all} bytes, {waits} of which waited");
    ensure!(all - before > 256 * 1024, "PONG came after {before} of {all} bytes");
    Ok(())
}

#[tokio::test]
async fn signs_of_life_overtake_what_waits_for_a_leaf() -> Result<()> {
    let conf = bus_conf("leafnodes { listen: \"127.0.0.1:-1\" }\n");
    let bus = ConfServer::fresh(Kind::Ours, &conf).await?;
    let bus = bus.context("no bus")?;
    let peer = Peer::leaf(&bus, "raw", "slow.data").await?;
    signs_of_life_overtake(&bus, peer, "LS+ heard").await
}

#[tokio::test]
async fn signs_of_life_overtake_what_waits_for_a_cluster() -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(32 * 1024)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(8)?;
    let remote = format!("{{ name: raw, url: \"nats://{}\" }}", listener.local_addr()?);
    let conf =
        bus_conf(&format!("gateway {{ name: hub, listen: \"127.0.0.1:-1\", gateways: [{remote}] }}\n"));
    let bus = ConfServer::fresh(Kind::Ours, &conf).await?;
    let bus = bus.context("no bus")?;
    let peer = Peer::cluster(&listener, "raw", "slow.data").await?;
    signs_of_life_overtake(&bus, peer, "RS+ $G heard").await
}

/// Links do not wait for one another: one that reads nothing is given up at its budget, and a third gets everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_that_reads_nothing_is_given_up_at_its_budget_and_others_go_on() -> Result<()> {
    let conf = bus_conf("leafnodes { listen: \"127.0.0.1:-1\" }\n");
    let bus = ConfServer::fresh(Kind::Ours, &conf).await?;
    let bus = bus.context("no bus")?;
    let mut slow = Peer::leaf(&bus, "slow", "slow.data").await?;
    let mut quick = Peer::leaf(&bus, "quick", "quick.data").await?;
    let mut from = Peer::leaf(&bus, "from", "nothing").await?;
    let before = bus.process.resident_bytes()?;
    let marks = MESSAGES / 16;
    let counting = tokio::spawn(async move {
        for number in 0..marks {
            quick.until("LMSG quick.data 8").await?;
            quick.until(&format!("{number:08}")).await?;
        }
        anyhow::Ok(())
    });
    let body = "x".repeat(PAYLOAD);
    let mut most = 0;
    for mark in 0..marks {
        for _ in 0..16 {
            from.send(&format!("LMSG slow.data {PAYLOAD}\r\n{body}\r\n")).await?;
        }
        from.send(&format!("LMSG quick.data 8\r\n{mark:08}\r\n")).await?;
        if mark % 16 == 0 {
            most = most.max(waiting(&bus, "slow").await.unwrap_or(0));
        }
    }
    within("everything over the other link", counting).await???;
    let grown = bus.process.resident_bytes()?.saturating_sub(before);
    eprintln!("at most {most} bytes waited, {grown} bytes grown");
    ensure!(most <= BUDGET as u64, "{most} bytes waited for a link that may hold {BUDGET}");
    ensure!(grown <= MOST_GROWTH, "the bus grew by {grown} bytes");
    // Its end comes behind what its socket still held.
    let mut rest = Vec::new();
    drop(within("the end of the slow link", slow.0.read_to_end(&mut rest)).await?);
    eventually("a bus without the slow link", || async {
        // Whether it is gone can only be told where the page is there.
        links_to(&bus, "slow").await?.is_empty().then_some(())
    })
    .await
}
