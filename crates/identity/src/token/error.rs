//! Why a token was refused, and why keys could not be loaded. Neither ever holds the token or a secret.

use std::path::PathBuf;

/// Why a token was refused. `Display` is for the log; the peer is told no more than "refused".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than the configured maximum.
    #[error("the token is longer than allowed")]
    Oversized,
    /// Not three base64url segments of the right content.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A header or claim occurs twice.
    #[error("the token holds a duplicate {0}")]
    Duplicate(&'static str),
    /// A header that would change how the token is verified; none of them is honoured.
    #[error("the token's header holds `{0}`, which is never honoured")]
    Header(&'static str),
    /// The header's `typ` is not one of those allowed.
    #[error("the token's type is not allowed")]
    Type,
    /// The header's `alg` is unknown, `none`, or not one of those configured for the issuer.
    #[error("the token's algorithm is not allowed for its issuer")]
    Algorithm,
    /// `iss` names no configured issuer.
    #[error("the token's issuer is not configured")]
    Issuer,
    /// The issuer has no such key for the algorithm, or the token does not say which of several. A
    /// verifier with fetched keys takes this as its cue to look for new ones.
    #[error("no key of the issuer fits the token")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// `aud` names none of the configured audiences.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` lies in the future.
    #[error("the token says it was issued in the future")]
    IssuedInFuture,
    /// A claim that must be there is not.
    #[error("the token lacks the claim `{0}`")]
    MissingClaim(&'static str),
    /// A registered claim has the wrong type or an impossible value.
    #[error("the token's claim `{0}` is malformed")]
    ClaimType(&'static str),
}

impl TokenError {
    /// A stable word for metrics and audit.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Malformed(_) | Self::ClaimType(_) => "malformed",
            Self::Duplicate(_) => "duplicate",
            Self::Header(_) => "header",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Issuer => "issuer",
            Self::UnknownKey => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::MissingClaim(_) => "missing_claim",
        }
    }
}

/// Why an issuer's configuration or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The issuer's configuration contradicts itself or lacks something.
    #[error("issuer `{issuer}`: {problem}")]
    Config {
        /// The issuer as configured.
        issuer: String,
        /// What is wrong.
        problem: String,
    },
    /// A key file cannot be read.
    #[error("issuer `{issuer}`: cannot read {}: {source}", path.display())]
    Read {
        /// The issuer as configured.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Keys were read but cannot be used.
    #[error("issuer `{issuer}`: {}{problem}", path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default())]
    Key {
        /// The issuer as configured.
        issuer: String,
        /// The file, unless the keys came from elsewhere.
        path: Option<PathBuf>,
        /// What is wrong; names the key by its position or `kid`, never by its content.
        problem: String,
    },
}
