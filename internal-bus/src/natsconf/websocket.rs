//! `websocket { … }`: a port for clients that speak WebSocket.

use super::reader::Reader;
use super::tls::{self, Tls};
use super::units::Port;
use super::value::{Entry, Kind};

/// The `websocket` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Websocket {
    /// Address to listen on; default all.
    pub host: Option<String>,
    /// Port to listen on; `None` means not at all.
    pub port: Option<Port>,
    /// `host:port` told to clients in place of the listener's own.
    pub advertise: Option<String>,
    /// Without TLS.
    pub no_tls: bool,
    /// TLS; it wins over `no_tls`.
    pub tls: Option<Tls>,
    /// Only pages of the host the client names may connect.
    pub same_origin: bool,
    /// Only pages of these origins may connect; empty: all.
    pub allowed_origins: Vec<String>,
}

pub(super) fn read(reader: &mut Reader, block: &Entry) -> Option<Websocket> {
    reader.map(&block.value)?;
    let mut websocket = Websocket::default();
    reader.each(&block.value, |reader, key, entry| setting(reader, &mut websocket, key, entry));
    if websocket.port.is_some() && websocket.tls.is_none() && !websocket.no_tls {
        reader.error(&block.at, "`websocket` needs a `tls` block, or `no_tls: true`");
    }
    Some(websocket)
}

fn setting(reader: &mut Reader, websocket: &mut Websocket, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "listen" => {
            if let Some((host, port)) = reader.address(value) {
                (websocket.host, websocket.port) = (host, port);
            }
        }
        "host" | "net" => websocket.host = reader.text_or_unset(value),
        "port" => websocket.port = reader.port(value),
        "advertise" => websocket.advertise = reader.text_or_unset(value),
        "no_tls" => websocket.no_tls = reader.boolean(value).unwrap_or_default(),
        "tls" => {
            websocket.tls = tls::read(reader, entry);
            if websocket.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()) {
                reader.error(&entry.at, "`tls` of a listener needs `cert_file` and `key_file`");
            }
        }
        "same_origin" => websocket.same_origin = reader.boolean(value).unwrap_or_default(),
        "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins" | "origin" => {
            websocket.allowed_origins = origins(reader, entry);
        }
        "compress" | "compression" => {
            if !matches!(value.kind, Kind::Boolean(false)) {
                reader.no_effect(entry, "frames are not compressed, and clients go without");
            }
        }
        "handshake_timeout" => reader.no_effect(entry, "the time to log in is bounded as a whole"),
        "ping_interval" => reader.no_effect(entry, "the interval of all clients holds"),
        "authorization" | "authentication" | "no_auth_user" | "jwt_cookie" | "user_cookie"
        | "pass_cookie" | "token_cookie" | "headers" => reader.unsupported(entry, "websocket"),
        _ => reader.unknown(entry, "websocket"),
    }
}

fn origins(reader: &mut Reader, entry: &Entry) -> Vec<String> {
    let texts = reader.texts(&entry.value).unwrap_or_default();
    let read = texts.into_iter().filter_map(|(at, text)| match text.parse::<broker::WebOrigin>() {
        Ok(_) => Some(text),
        Err(error) => {
            reader.error(&at, error.to_string());
            None
        }
    });
    read.collect()
}
