//! The gateway's own answer to the health check: what it knows about its link.

use std::sync::Arc;

use broker::{LocalClient, LocalError};
use serde::{Deserialize, Serialize};

use crate::config::SELF_SUBJECT;
use crate::probe::ProbeState;

/// What the gateway says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Links that are up.
    pub links: usize,
    /// Outcome of the last probe, in a word.
    pub probe: String,
}

/// Answers requests on [`SELF_SUBJECT`] until the client is closed.
///
/// # Errors
/// The subject can't be subscribed to.
pub async fn answer(mut client: LocalClient, state: Arc<ProbeState>) -> Result<(), LocalError> {
    client.subscribe(SELF_SUBJECT, None)?;
    while let Some(message) = client.next().await {
        if message.reply.is_empty() {
            continue;
        }
        let report = LinkReport { links: state.links(), probe: state.outcome().word().to_owned() };
        let answer = serde_json::to_vec(&report).unwrap_or_default();
        if let Err(error) = client.publish(&message.reply, b"", &answer) {
            tracing::debug!(%error, "nobody waits for the health check's answer any more");
        }
    }
    Ok(())
}
