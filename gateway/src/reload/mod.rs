//! Changes while the gateway runs: configuration, keys, certificates, revocations. What belongs together changes
//! together or not at all, and every live session is judged by what is in force then.

mod follow;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use daemon::metrics::Metrics;
use identity::policy::PolicyConfig;
use node::reload::Reloading;
use node::tls::Reloads;
use tokio::runtime::Handle;

use crate::authenticator::{GatewayAuthenticator, Rules, TokenSources};
use crate::config::{CLIENTS_TLS, Config, Depth, Loaded, load};
use crate::gateway::Surroundings;

pub use node::reload::{Applied, Refused};

pub use self::follow::{follow_certificates, follow_config, follow_revocations};

/// Reads the configuration again and puts it in force as one transaction.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    authenticator: Arc<GatewayAuthenticator>,
    reloads: Reloads,
    /// Where what fetches keys is to run.
    runtime: Handle,
    /// The configuration in force. Held while it is replaced: one reload at a time.
    config: Mutex<Config>,
    reloading: Arc<Reloading>,
}

impl Reloader {
    /// For the gateway that was started with `config` out of `path`. Within a tokio runtime only.
    #[must_use]
    pub fn new(
        path: &Path,
        config: &Config,
        authenticator: &Arc<GatewayAuthenticator>,
        around: &Surroundings,
    ) -> Self {
        Self {
            path: path.to_owned(),
            authenticator: Arc::clone(authenticator),
            reloads: around.reloads.clone(),
            runtime: Handle::current(),
            config: Mutex::new(config.clone()),
            reloading: Arc::new(Reloading::new(&around.audit, &around.readiness)),
        }
    }

    /// Reads, checks, and only then replaces: rules, issuers, certificates of the door, in the name of `by`. Then
    /// every live session is judged again. Reads files.
    ///
    /// # Errors
    /// [`Refused`] with everything that is wrong; all of the old stays in force.
    pub fn reload(&self, by: &str) -> Result<Applied, Refused> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = load(&self.path, Depth::Files).map_err(Refused::from).and_then(|loaded| {
            let applied = self.put_in_force(&current, &loaded)?;
            *current = loaded.config;
            Ok(Applied { warnings: loaded.warnings, ..applied })
        });
        drop(current);
        self.reloading.tell(&outcome, by);
        outcome
    }

    fn put_in_force(&self, old: &Config, loaded: &Loaded) -> Result<Applied, Refused> {
        let new = &loaded.config;
        let one = |error: String| Refused(vec![error]);
        // First everything that can go wrong without changing anything.
        let rules = Rules::of_config(new)
            .map_err(|errors| Refused(errors.iter().map(ToString::to_string).collect()))?;
        let tokens = self.tokens(old, new).map_err(one)?;
        // Then the last thing that can go wrong: it is whole or not at all.
        if let Some(tls) = new.server_tls().filter(|_| old.server_tls().is_some()) {
            self.reloads.replace_server(CLIENTS_TLS, &tls).map_err(one)?;
        }
        // From here on nothing can.
        self.authenticator.set_rules(rules);
        if let Some(tokens) = tokens {
            self.authenticator.set_tokens(tokens);
        }
        self.authenticator.certificates_changed();
        let sweep = self.authenticator.sessions().reconsider();
        if !self.reloads.reload_all() {
            tracing::warn!(
                "certificates of a link or of a service that is called were refused, the old ones stay"
            );
        }
        Ok(Applied { sweep, needs_restart: needs_restart(old, new), warnings: Vec::new() })
    }

    /// The issuers as configured now, where they are others than before. Else their key files are read anew: that
    /// they can be used has just been checked.
    fn tokens(&self, old: &Config, new: &Config) -> Result<Option<TokenSources>, String> {
        if old.issuers == new.issuers {
            let problems = self.authenticator.reload_keys();
            return if problems.is_empty() { Ok(None) } else { Err(problems.join("; ")) };
        }
        let _where_fetching_runs = self.runtime.enter();
        self.authenticator
            .tokens()
            .with_issuers(new, &self.reloads)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// Roles and bindings in force.
    #[must_use]
    pub fn policy_config(&self) -> PolicyConfig {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).policy()
    }

    /// Its figures.
    pub fn register(&self, metrics: &Metrics) {
        self.reloading.register(metrics);
    }
}

/// Sections that differ and that only a start takes up.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let mode = |config: &Config| config.server_tls().is_some();
    let sections: [(&str, String, String); 13] = [
        ("service", text(&old.service), text(&new.service)),
        ("frontend_tls", text(&mode(old)), text(&mode(new))),
        ("websocket", text(&old.websocket), text(&new.websocket)),
        ("routes", text(&old.routes), text(&new.routes)),
        ("link", text(&old.link), text(&new.link)),
        ("opaque_tokens", text(&old.opaque_tokens), text(&new.opaque_tokens)),
        ("introspection", text(&old.introspection), text(&new.introspection)),
        ("auth", text(&old.auth), text(&new.auth)),
        ("revocation", text(&old.revocation), text(&new.revocation)),
        ("logout", text(&old.logout), text(&new.logout)),
        ("audit", text(&old.audit), text(&new.audit)),
        ("admin", text(&old.admin), text(&new.admin)),
        ("limits", text(&old.limits), text(&new.limits)),
    ];
    sections.into_iter().filter(|(_, old, new)| old != new).map(|(name, ..)| name).collect()
}
