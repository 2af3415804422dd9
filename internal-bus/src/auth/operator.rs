//! Users who bring a JWT of their own: signed by their account, whose JWT is signed by the operator this server trusts
//! (decentralised NATS authentication; see the nats-io/jwt claims of operator, account and user). Version 2 signs
//! header and claims; version 1, which old deployments still hold, signs the claims alone and names their kind beside
//! them.
//!
//! Accounts are those of the configuration (`resolver: MEMORY` with `resolver_preload`); nothing is fetched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use broker::{Authenticator, Credentials, Decision, Denied, Login};
use identity::{Grant, Permission, PermissionError, Quotas, ResponseLimit, Rights};
use jetstream::AccountLimits;
use jiff::Timestamp;
use serde::Deserialize;

use crate::natsconf::OperatorMode;
use claims::{AccountClaims, Claims, Lists, OfKind, OperatorClaims, Rules, SigningKey, UserClaims};

/// Longest JWT read, in bytes: users have lists of subjects, not books.
const LONGEST: usize = 64 * 1024;

/// Why an operator's configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The file with the operator's JWT.
    #[error("operator: {path}: {source}")]
    File {
        /// Its name.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's JWT.
    #[error("operator: {0}")]
    Operator(JwtError),
    /// An account's JWT.
    #[error("resolver_preload: account {account}: {source}")]
    Account {
        /// The account's public key.
        account: String,
        /// What is wrong with its JWT.
        source: JwtError,
    },
}

/// What is wrong with a JWT. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not three parts of base64url, or not the JSON expected in them.
    #[error("is no NATS JWT")]
    Malformed,
    /// Another algorithm than `ed25519-nkey` (or `ed25519`, version 1).
    #[error("is not signed with an nkey")]
    Algorithm,
    /// The signature is not by the issuer it names.
    #[error("has a wrong signature")]
    Signature,
    /// It has ended.
    #[error("has expired")]
    Expired,
    /// It begins later.
    #[error("is not valid yet")]
    NotYet,
    /// Whoever signed it is not trusted to.
    #[error("is signed by somebody not trusted for it")]
    Issuer,
    /// It is for something else.
    #[error("is not of the kind expected")]
    Kind,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// Decides by user JWT.
pub struct Operators {
    accounts: HashMap<String, AccountClaims>,
}

impl Operators {
    /// Checks the operators' JWTs and the accounts' against them.
    ///
    /// # Errors
    /// A JWT that is none, or is signed by somebody else.
    pub fn new(mode: &OperatorMode) -> Result<Self, OperatorError> {
        let now = unix_now();
        let mut trusted = mode.trusted_keys.clone();
        for given in &mode.operators {
            let jwt = operator_jwt(given)?;
            let claims: Claims<OperatorClaims> = decode(&jwt, now).map_err(OperatorError::Operator)?;
            if !claims.is("operator") || claims.iss != claims.sub {
                return Err(OperatorError::Operator(JwtError::Kind));
            }
            trusted.push(claims.sub);
            trusted.extend(claims.nats.signing_keys);
        }
        let mut accounts = HashMap::new();
        for (account, jwt) in &mode.preload {
            let error = |source| OperatorError::Account { account: account.clone(), source };
            let claims: Claims<AccountClaims> = decode(jwt.trim(), now).map_err(error)?;
            if !claims.is("account") || claims.sub != *account {
                return Err(error(JwtError::Kind));
            }
            if !trusted.contains(&claims.iss) {
                return Err(error(JwtError::Issuer));
            }
            accounts.insert(account.clone(), AccountClaims { exp: claims.exp, ..claims.nats });
        }
        Ok(Self { accounts })
    }

    /// Accounts that may have streams, and how many.
    #[must_use]
    pub fn stream_limits(&self) -> Vec<(String, AccountLimits)> {
        let stored = |(name, account): (&String, &AccountClaims)| {
            let claims = account.limits.of_one_copy();
            let bound = |limit: i64| u64::try_from(limit).ok();
            let unless_zero = |limit: i64| bound(limit).filter(|limit| *limit > 0);
            let limits = AccountLimits {
                max_memory: bound(claims.mem_storage),
                max_file: bound(claims.disk_storage),
                max_streams: unless_zero(claims.streams),
                max_consumers: unless_zero(claims.consumer),
                max_ack_pending: unless_zero(claims.max_ack_pending),
                memory_max_stream_bytes: unless_zero(claims.mem_max_stream_bytes),
                file_max_stream_bytes: unless_zero(claims.disk_max_stream_bytes),
                max_bytes_required: claims.max_bytes_required,
            };
            (claims.mem_storage != 0 || claims.disk_storage != 0).then(|| (name.clone(), limits))
        };
        self.accounts.iter().filter_map(stored).collect()
    }

