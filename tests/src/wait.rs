//! Waiting with a deadline, never with hope.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test fails. Generous: the machine may be busy with other tests, and a
/// passing test never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// Polls `attempt` until it gives a value.
///
/// # Errors
/// When [`DEADLINE`] passes: names `what` was waited for.
pub async fn eventually<T, F, A>(what: &str, mut attempt: A) -> Result<T>
where
    A: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = attempt().await {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("not within {DEADLINE:?}: {what}");
        }
        sleep(POLL).await;
    }
}

/// Awaits `work`, at most for [`DEADLINE`].
///
/// # Errors
/// When the deadline passes: names `what` was waited for.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    timeout(DEADLINE, work).await.with_context(|| format!("not within {DEADLINE:?}: {what}"))
}
