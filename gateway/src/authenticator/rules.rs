//! What the authenticator goes by: what a reload replaces, and what outlives reloads.

use std::sync::Arc;

use daemon::audit::Audit;
use identity::peer::{IdentitySource, Pins};
use identity::policy::{Policy, PolicyError};
use node::revocation::Plane;
use node::tls::Reloads;

use crate::config::{Config, TokenDemand};

/// What a reload replaces as a whole.
#[derive(Debug)]
pub struct Rules {
    /// Roles and bindings.
    pub policy: Policy,
    /// Which name of a certificate is the client's.
    pub identity_order: Vec<IdentitySource>,
    /// Certificates accepted and refused one by one.
    pub pins: Pins,
    /// A certificate alone is not enough.
    pub token_required: bool,
}

impl Rules {
    /// The rules of a configuration.
    ///
    /// # Errors
    /// Roles or bindings that make no sense.
    pub fn of_config(config: &Config) -> Result<Self, Vec<PolicyError>> {
        let clients = &config.client_certificates;
        Ok(Self {
            policy: Policy::compile(&config.policy())?,
            identity_order: clients.identity.clone(),
            pins: clients.pins.clone(),
            token_required: clients.token == TokenDemand::Required,
        })
    }
}

/// What outlives every reload.
#[derive(Debug)]
pub struct Records {
    /// What has been revoked.
    pub revocations: Arc<Plane>,
    /// Where decisions are written down.
    pub audit: Audit,
    /// What follows the certificates of the listener.
    pub reloads: Reloads,
}
