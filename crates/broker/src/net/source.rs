//! Where bytes come from: a socket, and what lies over it.

use std::io;
use std::sync::Arc;

use tokio::net::tcp::OwnedReadHalf;

use super::greeting::Greeted;
use super::pipe::TlsPipe;
use super::websocket::Websocket;

/// The reading half of a connection.
pub(crate) struct Source {
    pub(crate) socket: OwnedReadHalf,
    pub(crate) tls: Option<Arc<TlsPipe>>,
    pub(crate) websocket: Option<Box<Websocket>>,
}

impl Source {
    /// Of a peer that was let in.
    pub(crate) fn of(peer: Greeted) -> Self {
        Self { socket: peer.reader, tls: peer.tls, websocket: peer.websocket }
    }

    /// Whether bytes are the protocol's as they are read.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none() && self.websocket.is_none()
    }

    /// Appends to `plain` what the bytes read hold of the protocol's. `false` when the peer says nothing more.
    pub(crate) fn unwrap(&mut self, read: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let from = plain.len();
        let open = match &self.tls {
            Some(tls) => tls.decrypt(read, plain)?,
            None => {
                plain.extend_from_slice(read);
                true
            }
        };
        match &mut self.websocket {
            Some(websocket) => Ok(websocket.take_apart(plain, from)? && open),
            None => Ok(open),
        }
    }
}
