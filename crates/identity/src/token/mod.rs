//! Bearer tokens: JSON Web Tokens of configured issuers, verified.
//!
//! The token says who issued it and which key to use; it never says *how* it is to be verified. Algorithms
//! come from the configuration and from the type of the key, keys from the issuer's own set, and the issuer
//! is the one whose configured name equals `iss` byte for byte. Nothing in a token's header makes anything
//! be fetched or trusted.
//!
//! # Order of the checks
//! size, three strict base64url segments, header and claims without duplicates, headers that are never
//! honoured, issuer, algorithm, `typ`, key, signature, and only then audience, `exp`, `nbf`, `iat`.

mod bound;
mod check;
mod claims;
mod config;
mod dev;
mod error;
mod header;
mod json;
mod jwks;
mod keys;
mod logout;
pub mod mint;
mod public_key;
mod refresh;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod wycheproof_tests;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
pub use bound::{BindingError, check_binding};
pub use claims::Claims;
pub use config::{DEFAULT_LEEWAY, DEFAULT_MAX_TOKEN, IssuerConfig, IssuerSettings, KeySource, algorithm};
pub use dev::DevIssuer;
pub use error::{KeyError, TokenError};
pub use jsonwebtoken::Algorithm;
pub use logout::Logout;
pub use refresh::{Ask, Due, KeyRefresh, RefreshLimits};

use self::header::{Header, Parts};
use self::keys::KeySet;

/// Verifies tokens of a fixed list of issuers. Keys can be replaced while it is in use.
pub struct TokenVerifier {
    issuers: HashMap<String, Issuer>,
    max_token: usize,
}

struct Issuer {
    config: IssuerConfig,
    keys: ArcSwap<KeySet>,
}

/// The key a token names and its issuer's set does not have. Nobody has vouched for the token: the names are good for
/// asking the issuer whose *configured* name it bears for its keys, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWanted {
    /// The issuer, as configured.
    pub issuer: String,
    /// The header's `kid`.
    pub kid: Option<String>,
    /// The header's `alg`, one of the issuer's.
    pub algorithm: Algorithm,
}

impl TokenVerifier {
    /// Loads the keys of all issuers. Reads files.
    ///
    /// # Errors
    /// Everything that is wrong with any issuer's configuration or keys.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, Vec<KeyError>> {
        crate::install_crypto();
        let mut problems = Vec::new();
        let mut loaded = HashMap::new();
        for config in issuers {
            let keys = config.check().and_then(|()| KeySet::load(&config));
            let keys = match keys {
                Ok(keys) => keys,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let name = config.issuer.clone();
            let keys = ArcSwap::from_pointee(keys);
            if loaded.insert(name.clone(), Issuer { config, keys }).is_some() {
                problems.push(KeyError::Config { issuer: name, problem: "is configured twice".to_owned() });
            }
        }
        if problems.is_empty() {
            Ok(Self { issuers: loaded, max_token: DEFAULT_MAX_TOKEN })
        } else {
            Err(problems)
        }
    }

    /// Sets the largest token looked at, in bytes.
    #[must_use]
    pub fn with_max_token(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// The largest token looked at, in bytes.
    #[must_use]
    pub fn max_token(&self) -> usize {
        self.max_token
    }

    /// The configured issuers' names, in no particular order.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.keys().map(String::as_str)
    }

