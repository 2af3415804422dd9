//! What a presented token is worth: whoever can tell is asked, and nobody is refused for the slowness of others.

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Denied;
use identity::opaque::{OPAQUE_ISSUER, OpaqueError, OpaqueFile, is_opaque};
use identity::policy::VerifiedFacts;
use identity::rotate::Rotating;
use identity::token::{Logout, TokenError, TokenVerifier};
use tokio::sync::Semaphore;

use crate::issuers::{Issuers, Lookup};
use crate::remote::{Introspection, Refusal, Unanswered, Vouched, Webhook};

/// Left of the time for a login when waiting for others ends, so that the client still hears why.
const RESERVE: Duration = Duration::from_millis(100);

/// Everything that can say what a token is worth. A token is judged by exactly one of them: by its form and the issuer
/// it names, never by trying one after the other.
#[derive(Debug)]
pub struct TokenSources {
    /// Tokens of issuers.
    pub verifier: Arc<TokenVerifier>,
    /// Looks after the issuers whose keys are fetched.
    pub issuers: Arc<Issuers>,
    /// Tokens of our own.
    pub opaque: Option<Arc<Rotating<OpaqueFile>>>,
    /// Judges the tokens that are none of these.
    pub introspection: Option<Arc<Introspection>>,
    /// Judges them instead; and says who may come in.
    pub webhook: Option<Arc<Webhook>>,
    /// Whose turn it is to verify a signature.
    pub(super) turns: Turns,
}

/// Verifying a signature takes a thread for some tens of microseconds. When thousands of clients come at once, those who
/// are in already must not wait behind them all: half of the threads verify at a time, the rest goes on.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Semaphore::new((threads / 2).max(1)))
    }
}

impl TokenSources {
    /// Tokens of issuers whose keys lie in files, and no others.
    #[must_use]
    pub fn of_files(verifier: TokenVerifier) -> Self {
        let verifier = Arc::new(verifier);
        let issuers = Arc::new(Issuers::start(Vec::new(), &verifier));
        Self { verifier, issuers, opaque: None, introspection: None, webhook: None, turns: Turns::default() }
    }

    /// What a token says about its bearer, verified at `now` (seconds since the Unix epoch). Waits for those who are
    /// asked, but not beyond `until`.
    ///
    /// # Errors
    /// The token is not good; or nobody can say in time, which the client is told so that it comes back.
    pub(super) async fn judge(&self, token: &str, now: u64, until: Instant) -> Result<Vouched, Denied> {
        let until = until.checked_sub(RESERVE).unwrap_or(until);
        if let Some(opaque) = self.opaque.as_ref().filter(|_| is_opaque(token)) {
            let tokens = opaque.current();
            let record = tokens.verify(token, now).map_err(refused_opaque)?;
            let roles = record.roles.iter().map(|role| Arc::from(role.as_str())).collect();
            return Ok(Vouched { claims: record.claims(), roles });
        }
        if !self.asks_others() || self.verifier.names_issuer(token) {
            return self.of_issuer(token, now, until).await;
        }
        if token.len() > self.verifier.max_token() {
            return Err(refused(TokenError::Oversized));
        }
        let verdict = match (&self.introspection, &self.webhook) {
            (Some(introspection), _) => introspection.verify(token, until).await,
            (None, Some(webhook)) => webhook.verify(token, until).await,
            (None, None) => Err(Unanswered::Down),
        };
        told(verdict, if self.introspection.is_some() { "introspection" } else { "webhook" })
    }

    /// Verifies an issuer's logout token.
    ///
    /// # Errors
    /// As for a login.
    pub async fn logout(&self, token: &str, now: u64, until: Instant) -> Result<Logout, Denied> {
        self.with_keys(token, until, || self.verifier.verify_logout(token, now)).await
    }

    /// A token of a configured issuer.
    async fn of_issuer(&self, token: &str, now: u64, until: Instant) -> Result<Vouched, Denied> {
        let claims = self.with_keys(token, until, || self.verifier.verify(token, now)).await?;
        Ok(Vouched { claims, roles: Vec::new() })
    }

