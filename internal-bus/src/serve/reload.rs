//! What changes without a start: roles and bindings of an `internal-bus.toml`; users, rights, imports and mappings of a
//! nats-server configuration. Certificates are followed by themselves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use broker::Server;
use daemon::audit::Audit;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use node::reload::{Applied, Refused, Reloading};
use node::tls::Reloads;

use super::sharing::Sharing;
use crate::auth::{Certificates, LiveUsers, Users};
use crate::config::Config;
use crate::flags::{ConfigFile, Flags};
use crate::natsconf::NatsConf;
use crate::plan::{self, Plan};
use crate::run::nats_conf;

/// Reads the configuration again and puts in force what may change while the bus runs.
pub(super) struct Reloader {
    source: Source,
    reloads: Reloads,
    told: Arc<Reloading>,
}

enum Source {
    Toml {
        path: PathBuf,
        certificates: Arc<Certificates>,
        /// The configuration in force. Held while it is replaced: one reload at a time.
        config: Box<Mutex<Config>>,
    },
    Nats {
        flags: Box<Flags>,
        server: Server,
        users: Option<Arc<LiveUsers>>,
        sharing: Sharing,
        /// As at the start: what differs from it beyond what is reloaded waits for the next one.
        started: Box<NatsConf>,
    },
}

impl Reloader {
    /// For the bus that is started with `plan`, out of what `flags` name.
    pub(super) fn new(
        plan: &mut Plan,
        certificates: Option<Arc<Certificates>>,
        flags: &Flags,
        server: &Server,
        reloads: &Reloads,
        audit: &Audit,
        readiness: &Readiness,
    ) -> Result<Self, String> {
        let sharing = Sharing::new(server);
        sharing.put(&plan.imports, &plan.mappings)?;
        let source = match (&flags.config, plan.toml.take(), certificates) {
            (Some(ConfigFile::Toml(path)), Some(config), Some(certificates)) => {
                Source::Toml { path: path.clone(), certificates, config: Box::new(Mutex::new(config)) }
            }
            _ => Source::Nats {
                flags: Box::new(flags.clone()),
                server: server.clone(),
                users: plan.users.take(),
                sharing,
                started: Box::new(plan.conf.take().unwrap_or_default()),
            },
        };
        Ok(Self { source, reloads: reloads.clone(), told: Arc::new(Reloading::new(audit, readiness)) })
    }

    /// Its figures.
    pub(super) fn register(&self, metrics: &Metrics) {
        self.told.register(metrics);
    }

    /// The file that is followed, where one is.
    pub(super) fn followed(&self) -> Option<PathBuf> {
        match &self.source {
            Source::Toml { path, .. } => Some(path.clone()),
            // As with nats-server, only on demand.
            Source::Nats { .. } => None,
        }
    }

    /// Reads, checks, and only then replaces, in the name of `by`. Reads files.
    ///
    /// # Errors
    /// [`Refused`] with everything that is wrong; all of the old stays in force.
    pub(super) fn reload(&self, by: &str) -> Result<Applied, Refused> {
        let outcome = match &self.source {
            Source::Toml { path, certificates, config } => toml(path, certificates, config),
            Source::Nats { flags, server, users, sharing, started } => {
                nats(flags, server, users.as_deref(), sharing, started)
            }
        };
        if outcome.is_ok() && !self.reloads.reload_all() {
            tracing::warn!("certificates were refused, the old ones stay");
        }
        self.told.tell(&outcome, by);
        outcome
    }
}

fn toml(path: &Path, certificates: &Certificates, config: &Mutex<Config>) -> Result<Applied, Refused> {
    let mut current = config.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plan::from_toml(path)?;
    let (Some(new), Some(records)) = (plan.toml, plan.records) else { return Ok(Applied::default()) };
    let needs_restart = needs_restart(&current, &new);
    let sweep = certificates.set_policy(records.certificates.policy());
    *current = new;
    Ok(Applied { sweep, needs_restart, warnings: plan.notices })
}

/// Sections that differ and that only a start takes up.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let sections: [(&str, String, String); 11] = [
        ("service", text(&old.service), text(&new.service)),
        ("tls", text(&old.tls), text(&new.tls)),
        ("leafnodes", text(&old.leafnodes), text(&new.leafnodes)),
        ("websocket", text(&old.websocket), text(&new.websocket)),
        ("streams", text(&old.streams), text(&new.streams)),
        ("gateway", text(&old.gateway), text(&new.gateway)),
        ("admin", text(&old.admin), text(&new.admin)),
        ("revocation", text(&old.revocation), text(&new.revocation)),
        ("audit", text(&old.audit), text(&new.audit)),
        ("limits", text(&old.limits), text(&new.limits)),
        ("log", text(&old.log), text(&new.log)),
    ];
    sections.into_iter().filter(|(_, old, new)| old != new).map(|(name, ..)| name).collect()
}

fn nats(
    flags: &Flags,
    server: &Server,
    users: Option<&LiveUsers>,
    sharing: &Sharing,
    started: &NatsConf,
) -> Result<Applied, Refused> {
    let one = |error: String| Refused(vec![error]);
    let (conf, notices) =
        nats_conf(flags).map_err(|errors| Refused(errors.lines().map(str::to_owned).collect()))?;
    let made = users.map(|users| Users::new(&conf).map(|made| (users, made)));
    let made = made.transpose().map_err(|error| one(error.to_string()))?;
    if let Some((users, made)) = made {
        // The last thing that can go wrong.
        sharing.put(&plan::imports(&conf), &plan::mappings(&conf)).map_err(one)?;
        users.replace(made, server);
        tracing::info!("Reloaded: authorization users, imports, mappings");
    }
    let over = server.limit_connections(plan::limits(&conf).max_connections);
    if over > 0 {
        tracing::warn!(over, "more connections than there may be now");
    }
    let other = without_reloaded(conf) != without_reloaded(started.clone());
    let warnings = notices.iter().map(ToString::to_string).collect();
    let needs_restart = if other { vec!["other settings"] } else { Vec::new() };
    Ok(Applied { needs_restart, warnings, ..Applied::default() })
}

/// Everything that a reload does not change.
fn without_reloaded(mut conf: NatsConf) -> NatsConf {
    conf.authorization = None;
    conf.no_auth_user = None;
    conf.max_connections = None;
    conf.mappings.clear();
    for account in &mut conf.accounts {
        account.users.clear();
        account.default_permissions = None;
        account.at = crate::natsconf::Position::default();
        account.exports.clear();
        account.imports.clear();
        account.mappings.clear();
    }
    conf
}
