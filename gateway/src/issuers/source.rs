//! Where one issuer's keys are, and how they are got: discovery, then the JWK set.

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use identity::token::KeyError;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::http::{Answer, Call, Endpoint, EndpointError, HttpClient, HttpError};

/// Path below an issuer at which it describes itself.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Largest file a bearer token is read from, in bytes.
const MAX_TOKEN_FILE: usize = 64 << 10;

/// Where keys are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// At the URL that the issuer's own description names.
    Discovery,
    /// At this URL.
    Url(Endpoint),
}

/// The server of one issuer's keys.
#[derive(Debug)]
pub struct KeyServer {
    /// What is asked for.
    pub location: KeyLocation,
    /// How it is asked.
    pub client: HttpClient,
    /// A file with a bearer token to show, as Kubernetes' API server wants it. Read for each fetch; shown to the
    /// configured host alone, whatever the issuer's description says.
    pub token_file: Option<PathBuf>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("{at}: {source}")]
    Http {
        /// What was called.
        at: Endpoint,
        /// Why there is none.
        #[source]
        source: HttpError,
    },
    /// An answer that says no.
    #[error("{at}: answered {status}")]
    Status {
        /// What was called.
        at: Endpoint,
        /// The answer.
        status: StatusCode,
    },
    /// The issuer's name is no URL that may be called.
    #[error("the issuer's name can't be looked up: {0}")]
    IssuerUrl(EndpointError),
    /// The description is not JSON with the members that are needed.
    #[error("{0}: is no description of an issuer")]
    Description(Endpoint),
    /// The description is somebody else's.
    #[error("{0}: describes another issuer")]
    OtherIssuer(Endpoint),
    /// The keys' URL may not be called.
    #[error("`jwks_uri`: {0}")]
    KeysUrl(EndpointError),
    /// The bearer token can't be read.
    #[error("{path}: {source}", path = path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// A JWK set as it was answered.
#[derive(Debug)]
pub struct Fetched {
    /// The set, in JSON.
    pub keys: Vec<u8>,
    /// How long the answer says it is good for.
    pub lifetime: Option<Duration>,
}

/// What is needed of an issuer's description.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl KeyServer {
    /// Fetches the keys of `issuer`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, issuer: &str) -> Result<Fetched, FetchError> {
        let token = self.token().await?;
        let token = token.as_deref().map(String::as_str);
        let (at, token) = match &self.location {
            KeyLocation::Url(at) => (at.clone(), token),
            KeyLocation::Discovery => {
                let described = self.describing(issuer)?;
                let at = self.discover(issuer, &described, token).await?;
                let token = token.filter(|_| at.same_origin(&described));
                (at, token)
            }
        };
        let answer = self.get(&at, token).await?;
        Ok(Fetched { lifetime: lifetime(&answer.headers), keys: answer.body })
    }

    /// Where an issuer describes itself.
    fn describing(&self, issuer: &str) -> Result<Endpoint, FetchError> {
        let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
        Endpoint::parse(&url, self.client.limits().loopback).map_err(FetchError::IssuerUrl)
    }

    async fn discover(
        &self,
        issuer: &str,
        described: &Endpoint,
        token: Option<&str>,
    ) -> Result<Endpoint, FetchError> {
        let answer = self.get(described, token).await?;
        let description: Description =
            serde_json::from_slice(&answer.body).map_err(|_| FetchError::Description(described.clone()))?;
        // Otherwise anybody who can answer for one URL could speak for another issuer (OpenID Connect Discovery 4.3).
        if description.issuer != issuer {
            return Err(FetchError::OtherIssuer(described.clone()));
        }
        Endpoint::parse(&description.jwks_uri, self.client.limits().loopback).map_err(FetchError::KeysUrl)
    }

    async fn get(&self, at: &Endpoint, token: Option<&str>) -> Result<Answer, FetchError> {
        let call = match token {
            Some(token) => Call::get().authorized(&Zeroizing::new(format!("Bearer {token}"))),
            None => Call::get(),
        };
        let answer = self.client.call(at, &call).await;
        let answer = answer.map_err(|source| FetchError::Http { at: at.clone(), source })?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            status => Err(FetchError::Status { at: at.clone(), status }),
        }
    }

    async fn token(&self) -> Result<Option<Zeroizing<String>>, FetchError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let failed = |source| FetchError::TokenFile { path: path.clone(), source };
        let text = Zeroizing::new(tokio::fs::read_to_string(path).await.map_err(failed)?);
        if text.len() > MAX_TOKEN_FILE {
            return Err(failed(std::io::Error::other("too large for a token")));
        }
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    }
}

/// The `max-age` of an answer that may be kept.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives: Vec<&str> = directives.flat_map(|value| value.split(',')).map(str::trim).collect();
    if directives
        .iter()
        .any(|one| one.eq_ignore_ascii_case("no-store") || one.eq_ignore_ascii_case("no-cache"))
    {
        return None;
    }
    let age = |one: &&str| {
        let (name, seconds) = one.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| seconds.parse().ok()).flatten()
    };
    directives.iter().find_map(age).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        for (value, seconds) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=60, must-revalidate", Some(60)),
            ("no-store, max-age=300", None),
            ("no-cache", None),
            ("max-age=x", None),
            ("s-maxage=5", None),
            ("max-age=99999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(lifetime(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(lifetime(&HeaderMap::new()), None);
    }
}
