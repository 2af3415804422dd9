//! What the `internal-bus` binary is made of: its command line, its configuration in two languages, who may log in,
//! and the plan that both languages come to and that [`run`] carries out.

pub mod auth;
pub mod config;
pub mod flags;
pub mod health;
pub mod import;
pub mod natsconf;
pub mod plan;
pub mod run;
mod serve;
mod store_command;
mod streams;
mod system;
