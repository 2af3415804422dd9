//! Services that are asked about tokens and rights at login: RFC 7662 introspection, and a webhook.
//!
//! A question goes on when the login that asked it has given up waiting, and its answer is remembered for the login's
//! next attempt: a service slower than clients wait is slow, and refuses nobody.

mod asking;
mod introspection;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;

use identity::token::Claims;

pub use self::asking::{Asking, AskingLimits, RemoteError, Unanswered};
pub use self::introspection::{ClientAuth, Introspection, Settings as IntrospectionSettings};
pub use self::webhook::{Permitted, WEBHOOK_ISSUER, Webhook, WebhookSettings};

/// What a service says about a token.
pub type TokenVerdict = Result<Vouched, Refusal>;

/// A token that is good.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// Its claims.
    pub claims: Claims,
    /// Roles it gives directly.
    pub roles: Vec<Arc<str>>,
}

/// A token, or a peer, that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word for metrics and audit.
    pub reason: &'static str,
    /// For the log.
    pub detail: &'static str,
}

/// The claims that are kept, with an end no later than `latest` (seconds since the Unix epoch), after which the service
/// is asked again.
fn ending(
    claims: &Claims,
    latest: u64,
    more: impl IntoIterator<Item = (&'static str, serde_json::Value)>,
) -> Claims {
    let end = claims.exp().map_or(latest, |exp| exp.min(latest));
    let mut map = claims.as_map().clone();
    map.insert("exp".to_owned(), end.into());
    map.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Claims::from_map(map)
}

fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
