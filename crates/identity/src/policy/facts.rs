//! What is known about a peer when it asks to be let in, and how rules name it.

use std::borrow::Cow;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use serde_json::Value;

use crate::peer::{PeerCertificate, PeerIdentity};
use crate::token::Claims;

/// What was verified about a peer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Claims of a verified token.
    pub claims: Option<&'a Claims>,
    /// Names in a verified client certificate.
    pub certificate: Option<&'a CertificateNames>,
    /// Names of roles that whoever vouches for the peer gives it directly, without a binding.
    pub roles: &'a [Arc<str>],
}

/// The same, owned: what a session keeps, so that it can be judged again when the policy, a key or a revocation list
/// changes. Cloning is cheap; `Debug` shows no claim's value.
#[derive(Debug, Clone, Default)]
pub struct VerifiedFacts {
    /// Claims of a verified token, or what stands for them where a token is not a JWT.
    pub claims: Option<Claims>,
    /// Names in a verified client certificate.
    pub certificate: Option<Arc<CertificateNames>>,
    /// Names of roles given directly.
    pub roles: Arc<[Arc<str>]>,
}

impl VerifiedFacts {
    /// As the policy takes them.
    #[must_use]
    pub fn as_facts(&self) -> Facts<'_> {
        Facts { claims: self.claims.as_ref(), certificate: self.certificate.as_deref(), roles: &self.roles }
    }

    /// Whether nothing at all was presented.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_none() && self.certificate.is_none()
    }
}

/// The names in a verified client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The name chosen to stand for the peer.
    pub identity: String,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS subject alternative names.
    pub dns: Vec<String>,
    /// E-mail subject alternative names.
    pub emails: Vec<String>,
    /// The subject's common name.
    pub cn: Option<String>,
    /// The issuer's distinguished name, for provenance.
    pub issuer: String,
    /// Serial number: lower-case hex, no separators, no leading zero bytes.
    pub serial: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// SHA-256 of the whole certificate (RFC 8705 `x5t#S256`).
    pub cert_sha256: [u8; 32],
    /// The chain as the peer showed it, leaf first: verified again when CAs or revocation lists change.
    pub chain: Vec<CertificateDer<'static>>,
    /// When the certificate ends, in seconds since the Unix epoch, if the grant is to end with it.
    pub not_after: Option<u64>,
}

impl CertificateNames {
    /// The names of a peer's certificate; the grant does not end with it unless `not_after` is set later.
    #[must_use]
    pub fn of(certificate: &PeerCertificate, identity: &PeerIdentity) -> Self {
        Self {
            identity: identity.value.clone(),
            uris: certificate.uris.clone(),
            dns: certificate.dns.clone(),
            emails: certificate.emails.clone(),
            cn: certificate.cn.clone(),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            spki_sha256: certificate.spki_sha256,
            cert_sha256: certificate.cert_sha256,
            chain: Vec::new(),
            not_after: None,
        }
    }
}

/// The name of a fact in a rule: `claims.<path>` or `certificate.<field>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FactPath {
    Claim(String),
    Certificate(Field),
}

/// Which names of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Identity,
    Uri,
    Dns,
    Email,
    Cn,
    Issuer,
    Serial,
    Spki,
}

/// What a fact holds for one peer.
pub(super) enum Found<'a> {
    Nothing,
    Claim(&'a Value),
    Names(Vec<Cow<'a, str>>),
}

impl std::fmt::Display for FactPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim(path) => write!(f, "claims.{path}"),
            Self::Certificate(field) => write!(f, "certificate.{}", field.name()),
        }
    }
}

impl FactPath {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "`{text}` names no fact; expected claims.<name> or \
                 certificate.<identity|uri|dns|email|cn|issuer|serial|spki_sha256>"
            )
        };
        let (kind, name) = text.split_once('.').ok_or_else(problem)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}');
        match (kind, name) {
            ("claims", name) if !name.is_empty() && !name.contains(odd) => Ok(Self::Claim(name.to_owned())),
            ("certificate", "identity") => Ok(Self::Certificate(Field::Identity)),
            ("certificate", "uri") => Ok(Self::Certificate(Field::Uri)),
            ("certificate", "dns") => Ok(Self::Certificate(Field::Dns)),
            ("certificate", "email") => Ok(Self::Certificate(Field::Email)),
            ("certificate", "cn") => Ok(Self::Certificate(Field::Cn)),
            ("certificate", "issuer") => Ok(Self::Certificate(Field::Issuer)),
            ("certificate", "serial") => Ok(Self::Certificate(Field::Serial)),
            ("certificate", "spki_sha256") => Ok(Self::Certificate(Field::Spki)),
            _ => Err(problem()),
        }
    }

    pub(super) fn find<'a>(&self, facts: &Facts<'a>) -> Found<'a> {
        match self {
            Self::Claim(path) => match facts.claims.and_then(|claims| claims.get(path)) {
                None | Some(Value::Null) => Found::Nothing,
                Some(value) => Found::Claim(value),
            },
            Self::Certificate(field) => match facts.certificate {
                None => Found::Nothing,
                Some(certificate) => Found::Names(field.names(certificate)),
            },
        }
    }
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Cn => "cn",
            Self::Issuer => "issuer",
            Self::Serial => "serial",
            Self::Spki => "spki_sha256",
        }
    }

    fn names(self, certificate: &CertificateNames) -> Vec<Cow<'_, str>> {
        fn texts(list: &[String]) -> Vec<Cow<'_, str>> {
            list.iter().map(Into::into).collect()
        }
        match self {
            Self::Identity => vec![(&certificate.identity).into()],
            Self::Uri => texts(&certificate.uris),
            Self::Dns => texts(&certificate.dns),
            Self::Email => texts(&certificate.emails),
            Self::Cn => certificate.cn.iter().map(Into::into).collect(),
            Self::Issuer => vec![(&certificate.issuer).into()],
            Self::Serial => vec![(&certificate.serial).into()],
            Self::Spki => vec![crate::peer::hex(&certificate.spki_sha256).into()],
        }
    }
}
