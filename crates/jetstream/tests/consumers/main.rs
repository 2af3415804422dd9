//! Consumers behind the API, driven by a client in the same process.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod crash;
mod group;
mod purges;
mod retention;
#[path = "../streams/rig.rs"]
#[allow(dead_code)] // Shared with the streams' suite.
mod rig;
