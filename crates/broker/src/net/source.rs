//! Where bytes come from: a socket, and what lies over it.

use std::io;
use std::sync::Arc;

use tokio::net::tcp::OwnedReadHalf;

use super::greeting::Greeted;
use super::packed::Unpacker;
use super::pipe::TlsPipe;
use super::websocket::Websocket;

/// The reading half of a connection.
pub(crate) struct Source {
    pub(crate) socket: OwnedReadHalf,
    pub(crate) tls: Option<Arc<TlsPipe>>,
    pub(crate) over: Option<Box<Over>>,
}

/// What lies over socket and TLS; one place for both, since every connection pays for it.
pub(crate) enum Over {
    Websocket(Websocket),
    /// Of a link that is compressed.
    Packed(Unpacker),
}

impl Source {
    /// Of a peer that was let in.
    pub(crate) fn of(peer: Greeted) -> Self {
        let websocket = peer.websocket.map(|websocket| Over::Websocket(*websocket));
        let packed = peer.unpacker.map(|unpacker| Over::Packed(*unpacker));
        Self { socket: peer.reader, tls: peer.tls, over: websocket.or(packed).map(Box::new) }
    }

    /// Whether bytes are the protocol's as they are read.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none() && self.over.is_none()
    }

    /// What unpacks a compressed link.
    pub(crate) fn unpacker(&mut self) -> Option<&mut Unpacker> {
        match self.over.as_deref_mut() {
            Some(Over::Packed(unpacker)) => Some(unpacker),
            _ => None,
        }
    }

    /// Whether the link is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.over.as_deref(), Some(Over::Packed(_)))
    }

    /// The frames around everything, where there are any.
    pub(crate) fn websocket(&self) -> Option<&Websocket> {
        match self.over.as_deref() {
            Some(Over::Websocket(websocket)) => Some(websocket),
            _ => None,
        }
    }

    /// Gives what was read to the unpacker. `false` when the peer says nothing more.
    pub(crate) fn take_packed(&mut self, read: &[u8]) -> io::Result<bool> {
        let Self { tls, over, .. } = self;
        let Some(Over::Packed(unpacker)) = over.as_deref_mut() else { return Ok(true) };
        match tls {
            Some(tls) if !read.is_empty() => tls.decrypt(read, unpacker.input()),
            Some(_) => Ok(true),
            None => {
                unpacker.input().extend_from_slice(read);
                Ok(true)
            }
        }
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
        match self.over.as_deref_mut() {
            Some(Over::Websocket(websocket)) => Ok(websocket.take_apart(plain, from)? && open),
            _ => Ok(open),
        }
    }
}