    /// Verifies with the keys at hand, or with those a fetch brings.
    async fn with_keys<T>(
        &self,
        token: &str,
        until: Instant,
        verify: impl Fn() -> Result<T, TokenError>,
    ) -> Result<T, Denied> {
        loop {
            // Never closed.
            let turn = self.turns.0.acquire().await;
            let verified = verify();
            drop(turn);
            let error = match verified {
                Ok(verified) => return Ok(verified),
                Err(error) => error,
            };
            let wanted = if error == TokenError::UnknownKey { self.verifier.key_wanted(token) } else { None };
            let Some(wanted) = wanted else { return Err(refused(error)) };
            match self.issuers.look_for(&wanted, until).await {
                Lookup::Again => {}
                Lookup::Absent => return Err(refused(error)),
                Lookup::Unavailable => {
                    let detail = format!("the keys of {} can't be fetched in time", wanted.issuer);
                    return Err(Denied::later("issuer_unavailable", detail));
                }
            }
        }
    }

    /// Asks whoever decides who may come in, where there is such a service, and adds the roles it gives.
    pub(super) async fn authorize(&self, facts: &mut VerifiedFacts, until: Instant) -> Result<(), Denied> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let until = until.checked_sub(RESERVE).unwrap_or(until);
        let permitted = webhook.authorize(facts, until).await;
        let roles = told(permitted, "webhook")?;
        if !roles.is_empty() {
            facts.roles = facts.roles.iter().cloned().chain(roles).collect();
        }
        Ok(())
    }

    /// Whether the token behind verified facts is still good, as far as that is known here without asking anybody.
    pub(super) fn still_good(&self, facts: &VerifiedFacts, now: u64) -> Result<(), Denied> {
        let Some(claims) = &facts.claims else { return Ok(()) };
        let issuer = claims.iss().unwrap_or_default();
        match &self.opaque {
            Some(opaque) if issuer == OPAQUE_ISSUER => {
                opaque.current().check(claims.jti().unwrap_or_default(), now).map_err(refused_opaque)
            }
            // Others may vouch in whatever name they like; who vouched is not known any more.
            _ if self.asks_others() && !self.verifier.knows(issuer) => Ok(()),
            _ => self.verifier.still_accepts(claims, now).map_err(refused),
        }
    }

    /// Whether services are asked about tokens.
    fn asks_others(&self) -> bool {
        self.introspection.is_some() || self.webhook.as_ref().is_some_and(|webhook| webhook.judges_tokens())
    }
}

fn refused(error: TokenError) -> Denied {
    in_words(error.reason(), error.to_string())
}

fn refused_opaque(error: OpaqueError) -> Denied {
    in_words(error.reason(), error.to_string())
}

fn in_words(reason: &'static str, detail: String) -> Denied {
    let denied = Denied::new(reason, detail);
    match reason {
        // Clients come back with a new token after this text; after the other one they give up.
        "expired" => Denied { text: wire::text::USER_AUTHENTICATION_EXPIRED, ..denied },
        _ => denied,
    }
}

/// The answer of a service: yes, no, or nobody can say.
fn told<T>(answer: Result<Result<T, Refusal>, Unanswered>, service: &'static str) -> Result<T, Denied> {
    match answer {
        Ok(Ok(good)) => Ok(good),
        Ok(Err(refusal)) => Err(in_words(refusal.reason, refusal.detail.to_owned())),
        Err(why) => {
            let (reason, what) = match (service, why) {
                ("introspection", Unanswered::Slow) => ("introspection_slow", "has not answered in time"),
                ("introspection", _) => ("introspection_unavailable", "does not answer"),
                (_, Unanswered::Slow) => ("webhook_slow", "has not answered in time"),
                (_, _) => ("webhook_unavailable", "does not answer"),
            };
            Err(Denied::later(reason, format!("the {service} {what}")))
        }
    }
}
