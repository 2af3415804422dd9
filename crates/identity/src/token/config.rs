//! What an operator says about an issuer: who it is, for whom it speaks, how it signs, where its keys are.

use std::path::PathBuf;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::error::KeyError;

/// Clock difference forgiven when nothing else is configured, in seconds.
pub const DEFAULT_LEEWAY: u64 = 30;

/// Largest token accepted when nothing else is configured, in bytes.
pub const DEFAULT_MAX_TOKEN: usize = 16 * 1024;

/// One issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences of which a token must name at least one; not empty.
    pub audience: Vec<String>,
    /// Algorithms a token may be signed with; not empty. A key is used with those of them that fit it.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Clock difference forgiven for `exp`, `nbf` and `iat`, in seconds.
    pub leeway: u64,
    /// Values of the header `typ` that are accepted, without regard to case or an `application/` prefix.
    /// A token without `typ` is accepted.
    pub types: Vec<String>,
    /// Audiences of which a logout token must name one: the ids under which the issuer knows us. As `audience` unless
    /// set.
    pub logout_audience: Vec<String>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// A file with a JWK set of public keys.
    JwksFile(PathBuf),
    /// Public keys or certificates, one per file. The file's name without its extension is the key's `kid`.
    PemFiles(Vec<PathBuf>),
    /// A shared secret for HS256/384/512: the bytes of the file without a trailing line end.
    SecretFile(PathBuf),
    /// Nothing to read: someone fetches JWK sets and hands them to
    /// [`TokenVerifier::replace_keys`](super::TokenVerifier::replace_keys).
    Pushed,
}

impl IssuerConfig {
    /// An issuer with the usual leeway and token types.
    #[must_use]
    pub fn new(
        issuer: impl Into<String>,
        audience: Vec<String>,
        algorithms: Vec<Algorithm>,
        keys: KeySource,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            logout_audience: audience.clone(),
            audience,
            algorithms,
            keys,
            leeway: DEFAULT_LEEWAY,
            types: vec!["JWT".into(), "at+jwt".into()],
        }
    }

    /// Checks what needs no file.
    pub(super) fn check(&self) -> Result<(), KeyError> {
        let fail = |problem: &str| {
            Err(KeyError::Config { issuer: self.issuer.clone(), problem: problem.to_owned() })
        };
        if self.issuer.is_empty() {
            return fail("`issuer` must not be empty");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            return fail("`audience` must name at least one audience, none of them empty");
        }
        if self.algorithms.is_empty() {
            return fail("`algorithms` must name at least one algorithm");
        }
        let secret = matches!(self.keys, KeySource::SecretFile(_));
        if self.algorithms.iter().any(|alg| is_hmac(*alg) != secret) {
            return fail("HS256, HS384 and HS512 go with `secret_file`, all others with public keys");
        }
        Ok(())
    }
}

pub(super) fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// Reads an algorithm's registered name. `none` is not one.
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    // The library's own parser may learn names we have not thought about; this table is the list.
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// An `[[issuers]]` table of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences of which a token must name one.
    #[serde(default)]
    pub audience: Vec<String>,
    /// Names of the algorithms accepted.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// A file with a JWK set.
    pub jwks_file: Option<PathBuf>,
    /// Files with one public key or certificate each.
    pub pem_files: Option<Vec<PathBuf>>,
    /// A file with a shared secret.
    pub secret_file: Option<PathBuf>,
    /// Clock difference forgiven, in seconds; [`DEFAULT_LEEWAY`] when absent.
    pub leeway_seconds: Option<u64>,
    /// Accepted values of `typ`; `JWT` and `at+jwt` when absent.
    pub types: Option<Vec<String>>,
}

impl IssuerSettings {
    /// The issuer these settings describe. Paths are taken as they are written.
    ///
    /// # Errors
    /// An unknown algorithm, or not exactly one key source.
    pub fn into_config(self) -> Result<IssuerConfig, KeyError> {
        let fail = |problem: String| KeyError::Config { issuer: self.issuer.clone(), problem };
        let algorithms = self
            .algorithms
            .iter()
            .map(|name| algorithm(name).ok_or_else(|| fail(format!("unknown algorithm `{name}`"))));
        let algorithms = algorithms.collect::<Result<Vec<_>, _>>()?;
        let sources = [
            self.jwks_file.clone().map(KeySource::JwksFile),
            self.pem_files.clone().map(KeySource::PemFiles),
            self.secret_file.clone().map(KeySource::SecretFile),
        ];
        let mut sources = sources.into_iter().flatten();
        let (Some(keys), None) = (sources.next(), sources.next()) else {
            return Err(fail(
                "exactly one of `jwks_file`, `pem_files` and `secret_file` must be given".into(),
            ));
        };
        let mut config = IssuerConfig::new(self.issuer, self.audience, algorithms, keys);
        config.leeway = self.leeway_seconds.unwrap_or(config.leeway);
        config.types = self.types.unwrap_or(config.types);
        config.check()?;
        Ok(config)
    }
}
