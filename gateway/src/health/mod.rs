//! The health check: a credential made fresh at each start, the command that uses it, and the gateway's own answer.

mod command;
mod credential;
mod pinned;
mod responder;

pub use command::{HealthCheck, run};
pub use credential::{CredentialError, CredentialFile, HealthCredential};
pub(crate) use credential::write_private;
pub use responder::{LinkReport, answer};
