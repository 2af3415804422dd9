//! What a presented token is worth: whoever can tell is asked, and nobody is refused for the slowness of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Denied;
use identity::token::{Claims, TokenError, TokenVerifier};

use crate::issuers::{Issuers, Lookup};

/// Left of the time for a login when waiting for others ends, so that the client still hears why.
const RESERVE: Duration = Duration::from_millis(100);

/// Everything that can say what a token is worth.
#[derive(Debug)]
pub struct TokenSources {
    verifier: Arc<TokenVerifier>,
    issuers: Arc<Issuers>,
}

impl TokenSources {
    /// Tokens of issuers; those whose keys are fetched are looked after by `issuers`.
    #[must_use]
    pub fn new(verifier: Arc<TokenVerifier>, issuers: Arc<Issuers>) -> Self {
        Self { verifier, issuers }
    }

    /// Tokens of issuers whose keys lie in files.
    #[must_use]
    pub fn of_files(verifier: TokenVerifier) -> Self {
        let verifier = Arc::new(verifier);
        let issuers = Arc::new(Issuers::start(Vec::new(), &verifier));
        Self::new(verifier, issuers)
    }

    /// What verifies tokens of issuers.
    pub(super) fn verifier(&self) -> &Arc<TokenVerifier> {
        &self.verifier
    }

    /// The claims of a token, verified at `now` (seconds since the Unix epoch). Waits for fetched keys where the
    /// token's is not among those at hand, but not beyond `until`.
    ///
    /// # Errors
    /// The token is not good; or nobody can say in time, which the client is told so that it comes back.
    pub(super) async fn claims(&self, token: &str, now: u64, until: Instant) -> Result<Claims, Denied> {
        let until = until.checked_sub(RESERVE).unwrap_or(until);
        loop {
            let error = match self.verifier.verify(token, now) {
                Ok(claims) => return Ok(claims),
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
}

fn refused(error: TokenError) -> Denied {
    let denied = Denied::new(error.reason(), error.to_string());
    match error {
        // Clients come back with a new token after this text; after the other one they give up.
        TokenError::Expired => Denied { text: wire::text::USER_AUTHENTICATION_EXPIRED, ..denied },
        _ => denied,
    }
}
