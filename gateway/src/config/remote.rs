//! `[opaque_tokens]`, `[introspection]`, `[auth]`: tokens that are no JWTs, and services that are asked.

use std::path::PathBuf;

use daemon::config::{KeyPath, Period, Problems, Size};
use identity::remote::BreakerLimits;
use identity::tls::ClientTls;
use serde::{Deserialize, Serialize};

use super::fetch::{check_pair, client_tls};
use crate::http::{Endpoint, HttpLimits};
use crate::remote::{AskingLimits, ClientAuth};

/// `[opaque_tokens]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpaqueTokens {
    /// The file of hashed tokens; made by `event-gateway token create`.
    pub file: PathBuf,
}

/// How a service is called, and how its answers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// CAs the server's certificate may come from, PEM; the operating system's unless given.
    pub ca_path: Option<PathBuf>,
    /// A certificate to show to the server.
    pub cert_path: Option<PathBuf>,
    /// Its key.
    pub key_path: Option<PathBuf>,
    /// Time for one answer; it may be longer than clients wait.
    pub timeout: Period,
    /// Largest answer taken.
    pub max_bytes: Size,
    /// Questions put at a time.
    pub at_once: usize,
    /// How long an answer is kept, at most.
    pub cache_ttl: Period,
    /// How long an answer is kept that says no.
    pub negative_ttl: Period,
    /// How many answers are kept.
    pub cache_entries: usize,
    /// How long a connection lasts before the service is asked again.
    pub max_lifetime: Period,
    /// Failures in a row after which the service is left alone.
    pub failures: u32,
    /// For how long, at first.
    pub open_min: Period,
    /// And at most.
    pub open_max: Period,
    /// Call `http://` on this machine, for development.
    pub allow_http_on_loopback: bool,
}

impl Default for Calls {
    fn default() -> Self {
        let breaker = BreakerLimits::default();
        Self {
            ca_path: None,
            cert_path: None,
            key_path: None,
            timeout: Period::secs(10),
            max_bytes: Size::bytes(64 << 10),
            at_once: 64,
            cache_ttl: Period::secs(60),
            negative_ttl: Period::secs(5),
            cache_entries: 10_000,
            max_lifetime: Period::secs(3600),
            failures: breaker.failures,
            open_min: breaker.open.0.into(),
            open_max: breaker.open.1.into(),
            allow_http_on_loopback: false,
        }
    }
}

impl Calls {
    fn check(&self, at: &KeyPath, problems: &mut Problems<'_>) {
        let key = |name: &str| at.clone().key(name);
        for (name, period) in [("timeout", self.timeout), ("max_lifetime", self.max_lifetime)] {
            if period.is_zero() {
                problems.at(key(name), "expected more than no time");
            }
        }
        for (name, number) in [("at_once", self.at_once), ("cache_entries", self.cache_entries)] {
            if number == 0 {
                problems.at(key(name), "expected at least 1");
            }
        }
        check_pair(self.cert_path.is_some(), self.key_path.is_some(), at, problems);
    }

    /// Bounds of one call.
    #[must_use]
    pub fn http(&self) -> HttpLimits {
        HttpLimits {
            timeout: self.timeout.into(),
            max_body: self.max_bytes.as_usize(),
            follow_redirects: false,
            loopback: self.allow_http_on_loopback,
        }
    }

    /// Bounds of what is asked and kept.
    #[must_use]
    pub fn asking(&self) -> AskingLimits {
        let open = (self.open_min.into(), self.open_max.into());
        AskingLimits {
            at_once: self.at_once,
            remembered: self.cache_entries,
            breaker: BreakerLimits { failures: self.failures, open },
        }
    }

    /// TLS of the calls.
    #[must_use]
    pub fn tls(&self) -> ClientTls {
        client_tls(self.ca_path.as_ref(), self.cert_path.as_ref(), self.key_path.as_ref())
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.ca_path, &mut self.cert_path, &mut self.key_path].into_iter().flatten()
    }
}

