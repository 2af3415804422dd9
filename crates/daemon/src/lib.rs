//! What a long-lived process needs around its work: configuration, telemetry, admin HTTP, readiness, signals.

pub mod admin;
pub mod audit;
pub mod config;
pub mod exit;
pub mod metrics;
pub mod pid;
pub mod readiness;
pub mod signals;
pub mod telemetry;
