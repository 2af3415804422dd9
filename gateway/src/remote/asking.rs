//! Asking a service: each question once, answers remembered, no more at a time than it bears, and not while it is down.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use identity::remote::{Breaker, BreakerLimits, Found, Key, Permit, Verdicts};
use tokio::sync::{Semaphore, watch};

use crate::http::HttpError;

/// Questions under way and waiting, at most.
const MAX_QUESTIONS: usize = 4096;

/// Bounds of what is asked and remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskingLimits {
    /// Questions put to the service at a time; more wait.
    pub at_once: usize,
    /// Answers remembered.
    pub remembered: usize,
    /// When the service is left alone.
    pub breaker: BreakerLimits,
}

/// Why a service gave no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer with the status of an error.
    #[error("answered {0}")]
    Status(StatusCode),
    /// An answer that is not of the form agreed.
    #[error("the answer {0}")]
    Form(&'static str),
    /// A file with our credentials can't be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Nobody can say, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The answer has not come in time. It may have when the same is asked again.
    Slow,
    /// The service does not answer as it should.
    Down,
    /// Too many questions wait already.
    Busy,
}

/// The end of a question: `None` while it is under way.
type Outcome<V> = Option<Result<V, Unanswered>>;

struct Known<V> {
    verdicts: Verdicts<V>,
    under_way: HashMap<Key, watch::Receiver<Outcome<V>>>,
}

struct Shared<V> {
    /// For the log.
    name: &'static str,
    known: Mutex<Known<V>>,
    breaker: Mutex<Breaker>,
    places: Semaphore,
    answered: AtomicU64,
    failed: AtomicU64,
}

/// A service that is asked.
pub struct Asking<V>(Arc<Shared<V>>);

impl<V> std::fmt::Debug for Asking<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl<V: Clone + Send + Sync + 'static> Asking<V> {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(name: &'static str, limits: AskingLimits) -> Self {
        let known = Known { verdicts: Verdicts::new(limits.remembered), under_way: HashMap::new() };
        Self(Arc::new(Shared {
            name,
            known: Mutex::new(known),
            breaker: Mutex::new(Breaker::new(limits.breaker)),
            places: Semaphore::new(limits.at_once.max(1)),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// Questions answered, and not answered.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.0.answered.load(Ordering::Relaxed), self.0.failed.load(Ordering::Relaxed))
    }

    /// The answer to a question, remembered or fresh. `call` gives it with the time it holds. Waits until `until` at
    /// most; the call itself goes on.
    ///
    /// # Errors
    /// There is no answer now.
    pub async fn ask<F>(
        &self,
        key: Key,
        until: Instant,
        call: impl FnOnce() -> F + Send + 'static,
    ) -> Result<V, Unanswered>
    where
        F: Future<Output = Result<(V, Duration), RemoteError>> + Send + 'static,
    {
        let mut outcome = {
            let mut known = self.0.known();
            let Known { verdicts, under_way } = &mut *known;
            match verdicts.look(key, Instant::now()) {
                Found::Known(verdict) => return Ok(verdict),
                Found::Asking => under_way.get(&key).cloned().ok_or(Unanswered::Down)?,
                Found::Ask if under_way.len() >= MAX_QUESTIONS => {
                    verdicts.gave_up(&key);
                    return Err(Unanswered::Busy);
                }
                Found::Ask => {
                    let (sender, receiver) = watch::channel(None);
                    under_way.insert(key, receiver.clone());
                    tokio::spawn(Arc::clone(&self.0).put(key, sender, call));
                    receiver
                }
            }
        };
        let ended = outcome.wait_for(Option::is_some);
        match tokio::time::timeout_at(until.into(), ended).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Unanswered::Down)),
            Ok(Err(_)) => Err(Unanswered::Down),
            Err(_) => Err(Unanswered::Slow),
        }
    }
}

impl<V: Clone> Shared<V> {
    fn known(&self) -> MutexGuard<'_, Known<V>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a question, when there is a place and the service is well, and tells everybody who waits.
    async fn put<F>(
        self: Arc<Self>,
        key: Key,
        tell: watch::Sender<Outcome<V>>,
        call: impl FnOnce() -> F + Send,
    ) where
        F: Future<Output = Result<(V, Duration), RemoteError>> + Send,
    {
        // Never closed.
        let _place = self.places.acquire().await;
        let permit = self.breaker().permit(Instant::now());
        let outcome = match permit {
            Permit::Refused(_) => Err(Unanswered::Down),
            Permit::Granted => self.judge(call().await),
        };
        let mut known = self.known();
        known.under_way.remove(&key);
        let outcome = match outcome {
            Ok((verdict, holds)) => {
                known.verdicts.answered(key, verdict.clone(), Instant::now() + holds);
                Ok(verdict)
            }
            Err(why) => {
                known.verdicts.gave_up(&key);
                Err(why)
            }
        };
        drop(known);
        tell.send_replace(Some(outcome));
    }

    fn judge(&self, outcome: Result<(V, Duration), RemoteError>) -> Result<(V, Duration), Unanswered> {
        match outcome {
            Ok(answer) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.breaker().succeeded();
                Ok(answer)
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.breaker().failed(Instant::now(), rand::random());
                tracing::warn!(service = self.name, %error, "asked at a login, and not answered");
                Err(Unanswered::Down)
            }
        }
    }
}
