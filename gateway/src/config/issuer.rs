//! `[[issuers]]`: whose tokens are accepted, and where the keys to verify them come from.

use std::path::PathBuf;

use daemon::config::{KeyPath, Period, Problems};
use identity::token::{Algorithm, DEFAULT_LEEWAY, IssuerConfig, KeySource, algorithm};
use serde::{Deserialize, Serialize};

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
    /// Reserved: keys by OpenID Connect discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<bool>,
    /// Reserved: keys from a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Clock difference forgiven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway: Option<Period>,
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
        if let Some(types) = &self.types {
            config.types.clone_from(types);
        }
        Some(config)
    }

    fn key_source(&self) -> Option<KeySource> {
        let file = self.jwks_file.clone().map(KeySource::JwksFile);
        let pem = || self.pem_files.clone().map(KeySource::PemFiles);
        file.or_else(pem).or_else(|| self.secret_file.clone().map(KeySource::SecretFile))
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
                Some(_)
                    if self.reserved().is_none() && name.starts_with("HS") != self.secret_file.is_some() =>
                {
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
        if let Some(name) = self.reserved() {
            let message =
                "not yet supported: fetching keys comes with the next release; use `jwks_file` until then";
            problems.at(at.clone().key(name), message);
            return;
        }
        let given = [
            ("jwks_file", self.jwks_file.is_some()),
            ("pem_files", self.pem_files.is_some()),
            ("secret_file", self.secret_file.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        match (given.next(), given.next()) {
            (None, _) => {
                problems.at(at.clone(), "expected exactly one of `jwks_file`, `pem_files` and `secret_file`");
            }
            (Some(first), Some(second)) => {
                let message = format!("exactly one source of keys is expected, `{first}` is given too");
                problems.at(at.clone().key(second), message);
            }
            (Some(_), None) => {}
        }
        if self.pem_files.as_ref().is_some_and(Vec::is_empty) {
            problems.at(at.clone().key("pem_files"), "expected at least one file");
        }
    }

    /// The key of a source that is understood but not there yet.
    fn reserved(&self) -> Option<&'static str> {
        let discovery = (self.discovery == Some(true)).then_some("discovery");
        discovery.or_else(|| self.jwks_url.is_some().then_some("jwks_url"))
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let single = [&mut self.jwks_file, &mut self.secret_file].into_iter().flatten();
        single.chain(self.pem_files.iter_mut().flatten())
    }
}
