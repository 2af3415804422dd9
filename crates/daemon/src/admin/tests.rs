//! The admin port over real loopback connections.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::serve::Limits;
use super::*;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Far beyond what any of this takes: a test that meets it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json\r\n"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

fn routes(readiness: &Readiness) -> AdminRoutes {
    AdminRoutes::new(Metrics::new("test", "0"), readiness.clone())
        .health(|query| if query.flag("ill") { Err("no streams".to_owned()) } else { Ok(()) })
        .document(
            "/varz",
            |query| json!({"port": 4222, "limit": query.number("limit"), "who": query.get("who")}),
        )
        .router(Router::new().route("/echo", post(async |body: Bytes| body)))
}

fn start(limits: Limits) -> (AdminHandle, Readiness) {
    let readiness = Readiness::new();
    let handle = AdminServer::bind_with(LOOPBACK.into(), routes(&readiness), None, limits).unwrap();
    (handle, readiness)
}

pub(super) async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: format!("{head}\r\n"), body: body.to_owned() }
}

async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    let text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    exchange(address, text.as_bytes()).await
}

#[tokio::test]
async fn the_probes() {
    let (handle, readiness) = start(Limits::default());
    let address = handle.local_addr();
    let well = request(address, "GET", "/healthz").await;
    assert_eq!((well.status, well.body.as_str()), (200, r#"{"status":"ok"}"#));
    let ill = request(address, "GET", "/healthz?ill=1").await;
    assert_eq!((ill.status, ill.json()), (503, json!({"status": "unavailable", "error": "no streams"})));

    let link = readiness.guard("link");
    let waiting = request(address, "GET", "/readyz").await;
    let expected = json!({"status": "not ready", "guards": [{"name": "link", "reason": "starting"}]});
    assert_eq!((waiting.status, waiting.json()), (503, expected));
    link.ready();
    let ready = request(address, "GET", "/readyz").await;
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready", "guards": []})));
    handle.shutdown().await;
}

#[tokio::test]
async fn metrics_documents_and_the_index() {
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    let metrics = request(address, "GET", "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        metrics.head
    );
    assert!(metrics.body.contains("gatehouse_build_info{"), "{}", metrics.body);

    let varz = request(address, "GET", "/varz?limit=16&who=a%20b").await;
    assert_eq!((varz.status, varz.json()), (200, json!({"port": 4222, "limit": 16, "who": "a b"})));

    let index = request(address, "GET", "/").await;
    assert!(index.head.contains("content-type: text/html"), "{}", index.head);
    for path in ["/healthz", "/readyz", "/metrics", "/varz"] {
        assert!(index.body.contains(&format!("<a href=\"{path}\">")), "{path}: {}", index.body);
    }
    handle.shutdown().await;
}

#[tokio::test]
async fn methods_and_paths() {
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    let head = request(address, "HEAD", "/varz").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(!head.head.contains("content-length: 0\r\n"), "{}", head.head);
    assert_eq!(request(address, "POST", "/varz").await.status, 405);
    assert_eq!(request(address, "DELETE", "/healthz").await.status, 405);
    assert_eq!(request(address, "GET", "/absent").await.status, 404);
    assert_eq!(request(address, "GET", "/echo").await.status, 405);
    let echo = b"POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    assert_eq!(exchange(address, echo).await.body, "hi");
    handle.shutdown().await;
}

#[tokio::test]
async fn what_is_too_large_or_no_http_is_refused() {
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    let length = MAX_BODY_BYTES + 1;
    let mut large =
        format!("POST /echo HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    large.resize(large.len() + length, b'x');
    assert_eq!(exchange(address, &large).await.status, 413);
    assert_eq!(exchange(address, b"\x16\x03\x01 junk\r\n\r\n").await.status, 400);
    // The server closes with part of this unread, so that the answer may get lost on the way; the end does not.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(2 * MAX_HEAD_BYTES));
    drop(stream.write_all(long.as_bytes()).await);
    let mut bytes = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap());
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&bytes));
    handle.shutdown().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_gives_its_place_back() {
    let limits = Limits { connections: 1, header_timeout: Duration::from_millis(200), ..Limits::default() };
    let (handle, _) = start(limits);
    let address = handle.local_addr();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTT").await.unwrap();
    // Served only after the two before it have lost their places.
    assert_eq!(request(address, "GET", "/healthz").await.status, 200);
    for stream in [&mut silent, &mut slow] {
        // An answer may come first; what counts is that the end does.
        timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    }
    // An idle connection between two requests loses its place as well.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    handle.shutdown().await;
}

#[tokio::test]
async fn a_connection_does_not_live_for_ever() {
    let (handle, _) = start(Limits { lifetime: Duration::from_millis(50), ..Limits::default() });
    let mut stream = TcpStream::connect(handle.local_addr()).await.unwrap();
    timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    handle.shutdown().await;
}

#[tokio::test]
async fn shutdown_closes_the_port() {
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(request(address, "GET", "/healthz").await.status, 200);
    timeout(PATIENCE, handle.shutdown()).await.unwrap();
    timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_probes_answer_while_the_data_plane_is_stuck() {
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    // This thread is the only one of the test's runtime: nothing but the admin thread can answer.
    let answer = thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    assert!(answer.join().unwrap().starts_with("HTTP/1.1 200 "));
    handle.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_bound() {
    let readiness = Readiness::new();
    let (handle, _) = start(Limits::default());
    let address = handle.local_addr();
    let told = AdminServer::bind(address, routes(&readiness)).unwrap_err().to_string();
    assert!(told.starts_with(&format!("admin port {address}: ")), "{told}");
    for path in ["/varz", "/healthz", "plain", "/", "/{x}"] {
        let told = AdminServer::bind(LOOPBACK.into(), routes(&readiness).document(path, |_| Value::Null))
            .unwrap_err();
        assert_eq!(told.to_string(), format!("admin path {path}: taken, or not a plain path"));
    }
    handle.shutdown().await;
}
