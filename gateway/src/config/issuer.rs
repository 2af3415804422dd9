//! `[[issuers]]`: whose tokens are accepted, and where the keys to verify them come from.

use std::path::PathBuf;

use daemon::config::{KeyPath, Period, Problems};
use identity::token::{Algorithm, DEFAULT_LEEWAY, IssuerConfig, KeySource, algorithm};
use serde::{Deserialize, Serialize};

use super::fetch::Fetch;
use crate::http::Endpoint;
use crate::issuers::KeyLocation;

/// Names of the algorithms there are.
const ALGORITHMS: &str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, and with `secret_file` HS256, HS384, HS512";

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences of which a token must name one.
    pub audience: Vec<String>,
    /// Algorithms a token may be signed with.
    pub algorithms: Vec<String>,
    /// A file with a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Public keys or certificates in PEM, one per file; a file's name without extension is the key's `kid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem_files: Option<Vec<PathBuf>>,
    /// A file with a shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Keys by OpenID Connect discovery: the issuer's name is a URL below which it describes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<bool>,
    /// Keys from this URL, which answers with a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// How keys are fetched, with `discovery` and `jwks_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Fetch>,
    /// Clock difference forgiven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway: Option<Period>,
    /// Audiences of which a logout token must name one; as `audience` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logout_audience: Option<Vec<String>>,
    /// Accepted values of the token's header `typ`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
}

impl Issuer {
    /// The issuer as the verifier takes it. What [`Issuer::check`] complains about is left out.
    #[must_use]
    pub fn to_verifier(&self) -> Option<IssuerConfig> {
        let algorithms: Vec<Algorithm> = self.algorithms.iter().filter_map(|name| algorithm(name)).collect();
        let mut config =
            IssuerConfig::new(self.issuer.clone(), self.audience.clone(), algorithms, self.key_source()?);
        config.leeway = self.leeway.map_or(DEFAULT_LEEWAY, |leeway| leeway.duration().as_secs());
        if let Some(audience) = &self.logout_audience {
            config.logout_audience.clone_from(audience);
        }
        if let Some(types) = &self.types {
            config.types.clone_from(types);
        }
        Some(config)
    }

    fn key_source(&self) -> Option<KeySource> {
        let file = self.jwks_file.clone().map(KeySource::JwksFile);
        let pem = || self.pem_files.clone().map(KeySource::PemFiles);
        let secret = || self.secret_file.clone().map(KeySource::SecretFile);
        file.or_else(pem).or_else(secret).or_else(|| self.location().map(|_| KeySource::Pushed))
    }

    /// Where the keys are fetched from, if they are.
    #[must_use]
    pub fn location(&self) -> Option<KeyLocation> {
        if self.discovery == Some(true) {
            return Some(KeyLocation::Discovery);
        }
        let loopback = self.fetching().allow_http_on_loopback;
        Endpoint::parse(self.jwks_url.as_ref()?, loopback).ok().map(KeyLocation::Url)
    }

    /// How keys are fetched.
    #[must_use]
    pub fn fetching(&self) -> Fetch {
        self.fetch.clone().unwrap_or_default()
    }

    /// Whether every call goes to this machine without TLS.
    #[must_use]
    pub fn plain_http(&self) -> bool {
        let url = if self.discovery == Some(true) { Some(&self.issuer) } else { self.jwks_url.as_ref() };
        url.is_some_and(|url| url.starts_with("http://"))
    }

    /// Everything that can be said without reading files; `at` is where the issuer stands.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems<'_>) {
        let key = |name: &str| at.clone().key(name);
        if self.issuer.is_empty() {
            problems.at(key("issuer"), "expected the exact `iss` of the issuer's tokens");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            problems.at(key("audience"), "expected at least one audience, none of them empty");
        }
        if self.algorithms.is_empty() {
            problems.at(key("algorithms"), format!("expected at least one of {ALGORITHMS}"));
        }
        for (index, name) in self.algorithms.iter().enumerate() {
            let entry = || key("algorithms").index(index);
            match algorithm(name) {
                None => problems.at(entry(), format!("expected one of {ALGORITHMS}")),
                Some(_) if name.starts_with("HS") != self.secret_file.is_some() => {
                    problems.at(
                        entry(),
                        "HS256, HS384 and HS512 go with `secret_file`, all others with public keys",
                    );
                }
                Some(_) => {}
            }
        }
        self.check_sources(at, problems);
    }

    fn check_sources(&self, at: &KeyPath, problems: &mut Problems<'_>) {
        let given = [
            ("jwks_file", self.jwks_file.is_some()),
            ("pem_files", self.pem_files.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("discovery", self.discovery == Some(true)),
            ("jwks_url", self.jwks_url.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        match (given.next(), given.next()) {
            (None, _) => {
                let message = "expected exactly one of `discovery = true`, `jwks_url`, `jwks_file`, `pem_files` and `secret_file`";
                problems.at(at.clone(), message);
            }
            (Some(first), Some(second)) => {
                let message = format!("exactly one source of keys is expected, `{first}` is given too");
                problems.at(at.clone().key(second), message);
            }
            (Some(_), None) => {}
        }
        self.check_fetching(at, problems);
        if self.pem_files.as_ref().is_some_and(Vec::is_empty) {
            problems.at(at.clone().key("pem_files"), "expected at least one file");
        }
    }

    /// Whether the keys can be fetched as it is written.
    fn check_fetching(&self, at: &KeyPath, problems: &mut Problems<'_>) {
        let fetched = self.discovery == Some(true) || self.jwks_url.is_some();
        let loopback = self.fetching().allow_http_on_loopback;
        if self.discovery == Some(true)
            && let Err(error) = Endpoint::parse(&self.issuer, loopback)
        {
            problems.at(at.clone().key("issuer"), format!("with `discovery`: {error}"));
        }
        if let Some(Err(error)) = self.jwks_url.as_ref().map(|url| Endpoint::parse(url, loopback)) {
            problems.at(at.clone().key("jwks_url"), error.to_string());
        }
        let Some(fetch) = &self.fetch else { return };
        if fetched {
            fetch.check(&at.clone().key("fetch"), problems);
        } else {
            problems.at(at.clone().key("fetch"), "has no effect without `discovery` or `jwks_url`");
        }
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let single = [&mut self.jwks_file, &mut self.secret_file].into_iter().flatten();
        let fetch = self.fetch.iter_mut().flat_map(Fetch::paths);
        single.chain(self.pem_files.iter_mut().flatten()).chain(fetch)
    }
}
