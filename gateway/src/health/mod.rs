//! The health check: a credential made fresh at each start, the command that uses it, and the gateway's own answer.

mod command;
mod credential;
mod pinned;
mod responder;

pub use command::{HealthCheck, HealthError, run};
pub(crate) use credential::write_private;
pub use credential::{CredentialError, CredentialFile, HealthCredential};
pub use responder::{LinkReport, answer};
