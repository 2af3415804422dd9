//! Policy: roles and bindings out of the configuration, compiled; facts about a peer in, a [`Grant`] out.
//!
//! # Meaning
//! - Nothing is allowed that no role allows. A peer gets every role that a matching binding gives; a binding
//!   matches when its issuer and all of its conditions do. Roles that a token file or a remote check names for the
//!   peer count as bound.
//! - Roles add up: what any of them allows is allowed, what any of them denies is denied. Of limits, the widest
//!   that a role states holds; a role that states none changes none.
//! - A role whose template (a subject, or a limit out of a fact) can't be filled in safely is refused, and the others stand. If the refused role
//!   denies something, the peer is refused: the others might add up to more than was meant.
//! - Tokens come before certificates in naming the peer. The grant ends when the token does.

mod compile;
mod condition;
mod config;
mod evaluate;
mod explain;
mod facts;
mod jetstream;
mod limits;
mod lint;
mod template;
mod units;

#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;

use compile::{Binding, Compiler, Role};

pub use self::compile::PolicyError;
pub use self::condition::ConditionConfig;
pub use self::config::{BindingConfig, LimitsConfig, PermissionConfig, PolicyConfig, RoleConfig};
pub use self::evaluate::{Denied, Evaluation};
pub use self::explain::{Explanation, Failed, Judged};
pub use self::facts::{CertificateNames, Facts, VerifiedFacts};
pub use self::lint::Lint;
pub use self::units::{Bytes, Limit, ResponsesConfig};
use crate::grant::Grant;

/// A compiled policy. Immutable; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct Policy {
    roles: Vec<Role>,
    bindings: Vec<Binding>,
}

impl Policy {
    /// Compiles what a user wrote.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order it is written.
    pub fn compile(config: &PolicyConfig) -> Result<Self, Vec<PolicyError>> {
        let (roles, bindings) = Compiler::default().run(config)?;
        Ok(Self { roles, bindings })
    }

    /// Whether the policy has no bindings, so that it grants nothing to anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// What a peer may do, decided at `now` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// The peer gets nothing at all.
    pub fn grant(&self, facts: &Facts<'_>, now: u64) -> Result<Grant, Denied> {
        self.evaluate(facts, now).grant
    }

    /// The same with how it came about.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts<'_>, now: u64) -> Evaluation {
        evaluate::evaluate(&self.roles, &self.bindings, facts, now)
    }

    /// What is probably not meant, as far as the policy alone shows.
    #[must_use]
    pub fn lints(&self) -> Vec<Lint> {
        lint::lints(&self.roles, &self.bindings, None)
    }

    /// The same, knowing the names of all configured issuers.
    #[must_use]
    pub fn lints_with_issuers(&self, issuers: &[&str]) -> Vec<Lint> {
        lint::lints(&self.roles, &self.bindings, Some(issuers))
    }
}
