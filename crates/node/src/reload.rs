//! Reloads of a configuration: what came of them, told to everybody who asks, and the file that is followed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use daemon::admin::ApiError;
use daemon::audit::{Audit, Event, Kind};
use daemon::config::ConfigErrors;
use daemon::metrics::{Metrics, SampleKind};
use daemon::readiness::Readiness;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fingerprint::Fingerprint;
use crate::sessions::Sweep;

/// How often the configuration file is looked at. A file that changed is taken up when it has not changed again by the
/// next look: an editor may be at work on it.
const LOOK: Duration = Duration::from_secs(1);
/// Mistakes named on `/readyz`; the log has all of them.
const SHOWN: usize = 3;

/// What a reload did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What became of the live sessions.
    pub sweep: Sweep,
    /// Sections that have changed and hold only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// What is allowed to be written but probably not meant.
    pub warnings: Vec<String>,
}

impl Applied {
    /// As the admin API answers.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "sessions_kept": self.sweep.kept,
            "sessions_closed": self.sweep.closed,
            "subscriptions_ended": self.sweep.subscriptions,
            "needs_restart": self.needs_restart,
            "warnings": self.warnings,
        })
    }
}

/// Why a reload changed nothing: everything that is wrong, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refused(pub Vec<String>);

impl From<ConfigErrors> for Refused {
    fn from(errors: ConfigErrors) -> Self {
        Self(errors.errors().iter().map(ToString::to_string).collect())
    }
}

impl From<Refused> for ApiError {
    fn from(Refused(problems): Refused) -> Self {
        Self::new(422, "refused, the old configuration stays in force").with("problems", problems)
    }
}

/// What became of reloads so far.
#[derive(Debug)]
pub struct Reloading {
    audit: Audit,
    readiness: Readiness,
    applied: AtomicU64,
    refused: AtomicU64,
    /// Whether the last one was refused.
    stale: AtomicBool,
}

impl Reloading {
    /// None so far.
    #[must_use]
    pub fn new(audit: &Audit, readiness: &Readiness) -> Self {
        Self {
            audit: audit.clone(),
            readiness: readiness.clone(),
            applied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            stale: AtomicBool::new(false),
        }
    }

    /// Tells what came of a reload in the name of `by`: to the log, the audit log, `/metrics` and `/readyz`.
    pub fn tell(&self, outcome: &Result<Applied, Refused>, by: &str) {
        self.stale.store(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(applied) => self.applied(applied, by),
            Err(refused) => self.refused(refused, by),
        }
    }

    fn applied(&self, applied: &Applied, by: &str) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.readiness.note("configuration", None);
        let Sweep { kept, closed, subscriptions, .. } = applied.sweep;
        tracing::info!(by, kept, closed, subscriptions, "Reloaded server configuration");
        for warning in &applied.warnings {
            tracing::warn!("{warning}");
        }
        for section in &applied.needs_restart {
            tracing::warn!(section, "has changed, which counts after a restart only");
        }
        let event = Event::new(Kind::PolicyChanged)
            .with("by", by)
            .with("sessions_kept", kept)
            .with("sessions_closed", closed)
            .with("subscriptions_ended", subscriptions)
            .with("needs_restart", applied.needs_restart.clone());
        self.audit.note(event);
    }

    fn refused(&self, Refused(problems): &Refused, by: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let shown: Vec<&str> = problems.iter().take(SHOWN).map(String::as_str).collect();
        let more = problems.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let note = format!("refused, the old one stays in force: {}{more}", shown.join("; "));
        self.readiness.note("configuration", Some(note));
        for problem in problems {
            tracing::error!(by, %problem, "configuration refused, the old one stays in force");
        }
        self.audit.note(Event::new(Kind::PolicyRefused).with("by", by).with("problems", problems.clone()));
    }

    /// Its figures.
    #[allow(clippy::cast_precision_loss)]
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let counts = Arc::clone(self);
        metrics.register_sampled(
            "config_reloads",
            "Attempts to reload the configuration, by outcome.",
            SampleKind::Counter,
            &["outcome"],
            move || {
                let count = |outcome: &str, count: &AtomicU64| {
                    (vec![outcome.to_owned()], count.load(Ordering::Relaxed) as f64)
                };
                vec![count("applied", &counts.applied), count("refused", &counts.refused)]
            },
        );
        let last = Arc::clone(self);
        metrics.register_value(
            "config_stale",
            "1 while the configuration file is one that was refused.",
            SampleKind::Gauge,
            move || if last.stale.load(Ordering::Relaxed) { 1.0 } else { 0.0 },
        );
    }
}

/// Follows a configuration file until `stop` says true or its sender is gone: `reload`, which may read files, is called
/// for every change from this call on.
pub fn follow_file<F: Fn() + Send + Sync + 'static>(
    path: PathBuf,
    stop: watch::Receiver<bool>,
    reload: F,
) -> impl Future<Output = ()> + Send + use<F> {
    let in_force = Fingerprint::of(Some(&path));
    follow(path, in_force, stop, Arc::new(reload))
}

async fn follow<F: Fn() + Send + Sync + 'static>(
    path: PathBuf,
    mut in_force: Fingerprint,
    mut stop: watch::Receiver<bool>,
    reload: Arc<F>,
) {
    let look = || Fingerprint::of(Some(&path));
    let mut before = in_force;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let now = look();
        if now != in_force && now == before {
            in_force = now;
            let reload = Arc::clone(&reload);
            // What came of it is told where it happens.
            let _told = tokio::task::spawn_blocking(move || reload()).await;
        }
        before = now;
    }
}
