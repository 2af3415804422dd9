//! The outside door: lets clients in by bearer token and certificate, and events through to the bus by named routes.
//!
//! [`Gateway`] is the running thing, made from a [`config::Config`]; [`cli`] is the program around it.

pub mod admin_api;
pub mod audit_cmd;
pub mod authenticator;
pub mod catalog;
pub mod check_config;
pub mod cli;
pub mod client;
pub mod config;
pub mod diff;
pub mod edge;
pub mod explain;
pub mod gateway;
pub mod health;
pub mod http;
pub mod issuers;
mod logout;
mod opaque;
mod output;
pub mod probe;
mod process;
pub mod reload;
pub mod remote;
pub mod token_cmd;
pub mod up;

pub use cli::{Cli, run};
pub use gateway::{Gateway, GatewayError};
