//! Bytes to NATS protocol operations and back. No socket, no clock, no runtime.
//!
//! [`client::parse`] reads what a client sends to a server, [`leaf::parse`] either direction of a
//! leafnode connection, [`gateway::parse`] what the gateways of two clusters say. All look at the start of a slice and answer with one frame, with how many
//! bytes are missing, or with a [`ParseError`] after which the connection can only be closed. They
//! keep no state and allocate nothing: the caller keeps the unread tail and calls again.
//!
//! [`encode`] appends frames to a buffer, [`info`] holds the JSON bodies of `INFO` and `CONNECT`,
//! [`headers`] reads and rewrites message header blocks, [`text`] the error texts clients react to, [`s2`] is how links
//! are compressed.

pub mod client;
pub mod encode;
mod error;
pub mod gateway;
pub mod headers;
pub mod info;
pub mod leaf;
mod limits;
mod repeat;
pub mod s2;
mod scan;
pub mod text;
pub mod websocket;

pub use error::{ParseError, Verb};
pub use limits::{LEAF_MAX_CONTROL_LINE, Limits};
pub use repeat::repeats;

/// What one call of a parser found at the start of its slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// A whole frame, and how many bytes of the slice it took.
    Frame(T, usize),
    /// No whole frame yet. At least this many bytes, counted from the start of the slice, are
    /// needed; always more than were given, never more than the frame will take. For a message
    /// whose control line is complete this is the exact length of the frame.
    Incomplete(usize),
}
