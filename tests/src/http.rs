//! The smallest HTTP client: one GET on a connection of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// What an HTTP server answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Header lines as sent.
    pub head: String,
    /// The body; chunks are joined.
    pub body: String,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {:.200}", self.body))
    }
}

/// Sends a request with a bearer token and a body in JSON, as the admin API takes it.
///
/// # Errors
/// As [`http_get`].
pub async fn http_api(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> Result<HttpAnswer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    within(&format!("{method} {path}"), send(address, method, path, &head, &body)).await?
}

/// Posts a form.
///
/// # Errors
/// As [`http_get`].
pub async fn http_form(address: SocketAddr, path: &str, form: &str) -> Result<HttpAnswer> {
    let head = "Content-Type: application/x-www-form-urlencoded\r\n";
    within(&format!("POST {path}"), send(address, "POST", path, head, form)).await?
}

/// Sends `GET path` and reads the answer.
///
/// # Errors
/// When the server is not there, is too slow, or does not answer in HTTP.
pub async fn http_get(address: SocketAddr, path: &str) -> Result<HttpAnswer> {
    within(&format!("GET {path}"), exchange(address, path)).await?
}

async fn exchange(address: SocketAddr, path: &str) -> Result<HttpAnswer> {
    send(address, "GET", path, "", "").await
}

async fn send(address: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> Result<HttpAnswer> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the HTTP head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { join_chunks(body)? } else { body.to_owned() };
    Ok(HttpAnswer { status, head: head.to_owned(), body })
}

fn join_chunks(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("no chunk size")?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk is cut short")?);
        rest = after.get(size + 2..).context("no end of a chunk")?;
    }
}
