//! The task that follows the files of a [`Rotating`].

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::rotate::{Material, Outcome, Rotating};

/// How often a pair of files caught half replaced is tried again before that is an error.
const SETTLE_ATTEMPTS: u32 = 5;

/// When to look.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Time between two looks at the files.
    pub interval: Duration,
    /// After files were refused: time to wait for the rest of them before they are tried again. A certificate and
    /// its key can't be replaced in one step, so a look may fall between the two.
    pub settle: Duration,
}

impl Default for WatchOptions {
    /// Looks every 2 s, and waits 250 ms for the other half of a pair.
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), settle: Duration::from_millis(250) }
    }
}

/// Follows the files until `shutdown` completes. `report` hears of every [`Outcome::Reloaded`] and
/// [`Outcome::Refused`], once per change; never of [`Outcome::Unchanged`].
///
/// Polling, on purpose: notifications are not delivered on every kind of mount, and miss links that are swapped.
pub async fn watch_files<M: Material>(
    rotating: Arc<Rotating<M>>,
    options: WatchOptions,
    shutdown: impl Future<Output = ()>,
    mut report: impl FnMut(Outcome),
) {
    let mut shutdown = pin!(shutdown);
    let mut ticks = interval(options.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            biased;
            () = &mut shutdown => return,
            outcome = settled(&rotating, || sleep(options.settle)) => match outcome {
                Outcome::Unchanged => {}
                outcome => report(outcome),
            },
        }
    }
}

/// Looks once; after a refusal gives the files time to become whole.
pub(super) async fn settled<M: Material, F: Future<Output = ()>>(
    rotating: &Arc<Rotating<M>>,
    mut wait: impl FnMut() -> F,
) -> Outcome {
    let mut outcome = look(rotating).await;
    let mut attempts = 0;
    while matches!(outcome, Outcome::Refused(_)) && attempts < SETTLE_ATTEMPTS {
        wait().await;
        attempts += 1;
        match look(rotating).await {
            // Nobody is at work on the files: the refusal stands.
            Outcome::Unchanged => break,
            later => outcome = later,
        }
    }
    outcome
}

/// Reads files off the runtime's own threads.
async fn look<M: Material>(rotating: &Arc<Rotating<M>>) -> Outcome {
    let rotating = Arc::clone(rotating);
    let looked = tokio::task::spawn_blocking(move || rotating.check()).await;
    looked.unwrap_or_else(|error| Outcome::Refused(format!("loading failed: {error}")))
}