    fn decide(&self, login: &Login<'_>) -> Result<Arc<Grant>, Denied> {
        let Credentials::Client(options) = login.credentials else {
            return Err(Denied::new("wrong_port", "a leafnode on the client port"));
        };
        let jwt =
            options.jwt.as_deref().ok_or_else(|| Denied::new("no_credentials", "no user JWT presented"))?;
        let refused = |error: JwtError| Denied::new(reason(error), format!("user JWT {error}"));
        let user: Claims<UserClaims> = decode(jwt, unix_now()).map_err(refused)?;
        if !user.is("user") {
            return Err(refused(JwtError::Kind));
        }
        let (name, account) = self.account_of(&user).ok_or_else(|| refused(JwtError::Issuer))?;
        let claims = rights_of(&user, account).ok_or_else(|| refused(JwtError::Issuer))?;
        let revoked = ["*", user.sub.as_str()].into_iter().filter_map(|key| account.revocations.get(key));
        if revoked.into_iter().any(|until| user.iat <= *until) {
            return Err(Denied::new("revoked", format!("the JWT of user {} is revoked", user.sub)));
        }
        if account.exp > 0 && account.exp <= unix_now() {
            return Err(Denied::new("expired", format!("the JWT of account {name} has expired")));
        }
        if claims.bearer_token && account.limits.disallow_bearer {
            return Err(Denied::new("bearer", format!("account {name} takes no bearer tokens")));
        }
        if !claims.bearer_token {
            let signature = options.sig.as_deref().unwrap_or_default();
            if !super::users::signed(&user.sub, login.nonce, signature) {
                return Err(Denied::new("signature", "the nonce is not signed by the user's key"));
            }
        }
        // The template of a scoped key bounds whom it signs; what the user's own JWT says is no less in force.
        let mut ends = vec![end(user.exp), end(account.exp)];
        for bounds in [&user.nats.admission, &claims.admission] {
            ends.push(bounds.admit(login, Timestamp::now())?);
        }
        if claims.rules.has_placeholders() {
            // Taken as they stand, a deny that holds one would deny nothing.
            return Err(Denied::new(
                "template",
                "placeholders such as {{name()}} are not supported in subjects",
            ));
        }
        let rights = rights(&claims.rules).map_err(|error| Denied::new("permissions", error.to_string()))?;
        let mut grant = grant(&user, name, &claims, rights);
        grant.expires_at = ends.into_iter().flatten().min();
        Ok(Arc::new(grant))
    }

    /// The account a user belongs to: the one that signed it, or the one it names.
    fn account_of<'a>(&'a self, user: &Claims<UserClaims>) -> Option<(&'a str, &'a AccountClaims)> {
        let account = if user.nats.issuer_account.is_empty() { &user.iss } else { &user.nats.issuer_account };
        self.accounts.get_key_value(account).map(|(name, account)| (name.as_str(), account))
    }
}

/// The claims that hold for a user: its own, or those of the scoped key that signed it. `None`: the key that signed
/// it is not one of the account's.
fn rights_of(user: &Claims<UserClaims>, account: &AccountClaims) -> Option<UserClaims> {
    let own = || {
        let mut claims = user.nats.clone();
        if claims.rules.is_empty() {
            claims.rules = account.default_permissions.clone();
        }
        claims
    };
    if user.nats.issuer_account.is_empty() {
        return Some(own());
    }
    account.signing_keys.iter().find_map(|key| match key {
        SigningKey::Plain(key) if *key == user.iss => Some(own()),
        SigningKey::Scoped(scope) if scope.key == user.iss => Some(scope.template.clone()),
        _ => None,
    })
}

impl Rules {
    fn is_empty(&self) -> bool {
        let lists = [&self.publish, &self.subscribe];
        lists.iter().all(|lists| lists.allow.is_empty() && lists.deny.is_empty()) && self.resp.is_none()
    }

