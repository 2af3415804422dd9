//! The bus's side of health checks: an answer to whoever asks whether an event gets through.

use std::sync::Arc;

use broker::{LocalError, Server};
use identity::Grant;

/// The subject asked on.
pub const SUBJECT: &str = "healthcheck.bus";

/// Answers requests on [`SUBJECT`] for as long as the server lives.
///
/// # Errors
/// The subscription is refused, which means that the subject above is none.
pub fn answer(server: &Server) -> Result<(), LocalError> {
    let mut client = server.local_client("healthcheck", Arc::new(Grant::unrestricted("healthcheck")));
    client.subscribe(SUBJECT, None)?;
    let name = server.name().to_owned();
    tokio::spawn(async move {
        while let Some(request) = client.next().await {
            if request.reply.is_empty() {
                continue;
            }
            // Nobody listens for the answer any more: nothing to do about it.
            if let Err(error) = client.publish(&request.reply, b"", name.as_bytes()) {
                tracing::debug!(%error, "health check not answered");
            }
        }
    });
    Ok(())
}
