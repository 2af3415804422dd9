//! The server's side of WebSocket (RFC 6455): the opening handshake, and the frames that carry protocol bytes.
//!
//! The protocol inside is a stream of bytes; where a frame begins in it means nothing. So no frame is ever gathered:
//! [`Decoder`] takes frames apart where they lie, and what a peer announces as a length allocates nothing. No extension
//! is agreed on; nothing is decompressed.

mod frame;
mod opening;

pub use frame::{
    CONTROL_MAX, CloseCode, Control, Decoded, Decoder, FrameError, HEAD_MAX, Head, close, data_head,
};
pub use opening::{MAX_OPENING, Opening, Origin, OriginError, Rejection, accepted, challenge, parse_opening};
