//! Sockets, TLS, timers, tasks: the only part of the broker that knows tokio.
//!
//! A connection begins as a small task that waits for its first byte ([`entry`]); handshake and login happen in
//! a future of their own, and what remains is a new small task ([`task`]) that owns the reading half. Writing is
//! done by whoever has something to write (see [`crate::outbox`]).

mod backoff;
pub(crate) mod buffers;
pub(crate) mod dial;
pub(crate) mod door;
pub(crate) mod entry;
pub(crate) mod gateway;
pub(crate) mod gateway_dial;
pub(crate) mod gateway_entry;
pub(crate) mod greeting;
pub(crate) mod leaf_dial;
pub(crate) mod leaf_entry;
pub(crate) mod leaf_packed;
pub(crate) mod listener;
pub(crate) mod packed;
pub(crate) mod pipe;
pub(crate) mod source;
pub(crate) mod task;
pub(crate) mod websocket;
