//! Keys of issuers that are fetched: one task for each, and logins that wait for what it brings.
//!
//! When to fetch and what an unknown key means is decided by [`KeyRefresh`]; here are its clock, its sockets and its
//! waiting room. Nothing a token says is ever called: what is called stands in the configuration, or in a document of
//! the issuer that was fetched from there.

mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::metrics::{Metrics, SampleKind};
use identity::token::{Ask, Due, KeyRefresh, KeyWanted, RefreshLimits, TokenVerifier};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use self::source::{FetchError, Fetched, KeyLocation, KeyServer};

/// What has become of a key nobody knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Something was fetched, or not: the token is to be verified again.
    Again,
    /// The issuer has no such key.
    Absent,
    /// The issuer can't be asked in time: nobody can say.
    Unavailable,
}

/// Everything there is to know for fetching one issuer's keys.
#[derive(Debug)]
pub struct RemoteIssuer {
    /// The issuer, as configured.
    pub name: String,
    /// Where its keys are.
    pub server: KeyServer,
    /// When they are fetched.
    pub limits: RefreshLimits,
    /// How long sessions go on whose tokens end while it can't be reached.
    pub grace: Duration,
}

struct Remote {
    name: String,
    server: KeyServer,
    state: Mutex<KeyRefresh>,
    grace: Duration,
    /// Tells the task that a fetch may be due sooner.
    wake: Notify,
    /// Counts fetches that have ended, for those who wait.
    ended: watch::Sender<u64>,
    fetched: AtomicU64,
    failed: AtomicU64,
}

/// The issuers whose keys are fetched. Dropping it ends the fetching.
pub struct Issuers {
    remotes: HashMap<String, Arc<Remote>>,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("remotes", &self.remotes.keys()).finish_non_exhaustive()
    }
}

impl Issuers {
    /// Begins to fetch, and hands keys to `verifier`. Needs a tokio runtime unless there is nothing to fetch.
    #[must_use]
    pub fn start(remotes: Vec<RemoteIssuer>, verifier: &Arc<TokenVerifier>) -> Self {
        let mut tasks = JoinSet::new();
        let mut known = HashMap::new();
        for RemoteIssuer { name, server, limits, grace } in remotes {
            let remote = Arc::new(Remote {
                name: name.clone(),
                server,
                state: Mutex::new(KeyRefresh::new(limits)),
                grace,
                wake: Notify::new(),
                ended: watch::Sender::new(0),
                fetched: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            });
            tasks.spawn(Arc::clone(&remote).run(Arc::clone(verifier)));
            known.insert(name, remote);
        }
        Self { remotes: known, _tasks: tasks }
    }

    /// Finds out about a key nobody knows. Waits for a fetch where one will tell in time, but not beyond `until`.
    pub async fn look_for(&self, wanted: &KeyWanted, until: Instant) -> Lookup {
        let Some(remote) = self.remotes.get(&wanted.issuer) else { return Lookup::Absent };
        let mut ended = remote.ended.subscribe();
        let now = Instant::now();
        let due = {
            let mut state = remote.state();
            if state.ask(wanted.kid.as_deref(), wanted.algorithm, now) == Ask::Absent {
                return Lookup::Absent;
            }
            state.due(now)
        };
        remote.wake.notify_one();
        if matches!(due, Due::At(at) if at > until) {
            return Lookup::Unavailable;
        }
        match tokio::time::timeout_at(until.into(), ended.changed()).await {
            Ok(Ok(())) => Lookup::Again,
            _ => Lookup::Unavailable,
        }
    }

    /// How long a session may go on whose token of this issuer has ended; `None` unless the last fetch of its keys
    /// has failed.
    #[must_use]
    pub fn grace(&self, issuer: &str) -> Option<Duration> {
        let remote = self.remotes.get(issuer)?;
        (!remote.grace.is_zero() && remote.state().failures() > 0).then_some(remote.grace)
    }

    /// Registers how the fetching goes; `current` gives what is in force.
    pub fn register(metrics: &Metrics, current: impl Fn() -> Arc<Self> + Clone + Send + Sync + 'static) {
        let issuers = current.clone();
        metrics.register_sampled(
            "issuer_fetches",
            "Fetches of an issuer's keys, by outcome.",
            SampleKind::Counter,
            &["issuer", "outcome"],
            move || issuers().remotes.values().flat_map(|remote| remote.outcomes()).collect(),
        );
        metrics.register_sampled(
            "issuer_failures_in_a_row",
            "Fetches of an issuer's keys that failed since the last that did not.",
            SampleKind::Gauge,
            &["issuer"],
            move || {
                let failures =
                    |remote: &Arc<Remote>| (vec![remote.name.clone()], f64::from(remote.state().failures()));
                current().remotes.values().map(failures).collect()
            },
        );
    }
}

impl Remote {
    fn state(&self) -> MutexGuard<'_, KeyRefresh> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(clippy::cast_precision_loss)]
    fn outcomes(&self) -> [(Vec<String>, f64); 2] {
        let count = |outcome: &str, count: &AtomicU64| {
            (vec![self.name.clone(), outcome.to_owned()], count.load(Ordering::Relaxed) as f64)
        };
        [count("fetched", &self.fetched), count("failed", &self.failed)]
    }

    /// Fetches whenever it is due, for ever.
    async fn run(self: Arc<Self>, verifier: Arc<TokenVerifier>) {
        loop {
            let now = Instant::now();
            let (due, useless) = {
                let state = self.state();
                (state.due(now), state.useless_at())
            };
            if useless.is_some_and(|useless| useless <= now) {
                tracing::error!(issuer = self.name, "the issuer's keys are too old and no longer used");
                verifier.forget_keys(&self.name);
                self.state().dropped();
                continue;
            }
            match due {
                Due::At(at) if at <= now => self.fetch(&verifier).await,
                Due::At(at) => {
                    let until = useless.map_or(at, |useless| useless.min(at));
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = self.wake.notified() => {}
                    }
                }
                // Only this task fetches.
                Due::UnderWay => self.state().failed(now, rand::random()),
            }
        }
    }

    async fn fetch(&self, verifier: &TokenVerifier) {
        self.state().begin(Instant::now());
        let outcome = self.server.fetch(&self.name).await;
        let outcome = outcome.and_then(|Fetched { keys, lifetime }| {
            verifier.replace_keys(&self.name, &keys).map_err(FetchError::Keys)?;
            Ok(lifetime)
        });
        let now = Instant::now();
        match outcome {
            Ok(lifetime) => {
                self.fetched.fetch_add(1, Ordering::Relaxed);
                let before = self.state().failures();
                self.state().succeeded(now, lifetime.map(|lifetime| lifetime.max(SHORTEST)));
                tracing::info!(issuer = self.name, after_failures = before, "issuer keys fetched");
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.state().failed(now, rand::random());
                let failures = self.state().failures();
                tracing::warn!(issuer = self.name, %error, failures, "issuer keys can't be fetched, the old ones stay in use");
            }
        }
        self.ended.send_modify(|ended| *ended += 1);
    }
}

/// A lifetime an answer states is taken for at least so long; many state none to keep browsers from caching.
const SHORTEST: Duration = Duration::from_secs(60);
