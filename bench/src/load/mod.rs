//! Generating load: pre-encoded frames out, frames counted by their length in.

pub(crate) mod counter;
pub(crate) mod frames;
pub(crate) mod progress;
mod requester;
pub(crate) mod subscribers;
pub(crate) mod traffic;

pub(crate) use frames::{Frames, delivered_length};
pub(crate) use progress::Delivery;
pub(crate) use requester::Requester;
pub(crate) use subscribers::Subscribers;
pub(crate) use traffic::Traffic;
