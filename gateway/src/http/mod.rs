//! A small HTTPS client for what the gateway asks of others: keys of issuers, and what they say about tokens.
//!
//! Every call has one deadline for all of it and a bound for its answer, which is never buffered beyond. Nothing is
//! retried, no cookie kept, and no redirect followed unless the configuration says so (then only to the same host).

mod client;
mod endpoint;
#[cfg(test)]
mod tests;

pub use client::{Answer, Call, HttpClient, HttpError, HttpLimits};
pub use endpoint::{Endpoint, EndpointError};
