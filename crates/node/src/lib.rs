//! What both processes do the same way with a broker: configuration sections, certificates that follow their files,
//! metrics and monitoring documents, links, and the life of the process from readiness to drain.

pub mod admin;
pub mod checks;
pub mod compress;
pub mod credentials;
pub mod fingerprint;
pub mod gateways;
pub mod leafnodes;
pub mod metrics;
pub mod monitoring;
pub mod ports;
pub mod process;
pub mod reload;
pub mod revocation;
pub mod sections;
pub mod sessions;
pub mod tls;
pub mod websocket;
