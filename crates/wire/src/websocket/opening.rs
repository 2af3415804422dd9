//! The opening handshake: one HTTP request, and its answer.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The longest request that is looked at. Browsers send cookies along; nothing here needs them.
pub const MAX_OPENING: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 100;
/// What the key is joined with before it is hashed.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request to speak WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// `Sec-WebSocket-Key`.
    pub key: String,
    /// `Host`.
    pub host: String,
    /// `Origin`: the page that asks, where a browser does.
    pub origin: Option<String>,
}

/// Why a request is refused: the status line of the answer, and a line to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Code and reason.
    pub status: &'static str,
    /// What is wrong.
    pub why: &'static str,
}

impl Rejection {
    const fn bad(why: &'static str) -> Self {
        Self { status: "400 Bad Request", why }
    }

    /// The page that asks may not.
    pub const ORIGIN: Self = Self { status: "403 Forbidden", why: "origin not allowed" };
    /// More than the request came before its answer.
    pub const EARLY: Self = Self::bad("bytes behind the request before it is answered");
    /// There is TLS, and the client speaks without.
    pub const IN_CLEAR: Self = Self::bad("this port speaks TLS");
    /// The request is longer than anybody needs.
    pub const TOO_LONG: Self =
        Self { status: "431 Request Header Fields Too Large", why: "the request is too long" };

    /// The whole answer.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let Self { status, why } = self;
        let version = if status.starts_with("426") { "Sec-WebSocket-Version: 13\r\n" } else { "" };
        let length = why.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{version}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
        )
        .into_bytes()
    }
}

/// Reads the request at the start of `bytes`; with it, how many bytes it took. `None`: it is not all there yet.
///
/// # Errors
/// It is no request to speak WebSocket as version 13 does.
pub fn parse_opening(bytes: &[u8]) -> Result<Option<(Opening, usize)>, Rejection> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_OPENING => return Err(Rejection::TOO_LONG),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Rejection::bad("not a HTTP request")),
    };
    if request.method != Some("GET") {
        return Err(Rejection { status: "405 Method Not Allowed", why: "request method must be GET" });
    }
    let values = |name: &'static str| {
        let named = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let lists = |name, word: &str| {
        values(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    let host = values("host").next().filter(|host| !host.is_empty());
    let host = host.ok_or(Rejection::bad("'Host' missing in request"))?;
    if !lists("upgrade", "websocket") {
        return Err(Rejection { status: "426 Upgrade Required", why: "this port speaks WebSocket" });
    }
    if !lists("connection", "upgrade") {
        return Err(Rejection::bad("invalid value for header 'Connection'"));
    }
    if !lists("sec-websocket-version", "13") {
        return Err(Rejection { status: "426 Upgrade Required", why: "only version 13 is spoken" });
    }
    let key = values("sec-websocket-key").next().unwrap_or_default();
    if BASE64_STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(Rejection::bad("invalid websocket key"));
    }
    let opening = Opening {
        key: key.to_owned(),
        host: host.to_owned(),
        origin: values("origin").next().filter(|origin| !origin.is_empty()).map(str::to_owned),
    };
    Ok(Some((opening, used)))
}

/// What has to be hashed (SHA-1) for [`accepted`].
#[must_use]
pub fn challenge(key: &str) -> String {
    format!("{key}{GUID}")
}

/// The answer that opens, with the hash of the [`challenge`].
#[must_use]
pub fn accepted(hash: &[u8]) -> Vec<u8> {
    let accept = BASE64_STANDARD.encode(hash);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// Where a page comes from: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://app.example.com")]
pub struct OriginError;

impl Origin {
    /// The origin of a page on this server itself, as its client names the server.
    ///
    /// # Errors
    /// `Host` is none.
    pub fn of_host(host: &str, secure: bool) -> Result<Self, OriginError> {
        let inside_brackets = host.rfind(']').unwrap_or(0);
        let (name, port) = match host.rfind(':').filter(|colon| *colon > inside_brackets) {
            Some(colon) => (&host[..colon], host[colon + 1..].parse().map_err(|_| OriginError)?),
            None => (host, if secure { 443 } else { 80 }),
        };
        if name.is_empty() || name.contains(['/', '@', '?', '#', ' ']) {
            return Err(OriginError);
        }
        Ok(Self { secure, host: name.to_ascii_lowercase(), port })
    }
}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(OriginError),
        };
        Self::of_host(rest.strip_suffix('/').unwrap_or(rest), secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /any HTTP/1.1\r\nHost: bus:443\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: https://bus\r\n\r\n";

    #[test]
    fn the_request_of_a_browser_is_read_however_it_comes() {
        for cut in 0..REQUEST.len() {
            assert_eq!(parse_opening(&REQUEST.as_bytes()[..cut]), Ok(None), "{cut}");
        }
        let (opening, used) = parse_opening(&[REQUEST.as_bytes(), &[0x82]].concat()).unwrap().unwrap();
        assert_eq!(used, REQUEST.len());
        assert_eq!(opening.key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!((opening.host.as_str(), opening.origin.as_deref()), ("bus:443", Some("https://bus")));
        assert_eq!(challenge(&opening.key), "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    }

    #[test]
    fn what_is_no_such_request_is_told_why() {
        let without = |line: &str| {
            let request: String =
                REQUEST.split_inclusive("\r\n").filter(|kept| !kept.starts_with(line)).collect();
            parse_opening(request.as_bytes()).unwrap_err().status
        };
        assert_eq!(without("Host"), "400 Bad Request");
        assert_eq!(without("upgrade"), "426 Upgrade Required");
        assert_eq!(without("Connection"), "400 Bad Request");
        assert_eq!(without("Sec-WebSocket-Key"), "400 Bad Request");
        assert_eq!(without("Sec-WebSocket-Version"), "426 Upgrade Required");
        let refused = |text: &str| parse_opening(text.as_bytes()).unwrap_err().status;
        assert_eq!(refused(&REQUEST.replace("GET", "POST")), "405 Method Not Allowed");
        assert_eq!(refused(&REQUEST.replace("dGhl", "")), "400 Bad Request");
        assert_eq!(refused("CONNECT {}\r\n\r\n"), "400 Bad Request");
        let endless = format!("GET / HTTP/1.1\r\nCookie: {}", "a".repeat(MAX_OPENING));
        assert_eq!(parse_opening(endless.as_bytes()), Err(Rejection::TOO_LONG));
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        assert_eq!(origin("https://App.example.com"), origin("https://app.example.com:443/"));
        assert_eq!(Ok(origin("http://[::1]")), Origin::of_host("[::1]:80", false));
        assert_ne!(origin("http://app.example.com:443"), origin("https://app.example.com"));
        assert_ne!(Ok(origin("https://app.example.com")), Origin::of_host("app.example.com", false));
        for text in ["null", "app", "ftp://app", "https://", "https://a/b", "https://a:x", "https://u@a"] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError), "{text}");
        }
    }
}