    fn has_placeholders(&self) -> bool {
        let Self { publish, subscribe, .. } = self;
        let mut subjects =
            [&publish.allow, &publish.deny, &subscribe.allow, &subscribe.deny].into_iter().flatten();
        subjects.any(|subject| subject.contains("{{"))
    }
}

fn rights(rules: &Rules) -> Result<Rights, PermissionError> {
    let allowed = |lists: &Lists| (!lists.allow.is_empty()).then(|| lists.allow.clone());
    let publish = match (allowed(&rules.publish), rules.resp) {
        // The right to answer takes the place of the right to publish anything.
        (None, Some(_)) => Permission::for_publish(Some(&[] as &[String]), &rules.publish.deny)?,
        (allow, _) => Permission::for_publish(allow.as_deref(), &rules.publish.deny)?,
    };
    let subscribe = Permission::for_subscribe(allowed(&rules.subscribe).as_deref(), &rules.subscribe.deny)?;
    let responses = rules.resp.map(|resp| ResponseLimit {
        max: u32::try_from(resp.max).ok().filter(|max| *max > 0),
        ttl: u64::try_from(resp.ttl).ok().filter(|ttl| *ttl > 0).map(Duration::from_nanos),
    });
    Ok(Rights::new(publish, subscribe, responses))
}

/// When a JWT ends; 0 is never.
fn end(exp: i64) -> Option<u64> {
    u64::try_from(exp).ok().filter(|exp| *exp > 0)
}

fn grant(user: &Claims<UserClaims>, account: &str, claims: &UserClaims, rights: Rights) -> Grant {
    let limit = |limit: Option<i64>| limit.and_then(|limit| u32::try_from(limit).ok());
    let identity = if user.name.is_empty() { user.sub.as_str() } else { user.name.as_str() };
    let mut grant = Grant::unrestricted(identity);
    grant.account = account.into();
    grant.rights = rights;
    grant.quotas =
        Quotas { subscriptions: limit(claims.subs), payload: limit(claims.payload), ..Quotas::default() };
    grant
}

impl Authenticator for Operators {
    fn required(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(std::future::ready(self.decide(&login).map(Into::into)))
    }
}

/// An operator's JWT: as given, or from the file given, between whose decoration it stands on a line of its own.
fn operator_jwt(given: &str) -> Result<String, OperatorError> {
    let given = given.trim();
    if given.starts_with("eyJ") {
        return Ok(given.to_owned());
    }
    let text = std::fs::read_to_string(given)
        .map_err(|source| OperatorError::File { path: given.to_owned(), source })?;
    let line = text.lines().map(str::trim).find(|line| line.starts_with("eyJ"));
    line.map(str::to_owned).ok_or(OperatorError::Operator(JwtError::Malformed))
}

/// Reads a JWT whose signature is that of the issuer it names, within its time.
fn decode<T: for<'de> Deserialize<'de> + Default>(jwt: &str, now: i64) -> Result<Claims<T>, JwtError> {
    if jwt.len() > LONGEST {
        return Err(JwtError::Malformed);
    }
    let (signed, signature) = jwt.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Malformed);
    let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| JwtError::Malformed)?;
    let covered = match header.alg.as_str() {
        "ed25519-nkey" => signed,
        "ed25519" => payload,
        _ => return Err(JwtError::Algorithm),
    };
    let claims: Claims<T> = serde_json::from_slice(&part(payload)?).map_err(|_| JwtError::Malformed)?;
    let issuer = nkeys::KeyPair::from_public_key(&claims.iss).map_err(|_| JwtError::Issuer)?;
    issuer.verify(covered.as_bytes(), &part(signature)?).map_err(|_| JwtError::Signature)?;
    if claims.exp > 0 && claims.exp <= now {
        return Err(JwtError::Expired);
    }
    if claims.nbf > now {
        return Err(JwtError::NotYet);
    }
    Ok(claims)
}

fn reason(error: JwtError) -> &'static str {
    match error {
        JwtError::Malformed => "malformed",
        JwtError::Algorithm => "algorithm",
        JwtError::Signature => "signature",
        JwtError::Expired => "expired",
        JwtError::NotYet => "not_yet_valid",
        JwtError::Issuer => "issuer",
        JwtError::Kind => "type",
    }
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

mod admission;
mod claims;
mod share;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;
