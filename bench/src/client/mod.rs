//! A small blocking NATS client: just what a load generator needs.

mod connection;
mod operation;
mod stream;
pub(crate) mod tls;

pub(crate) use connection::{Client, Endpoint, greet};
pub(crate) use operation::Operation;
pub(crate) use stream::Stream;
