//! A server on loopback sockets, against peers that do not play by the rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::{CloseReason, LeafPurpose, Limits, ListenerConfig, Open, Purpose, Role, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn listener(purpose: Purpose) -> ListenerConfig {
    ListenerConfig {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        purpose,
        tls: None,
        websocket: None,
        authenticator: Arc::new(Open),
        link_hold: Duration::from_millis(50),
        advertise: None,
        connect_urls: Vec::new(),
    }
}

fn server(limits: Limits) -> Server {
    Server::new(ServerConfig { name: "sockets".into(), cluster: None, limits })
}

fn leafnodes(server: &Server) -> ListenerConfig {
    let group = server.link_group("$G", None);
    listener(Purpose::Leafnodes(LeafPurpose {
        role: Role::Hub,
        crossing: None,
        group,
        compression: broker::Compression::default(),
    }))
}

/// Reads until `mark` was seen, or the end; returns all of it.
async fn read_to(stream: &mut TcpStream, mark: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&heard).contains(mark) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => heard.extend_from_slice(&chunk[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("nothing came");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_leafnode_that_never_gets_past_info_is_shown_out() {
    let server = server(Limits::default());
    let address = server.listen(leafnodes(&server)).unwrap();
    let mut peer = TcpStream::connect(address).await.unwrap();
    read_to(&mut peer, "\r\n").await;
    // The server may have closed before it has read everything.
    drop(peer.write_all("INFO {}\r\n".repeat(3_500).as_bytes()).await);
    read_to(&mut peer, "never").await;
    assert_eq!(server.counters().closed_for(CloseReason::ProtocolViolation), 1);
}

#[tokio::test]
async fn leafnodes_on_their_way_in_are_counted() {
    let server = server(Limits { max_connections: 2, ..Limits::default() });
    let address = server.listen(leafnodes(&server)).unwrap();
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut peer = TcpStream::connect(address).await.unwrap();
        assert!(read_to(&mut peer, "\r\n").await.starts_with("INFO"));
        inside.push(peer);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_to(&mut third, "INFO").await, "");
    assert_eq!(server.counters().closed_for(CloseReason::MaximumConnections), 1);
}

#[tokio::test]
async fn a_kicked_queue_member_gets_nothing_more() {
    let server = server(Limits::default());
    let address = server.listen(listener(Purpose::Clients)).unwrap();
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = TcpStream::connect(address).await.unwrap();
        member.write_all(b"CONNECT {\"verbose\":false}\r\nSUB jobs q 1\r\nPING\r\n").await.unwrap();
        let heard = read_to(&mut member, "PONG\r\n").await;
        let id = heard.split("\"client_id\":").nth(1).unwrap();
        let id: u64 = id[..id.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap();
        members.push((id, member));
    }
    let (id, mut kicked) = members.remove(0);
    assert!(server.kick(id));
    // The end of the stream: the socket lingers on for a moment, and counts as a connection still.
    assert_eq!(read_to(&mut kicked, "never").await.replace("PING\r\n", ""), "");
    let mut publisher = TcpStream::connect(address).await.unwrap();
    publisher.write_all(b"CONNECT {}\r\n").await.unwrap();
    publisher.write_all("PUB jobs 1\r\nx\r\n".repeat(40).as_bytes()).await.unwrap();
    publisher.write_all(b"PUB jobs 4\r\nlast\r\nPING\r\n").await.unwrap();
    read_to(&mut publisher, "PONG\r\n").await;
    let mut member = members.remove(0).1;
    member.write_all(b"UNSUB 1\r\nPING\r\n").await.unwrap();
    assert_eq!(read_to(&mut member, "PONG\r\n").await.matches("MSG jobs").count(), 41);
}

#[tokio::test]
async fn publishers_held_for_a_link_leave_nothing_behind() {
    let server = server(Limits::default());
    let crossing = broker::Crossing::compile(&[broker::RouteRule {
        subject: "out.>".into(),
        direction: broker::Direction::Inward,
        to: None,
        stamp: false,
    }])
    .unwrap();
    let _group = server.link_group("$G", Some(&crossing));
    let address = server.listen(listener(Purpose::Clients)).unwrap();
    for _ in 0..3 {
        let mut publisher = TcpStream::connect(address).await.unwrap();
        publisher.write_all(b"CONNECT {}\r\nPUB out.1 1\r\nx\r\n").await.unwrap();
        assert!(read_to(&mut publisher, "-ERR").await.contains("-ERR 'Stale Connection'"));
        assert_eq!(read_to(&mut publisher, "never").await.matches("-ERR").count(), 0);
    }
    assert_eq!(server.counters().link_held.get(), 3);
    assert!(server.counters().closed_for(CloseReason::LinkUnavailable) <= 3);
}

#[tokio::test]
async fn a_message_in_many_small_pieces_arrives_whole() {
    let server = server(Limits::default());
    let address = server.listen(listener(Purpose::Clients)).unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"CONNECT {}\r\nSUB big 1\r\n").await.unwrap();
    let payload: Vec<u8> = (0..700_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    client.write_all(format!("PUB big {}\r\n", payload.len()).as_bytes()).await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let sent = payload.clone();
    let writing = tokio::spawn(async move {
        for piece in sent.chunks(7_001) {
            writer.write_all(piece).await.unwrap();
        }
        writer.write_all(b"\r\nPING\r\n").await.unwrap();
        writer
    });
    let mut heard = Vec::new();
    let reading = async {
        let mut chunk = vec![0; 65_536];
        while !heard.ends_with(b"PONG\r\n") && !heard.ends_with(b"PONG\r\nPING\r\n") {
            let read = reader.read(&mut chunk).await.unwrap();
            assert!(read > 0);
            heard.extend_from_slice(&chunk[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    drop(writing.await.unwrap());
    assert!(heard.windows(payload.len()).any(|window| window == payload));
}
