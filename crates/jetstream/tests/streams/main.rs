//! Streams behind the API, driven by clients in the same process.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod copies;
mod direct;
mod fast;
mod publish;
mod restart;
mod rig;