/// `[introspection]`: an authorization server that is asked about tokens (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// Where it answers.
    pub endpoint: String,
    /// The `iss` of its tokens, for bindings; an answer that names another one is refused.
    pub issuer: String,
    /// Audiences of which an answer must name one; none are asked for when empty.
    #[serde(default)]
    pub audience: Vec<String>,
    /// Our id there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// A file with our secret, for HTTP Basic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// A file with a bearer token of ours, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// How it is called.
    #[serde(default)]
    pub call: Calls,
}

impl IntrospectionConfig {
    /// Where it answers, once checked.
    #[must_use]
    pub fn at(&self) -> Option<Endpoint> {
        Endpoint::parse(&self.endpoint, self.call.allow_http_on_loopback).ok()
    }

    /// How we prove who asks, once checked.
    #[must_use]
    pub fn auth(&self) -> ClientAuth {
        match (&self.client_id, &self.client_secret_file, &self.token_file) {
            (Some(id), Some(secret), _) => ClientAuth::Basic { id: id.clone(), secret_file: secret.clone() },
            (_, _, Some(file)) => ClientAuth::Bearer(file.clone()),
            (id, ..) => ClientAuth::Certificate(id.clone()),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        let at = KeyPath::from("introspection");
        let key = |name: &str| at.clone().key(name);
        if let Err(error) = Endpoint::parse(&self.endpoint, self.call.allow_http_on_loopback) {
            problems.at(key("endpoint"), error.to_string());
        }
        if self.issuer.is_empty() {
            problems.at(key("issuer"), "expected the `iss` of its tokens");
        }
        if self.client_secret_file.is_some() && self.client_id.is_none() {
            problems.at(key("client_secret_file"), "goes with `client_id`");
        }
        if self.client_secret_file.is_some() && self.token_file.is_some() {
            problems.at(key("token_file"), "goes instead of `client_secret_file`, not with it");
        }
        let proof = self.client_secret_file.is_some() || self.token_file.is_some();
        if !proof && self.call.cert_path.is_none() {
            let message = "expected one proof of who asks: `client_id` with `client_secret_file`, `token_file`, or a \
                           certificate (`call.cert_path` and `call.key_path`)";
            problems.at(at.clone(), message);
        }
        self.call.check(&key("call"), problems);
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = [&mut self.client_secret_file, &mut self.token_file].into_iter().flatten();
        own.chain(self.call.paths())
    }
}

/// `[auth]`: a service of the operator's own that judges tokens and says who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Where tokens are judged.
    pub authn_endpoint: Option<String>,
    /// Where it is asked who may come in.
    pub authz_endpoint: Option<String>,
    /// What one has to be allowed to come in.
    pub action: String,
    /// On what.
    pub resource: String,
    /// How it is called.
    pub call: Calls,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            authn_endpoint: None,
            authz_endpoint: None,
            action: "ingest:unifiedEvents:create".into(),
            resource: "ingest:unifiedEvents".into(),
            call: Calls::default(),
        }
    }
}

impl AuthConfig {
    /// Where tokens are judged and where rights are asked for, once checked.
    #[must_use]
    pub fn endpoints(&self) -> [Option<Endpoint>; 2] {
        let read =
            |url: &Option<String>| Endpoint::parse(url.as_ref()?, self.call.allow_http_on_loopback).ok();
        [read(&self.authn_endpoint), read(&self.authz_endpoint)]
    }

    pub(super) fn check(&self, introspection: bool, problems: &mut Problems<'_>) {
        let at = KeyPath::from("auth");
        let urls = [("authn_endpoint", &self.authn_endpoint), ("authz_endpoint", &self.authz_endpoint)];
        if urls.iter().all(|(_, url)| url.is_none()) {
            problems.at(at.clone(), "expected `authn_endpoint`, `authz_endpoint` or both");
        }
        for (name, url) in urls {
            let wrong =
                url.as_ref().and_then(|url| Endpoint::parse(url, self.call.allow_http_on_loopback).err());
            if let Some(error) = wrong {
                problems.at(at.clone().key(name), error.to_string());
            }
        }
        if introspection && self.authn_endpoint.is_some() {
            let message = "[introspection] judges tokens already: two judges would disagree some day";
            problems.at(at.clone().key("authn_endpoint"), message);
        }
        self.call.check(&at.key("call"), problems);
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.call.paths()
    }
}
