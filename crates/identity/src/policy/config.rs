//! `[[roles]]` and `[[bindings]]` as a user writes them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::ConditionConfig;
use super::units::{Bytes, Limit, ResponsesConfig};

/// The part of a configuration file that says who may do what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// What may be done, under names.
    #[serde(default)]
    pub roles: Vec<RoleConfig>,
    /// Who gets which role.
    #[serde(default)]
    pub bindings: Vec<BindingConfig>,
}

/// One `[[roles]]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// The name bindings use.
    pub name: String,
    /// Subjects that may be published to. Nothing by default.
    #[serde(default)]
    pub publish: PermissionConfig,
    /// Subjects that may be subscribed to, as `"subject"` or `"subject queue"`. Nothing by default.
    #[serde(default)]
    pub subscribe: PermissionConfig,
    /// Whether delivered messages may be replied to: `true`, or `{ max = 1, ttl = "2m" }`.
    pub allow_responses: Option<ResponsesConfig>,
    /// Streams whose existing consumers may be pulled from.
    #[serde(default)]
    pub consume: Vec<String>,
    /// Streams that may be read, with consumers of one's own.
    #[serde(default)]
    pub stream_read: Vec<String>,
    /// Key-value buckets that may be read and watched.
    #[serde(default)]
    pub kv_read: Vec<String>,
    /// Key-value buckets that may be written.
    #[serde(default)]
    pub kv_write: Vec<String>,
    /// Upper bounds.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// Patterns allowed and patterns denied; deny wins. Templates (`{{claims.tenant}}`) may stand for tokens.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionConfig {
    /// Patterns allowed.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Patterns denied.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// Upper bounds of a role; whatever is absent is left to the server's own limits. Each is a number, or a template for one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections at once, per identity.
    pub connections: Option<Limit<u32>>,
    /// Subscriptions at once, per connection.
    pub subscriptions: Option<Limit<u32>>,
    /// Messages published per second.
    pub messages_per_second: Option<Limit<u64>>,
    /// Bytes published per second, as text with a unit (`"1 MiB"`) or a number of bytes.
    pub bytes_per_second: Option<Limit<Bytes>>,
    /// Largest payload, as text with a unit or a number of bytes.
    pub payload: Option<Limit<Bytes>>,
}

/// One `[[bindings]]` table: a role for whoever meets all of its conditions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingConfig {
    /// The role given.
    pub role: String,
    /// Only for tokens of this issuer.
    pub issuer: Option<String>,
    /// Conditions on facts: `"claims.<path>"`, `"certificate.<uri|dns|email|cn|identity|issuer|serial|spki_sha256>"`.
    #[serde(default)]
    pub when: BTreeMap<String, ConditionConfig>,
}