    /// Verifies a token at `now` (seconds since the Unix epoch) and returns its claims. Costs some tens of
    /// microseconds of CPU; touches neither file nor network.
    ///
    /// # Errors
    /// The first check that failed, in the order the module's documentation gives.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        let (claims, config) = self.signed(token, None)?;
        check::check(&claims, config, now)?;
        Ok(claims)
    }

    /// The claims of a token that its issuer has signed, and how the issuer is configured. Nothing the claims say has
    /// been checked yet. `types` replace those of the configuration.
    fn signed(&self, token: &str, types: Option<&[String]>) -> Result<(Claims, &IssuerConfig), TokenError> {
        if token.len() > self.max_token {
            return Err(TokenError::Oversized);
        }
        let parts = Parts::split(token)?;
        let named = match parts.unverified.get_own("iss") {
            None => return Err(TokenError::MissingClaim("iss")),
            Some(iss) => iss.as_str().ok_or(TokenError::ClaimType("iss"))?,
        };
        let issuer = self.issuers.get(named).ok_or(TokenError::Issuer)?;
        let algorithm = parts.header.algorithm;
        if !issuer.config.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        if !parts.header.has_type(types.unwrap_or(&issuer.config.types)) {
            return Err(TokenError::Type);
        }
        let keys = issuer.keys.load();
        let key = keys.find(algorithm, parts.header.kid.as_deref())?;
        if !public_key::signed_by(key, algorithm, parts.message.as_bytes(), parts.signature) {
            return Err(TokenError::Signature);
        }
        Ok((parts.unverified, &issuer.config))
    }

    /// Which key [`TokenVerifier::verify`] missed when it said [`TokenError::UnknownKey`], if the issuer is one whose
    /// keys are fetched.
    #[must_use]
    pub fn key_wanted(&self, token: &str) -> Option<KeyWanted> {
        let parts = Parts::split(token).ok().filter(|_| token.len() <= self.max_token)?;
        let issuer = self.issuers.get(parts.unverified.iss()?)?;
        let fetched = issuer.config.keys == KeySource::Pushed;
        let Header { algorithm, kid, .. } = parts.header;
        let wanted = KeyWanted { issuer: issuer.config.issuer.clone(), kid, algorithm };
        fetched.then_some(wanted)
    }

    /// Whether a token claims to come from one of the issuers. Nothing is verified.
    #[must_use]
    pub fn names_issuer(&self, token: &str) -> bool {
        let parts = if token.len() <= self.max_token { Parts::split(token).ok() } else { None };
        parts.is_some_and(|parts| parts.unverified.iss().is_some_and(|iss| self.issuers.contains_key(iss)))
    }

    /// Whether claims verified earlier would still be accepted at `now` (seconds since the Unix epoch): the issuer is
    /// configured, the audience is one of its own, the times hold. The signature is not verified again: the token is
    /// not kept.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn still_accepts(&self, claims: &Claims, now: u64) -> Result<(), TokenError> {
        let issuer = claims.iss().and_then(|iss| self.issuers.get(iss)).ok_or(TokenError::Issuer)?;
        check::check(claims, &issuer.config, now)
    }

    /// When claims verified here are no longer accepted, in seconds since the Unix epoch: at `exp`, and the leeway of the
    /// issuer later. `None` where no configured issuer vouches for them.
    #[must_use]
    pub fn end_of(&self, claims: &Claims) -> Option<u64> {
        let leeway = self.issuers.get(claims.iss()?)?.config.leeway;
        Some(claims.exp()?.saturating_add(leeway))
    }

    /// Whether tokens of `issuer` are verified here.
    #[must_use]
    pub fn knows(&self, issuer: &str) -> bool {
        self.issuers.contains_key(issuer)
    }

    /// Takes over the fetched keys of issuers that `old` knows under the same configuration, so that a reload does not
    /// leave them without.
    pub fn inherit(&self, old: &Self) {
        for (name, issuer) in &self.issuers {
            if issuer.config.keys == KeySource::Pushed
                && let Some(before) = old.issuers.get(name).filter(|before| before.config == issuer.config)
            {
                issuer.keys.store(before.keys.load_full());
            }
        }
    }

    /// Takes an issuer's fetched keys out of use.
    pub fn forget_keys(&self, issuer: &str) {
        if let Some(issuer) = self.issuers.get(issuer).filter(|found| found.config.keys == KeySource::Pushed)
        {
            issuer.keys.store(Arc::default());
        }
    }

    /// Reads every issuer's key files again. An issuer whose files are unusable keeps the keys it has.
    ///
    /// # Errors
    /// What was wrong, for each issuer that kept its old keys; the others have been replaced.
    pub fn reload(&self) -> Result<(), Vec<KeyError>> {
        let mut problems = Vec::new();
        for issuer in self.issuers.values() {
            if issuer.config.keys == KeySource::Pushed {
                continue;
            }
            match KeySet::load(&issuer.config) {
                Ok(keys) => issuer.keys.store(Arc::new(keys)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Replaces the keys of one issuer by those of a JWK set that was fetched elsewhere.
    ///
    /// # Errors
    /// The issuer is not configured with [`KeySource::Pushed`], or the set is unusable; old keys stay. Keys that are
    /// unsafe or of no use are left out, and make the set unusable only when none is left.
    pub fn replace_keys(&self, issuer: &str, jwks: &[u8]) -> Result<(), KeyError> {
        let refused =
            |problem: &str| KeyError::Config { issuer: issuer.to_owned(), problem: problem.to_owned() };
        let found = self.issuers.get(issuer).ok_or_else(|| refused("is not configured"))?;
        if found.config.keys != KeySource::Pushed {
            return Err(refused("takes its keys from files"));
        }
        let keys = KeySet::from_jwks(&found.config, None, jwks)?;
        found.keys.store(Arc::new(keys));
        Ok(())
    }
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVerifier").field("issuers", &self.issuers.keys()).finish_non_exhaustive()
    }
}
