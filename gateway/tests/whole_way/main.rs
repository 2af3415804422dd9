//! The gateway as a library, between real clients and an embedded bus.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod admission;
mod health;
mod link;
mod world;
