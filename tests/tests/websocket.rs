//! Clients that speak WebSocket: the usual scenarios through that port, who is let in, and frames that break the rules.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{Client, ConfServer, Door, Kind, on_both, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_both! {
    nats_go_in_clear
    a_page_is_let_in_by_its_origin
    frames_may_be_cut_anywhere_and_pings_are_answered
    frames_that_break_the_rules_end_the_connection
    a_user_comes_in_by_the_kinds_of_connection_it_may_use
}

async fn nats_go_in_clear(kind: Kind) -> Result<()> {
    if !Client::Go.installed_or_skip() {
        return Ok(());
    }
    match Door::conf_websocket(kind).await? {
        Some(door) => door.passes_all_of(Client::Go).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn nats_go_through_the_gateway_with_a_token() -> Result<()> {
    if !Client::Go.installed_or_skip() {
        return Ok(());
    }
    Door::gateway_websocket().await?.passes_all_of(Client::Go).await
}

/// A server with a port for WebSocket in clear; `more` goes into its block, `top` beside it.
async fn server(kind: Kind, more: &str, top: &str) -> Result<Option<(ConfServer, SocketAddr)>> {
    let conf = format!("websocket {{ listen: \"127.0.0.1:-1\", no_tls: true {more} }}\n{top}");
    let Some(server) = ConfServer::fresh(kind, &conf).await? else { return Ok(None) };
    let address = server.addresses.websocket.context("no port for WebSocket")?;
    Ok(Some((server, address)))
}

/// One connection, after its request.
struct Page {
    stream: TcpStream,
    /// The status line of the answer.
    status: String,
    /// What has come behind it.
    came: Vec<u8>,
}

impl Page {
    async fn ask(address: SocketAddr, headers: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut page = Self { stream, status: String::new(), came: Vec::new() };
        let head = within("the answer's head", async {
            loop {
                if let Some(end) = page.came.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    return Ok::<_, anyhow::Error>(page.came.drain(..end + 4).collect::<Vec<_>>());
                }
                page.more().await?;
            }
        })
        .await??;
        page.status = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        Ok(page)
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.came).await?;
        ensure!(read > 0, "the server has closed");
        Ok(())
    }

    /// The next frame: its first byte and its payload. The server's own PING is passed over.
    async fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        within("a frame", async {
            loop {
                if let Some((used, payload)) = whole(&self.came) {
                    let first = self.came[0];
                    self.came.drain(..used);
                    if payload != b"PING\r\n" {
                        return Ok((first, payload));
                    }
                    continue;
                }
                self.more().await?;
            }
        })
        .await?
    }

    /// Sends a masked frame, `at_once` bytes at a time.
    async fn say(&mut self, first: u8, payload: &[u8], at_once: usize) -> Result<()> {
        let mask = [7_u8, 11, 13, 17];
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len())?];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.set_nodelay(true)?;
        for part in frame.chunks(at_once) {
            self.stream.write_all(part).await?;
        }
        Ok(())
    }
}

/// A frame at the start of `bytes`, as servers send them: how long it is, and its payload.
fn whole(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (head, len) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (2, usize::from(short)),
    };
    Some((head + len, bytes.get(head..head + len)?.to_vec()))
}

async fn a_page_is_let_in_by_its_origin(kind: Kind) -> Result<()> {
    let more = ", allowed_origins: [\"https://app.example.com\"]";
    let Some((_server, address)) = server(kind, more, "").await? else { return Ok(()) };
    for (headers, status) in [
        ("", "101"),
        ("Origin: https://app.example.com\r\n", "101"),
        ("Origin: https://app.example.com:443\r\n", "101"),
        ("Origin: http://app.example.com\r\n", "403"),
        ("Origin: https://evil.example.com\r\n", "403"),
    ] {
        let page = Page::ask(address, headers).await?;
        ensure!(page.status.contains(status), "{headers}: {}", page.status);
    }
    Ok(())
}

async fn frames_may_be_cut_anywhere_and_pings_are_answered(kind: Kind) -> Result<()> {
    let Some((_server, address)) = server(kind, "", "").await? else { return Ok(()) };
    for at_once in [1, 5, 1000] {
        let mut page = Page::ask(address, "").await?;
        let (first, info) = page.frame().await?;
        ensure!(first == 0x82 && info.starts_with(b"INFO {"), "{first:x}");
        // One line in three frames of one message, with a ping between them.
        page.say(0x02, b"CONNECT {\"verbose\":false}\r\nPI", at_once).await?;
        page.say(0x89, b"there?", at_once).await?;
        page.say(0x00, b"NG\r", at_once).await?;
        page.say(0x80, b"\n", at_once).await?;
        let mut heard = [page.frame().await?, page.frame().await?];
        heard.sort();
        ensure!(heard == [(0x82, b"PONG\r\n".to_vec()), (0x8a, b"there?".to_vec())], "{at_once}: {heard:?}");
        page.say(0x88, &1000_u16.to_be_bytes(), at_once).await?;
        let (first, code) = page.frame().await?;
        ensure!(first == 0x88 && code.starts_with(&1000_u16.to_be_bytes()), "{first:x} {code:?}");
    }
    Ok(())
}

async fn frames_that_break_the_rules_end_the_connection(kind: Kind) -> Result<()> {
    let Some((_server, address)) = server(kind, "", "").await? else { return Ok(()) };
    let unmasked = b"\x82\x06PING\r\n".as_slice();
    let reserved = b"\xf2\x86\x00\x00\x00\x00PING\r\n".as_slice();
    let unknown = b"\x83\x80\x00\x00\x00\x00".as_slice();
    let nothing_continued = b"\x80\x80\x00\x00\x00\x00".as_slice();
    for bytes in [unmasked, reserved, unknown, nothing_continued] {
        let mut page = Page::ask(address, "").await?;
        page.frame().await?;
        page.stream.write_all(bytes).await?;
        within("the end", async { while page.more().await.is_ok() {} }).await?;
        ensure!(!page.came.windows(4).any(|bytes| bytes == b"PONG"), "{bytes:?}");
    }
    Ok(())
}

async fn a_user_comes_in_by_the_kinds_of_connection_it_may_use(kind: Kind) -> Result<()> {
    let users = "authorization { users: [\n\
        { user: page, password: p, allowed_connection_types: [WEBSOCKET] }\n\
        { user: app, password: p, allowed_connection_types: [STANDARD] }\n] }\n";
    let Some((server, address)) = server(kind, "", users).await? else { return Ok(()) };
    for (user, by_websocket) in [("page", true), ("app", false)] {
        let mut page = Page::ask(address, "").await?;
        page.frame().await?;
        let connect = format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}\r\nPING\r\n");
        page.say(0x82, connect.as_bytes(), 1000).await?;
        let (_, answer) = page.frame().await?;
        ensure!(answer.starts_with(b"PONG") == by_websocket, "{user}: {}", String::from_utf8_lossy(&answer));
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), "p".to_owned());
        let plain = options.connect(server.url()).await;
        ensure!(plain.is_ok() != by_websocket, "{user}: {plain:?}");
    }
    Ok(())
}
