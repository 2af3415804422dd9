//! What the JWTs of operators, accounts and users hold, as far as it counts here (nats-io/jwt, version 2).

use std::collections::HashMap;

use serde::Deserialize;

use super::admission::AdmissionClaims;
use super::share::{ExportClaims, ImportClaims};

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub(super) struct Claims<T> {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) iat: i64,
    #[serde(default)]
    pub(super) exp: i64,
    #[serde(default)]
    pub(super) nbf: i64,
    /// Version 1 only.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) nats: T,
}

/// Claims that say of which kind they are.
pub(super) trait OfKind {
    fn kind(&self) -> &str;
}

impl<T: OfKind> Claims<T> {
    pub(super) fn is(&self, kind: &str) -> bool {
        if self.kind.is_empty() { self.nats.kind() == kind } else { self.kind == kind }
    }
}

impl OfKind for OperatorClaims {
    fn kind(&self) -> &str {
        &self.kind
    }
}

impl OfKind for AccountClaims {
    fn kind(&self) -> &str {
        &self.kind
    }
}

impl OfKind for UserClaims {
    fn kind(&self) -> &str {
        &self.kind
    }
}

#[derive(Deserialize, Default)]
pub(super) struct OperatorClaims {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) signing_keys: Vec<String>,
}

#[derive(Deserialize, Default)]
pub(super) struct AccountClaims {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) signing_keys: Vec<SigningKey>,
    #[serde(default)]
    pub(super) default_permissions: Rules,
    /// Users, or `*`, whose JWTs issued up to that time are void.
    #[serde(default)]
    pub(super) revocations: HashMap<String, i64>,
    #[serde(default)]
    pub(super) exports: Vec<ExportClaims>,
    #[serde(default)]
    pub(super) imports: Vec<ImportClaims>,
    #[serde(default)]
    pub(super) limits: LimitClaims,
    /// When the JWT ends, in seconds since the Unix epoch; 0 is never.
    #[serde(skip)]
    pub(super) exp: i64,
}

/// What holds for a whole account.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct LimitClaims {
    #[serde(flatten)]
    pub(super) stored: StoreClaims,
    /// By number of copies, `R1` to `R5`, in place of the others.
    pub(super) tiered_limits: HashMap<String, StoreClaims>,
    /// No user may come without signing the nonce.
    pub(super) disallow_bearer: bool,
}

/// What an account may store: 0 is nothing, -1 no bound.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct StoreClaims {
    pub(super) mem_storage: i64,
    pub(super) disk_storage: i64,
    pub(super) streams: i64,
    pub(super) consumer: i64,
    pub(super) max_ack_pending: i64,
    pub(super) mem_max_stream_bytes: i64,
    pub(super) disk_max_stream_bytes: i64,
    pub(super) max_bytes_required: bool,
}

impl LimitClaims {
    /// Bounds of streams of one copy, the only ones there are here.
    pub(super) fn of_one_copy(&self) -> &StoreClaims {
        self.tiered_limits.get("R1").unwrap_or(&self.stored)
    }
}

/// A key that may sign users in an account's place.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SigningKey {
    Plain(String),
    Scoped(Box<Scope>),
}

/// A scoped key fixes the rights of the users it signs.
#[derive(Deserialize)]
pub(super) struct Scope {
    pub(super) key: String,
    #[serde(default)]
    pub(super) template: UserClaims,
}

#[derive(Deserialize, Default, Clone)]
pub(super) struct UserClaims {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) issuer_account: String,
    #[serde(flatten)]
    pub(super) rules: Rules,
    #[serde(flatten)]
    pub(super) admission: AdmissionClaims,
    #[serde(default)]
    pub(super) bearer_token: bool,
    /// -1 is no limit.
    #[serde(default)]
    pub(super) subs: Option<i64>,
    #[serde(default)]
    pub(super) payload: Option<i64>,
}

#[derive(Deserialize, Default, Clone)]
pub(super) struct Rules {
    #[serde(rename = "pub", default)]
    pub(super) publish: Lists,
    #[serde(rename = "sub", default)]
    pub(super) subscribe: Lists,
    #[serde(default)]
    pub(super) resp: Option<Responses>,
}

#[derive(Deserialize, Default, Clone)]
pub(super) struct Lists {
    #[serde(default)]
    pub(super) allow: Vec<String>,
    #[serde(default)]
    pub(super) deny: Vec<String>,
}

#[derive(Deserialize, Clone, Copy)]
pub(super) struct Responses {
    #[serde(default)]
    pub(super) max: i64,
    /// Nanoseconds.
    #[serde(default)]
    pub(super) ttl: i64,
}
