//! Who may use the admin API: a token out of a file, or a client certificate by name.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::api::ApiError;

/// Shortest token, in bytes: what can't be guessed needs no counting of guesses.
const MIN_TOKEN: usize = 32;

/// Largest file of tokens read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// How callers of the admin API prove that they may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminLogin {
    /// File of tokens, one a line: `TOKEN`, or `NAME:TOKEN`. Read at each request, so that a change counts at once.
    pub token_file: Option<PathBuf>,
    /// Whether client certificates the listener has verified are a login.
    pub certificates: bool,
}

/// The other end of an admin connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    pub(super) address: Option<SocketAddr>,
    /// The name in its verified and listed certificate.
    pub(super) certificate: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// What came of a login.
pub(super) enum Admission {
    /// Let in, under this name.
    Granted(String),
    Refused(ApiError),
}

impl AdminLogin {
    /// Whether there is any way to log in.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.token_file.is_some() || self.certificates
    }

    pub(super) fn admit(&self, headers: &HeaderMap, peer: &Peer, changes: bool) -> Admission {
        if let Some(name) = peer.certificate.as_ref().filter(|_| self.certificates) {
            return Admission::Granted(format!("certificate:{name}"));
        }
        if !self.is_configured() {
            return match changes {
                false => Admission::Granted(String::new()),
                true => Admission::Refused(ApiError::new(
                    403,
                    "nothing can be changed here without a login: set `token_file` or `tls.root_ca_path` in [admin]",
                )),
            };
        }
        let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = presented.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Admission::Refused(ApiError::new(401, "expected `Authorization: Bearer TOKEN`"));
        };
        let Some(file) = &self.token_file else {
            return Admission::Refused(ApiError::new(401, "expected a client certificate"));
        };
        match tokens(file) {
            Ok(tokens) => match find(&tokens, token.trim()) {
                Some(name) => Admission::Granted(format!("token:{name}")),
                None => Admission::Refused(ApiError::new(401, "the token is not one of the admin API's")),
            },
            Err(error) => {
                tracing::error!(%error, "the admin API's tokens can't be used");
                Admission::Refused(ApiError::new(503, "the admin API's tokens can't be read, see the log"))
            }
        }
    }
}

/// Checks that a file of admin tokens can be used. Reads it.
///
/// # Errors
/// What is wrong with it, without any token.
pub fn check_token_file(path: &Path) -> Result<(), String> {
    tokens(path).map(drop)
}

/// A name and the SHA-256 of its token.
type Known = (String, [u8; 32]);

fn tokens(path: &Path) -> Result<Vec<Known>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("{}: is larger than 64 KiB", path.display()));
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, token) = line.split_once(':').unwrap_or(("admin", line));
        if token.len() < MIN_TOKEN {
            let place = format!("{}, line {}", path.display(), index + 1);
            return Err(format!("{place}: a token has at least {MIN_TOKEN} characters"));
        }
        found.push((name.trim().to_owned(), sha256(token)));
    }
    if found.is_empty() {
        return Err(format!("{}: holds no token", path.display()));
    }
    Ok(found)
}

/// Compares with every token, each in constant time, so that time tells nothing about any.
fn find(tokens: &[Known], presented: &str) -> Option<String> {
    let presented = sha256(presented);
    let mut name = None;
    for (known, hash) in tokens {
        if verify_slices_are_equal(hash, &presented).is_ok() {
            name = Some(known.clone());
        }
    }
    name
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}
