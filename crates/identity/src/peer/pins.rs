//! Pins: certificates accepted or refused one by one, beyond what their CA says.

use serde::{Deserialize, Serialize};

use crate::policy::CertificateNames;

/// What is accepted, and what is not, of certificates a trusted CA has signed. A refusal wins. Each list that accepts
/// and is not empty must hold the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pins {
    /// Distinguished names of issuers, RFC 4514 style; no others are accepted.
    pub allow_issuers: Vec<String>,
    /// Distinguished names of issuers that are not accepted.
    pub deny_issuers: Vec<String>,
    /// SHA-256 of public keys (SubjectPublicKeyInfo), hex; no others are accepted.
    pub allow_keys: Vec<String>,
    /// SHA-256 of public keys that are not accepted.
    pub deny_keys: Vec<String>,
    /// Serial numbers, hex; no others are accepted.
    pub allow_serials: Vec<String>,
    /// Serial numbers that are not accepted.
    pub deny_serials: Vec<String>,
}

/// Which pin a certificate does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate's {0} is not one that is accepted")]
pub struct NotPinned(&'static str);

impl Pins {
    /// Whether a certificate is accepted.
    ///
    /// # Errors
    /// [`NotPinned`].
    pub fn check(&self, certificate: &CertificateNames) -> Result<(), NotPinned> {
        let spki = super::hex(&certificate.spki_sha256);
        let exact = |list: &[String]| list.contains(&certificate.issuer);
        let key = |list: &[String]| list.iter().any(|pin| plain(pin) == spki);
        let serial =
            |list: &[String]| list.iter().any(|pin| number(&plain(pin)) == number(&certificate.serial));
        judge("issuer", &self.allow_issuers, &self.deny_issuers, exact)?;
        judge("public key", &self.allow_keys, &self.deny_keys, key)?;
        judge("serial number", &self.allow_serials, &self.deny_serials, serial)
    }

    /// Pins that can't be what they should be, with the key they stand under.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, usize, &'static str)> {
        let mut found = Vec::new();
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (name, list) in [("allow_keys", &self.allow_keys), ("deny_keys", &self.deny_keys)] {
            let bad = list.iter().enumerate().filter(|(_, pin)| plain(pin).len() != 64 || !hex(&plain(pin)));
            found.extend(
                bad.map(|(index, _)| (name, index, "expected the 64 hexadecimal digits of a SHA-256")),
            );
        }
        for (name, list) in [("allow_serials", &self.allow_serials), ("deny_serials", &self.deny_serials)] {
            let bad = list.iter().enumerate().filter(|(_, pin)| !hex(&plain(pin)));
            found.extend(bad.map(|(index, _)| (name, index, "expected a serial number in hexadecimal")));
        }
        for (name, list) in [("allow_issuers", &self.allow_issuers), ("deny_issuers", &self.deny_issuers)] {
            let bad = list.iter().enumerate().filter(|(_, pin)| pin.is_empty());
            found.extend(
                bad.map(|(index, _)| {
                    (name, index, "expected a distinguished name such as \"CN=Partners CA\"")
                }),
            );
        }
        found
    }
}

fn judge(
    what: &'static str,
    allow: &[String],
    deny: &[String],
    holds: impl Fn(&[String]) -> bool,
) -> Result<(), NotPinned> {
    let good = !holds(deny) && (allow.is_empty() || holds(allow));
    if good { Ok(()) } else { Err(NotPinned(what)) }
}

/// Hex digits in lower case, without the colons and spaces tools print between them.
fn plain(pin: &str) -> String {
    pin.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_ascii_lowercase()
}

/// A serial number without leading zeros.
fn number(hex: &str) -> &str {
    let digits = hex.trim_start_matches('0');
    if digits.is_empty() && !hex.is_empty() { "0" } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_accept_and_refuse() {
        let certificate = CertificateNames {
            issuer: "CN=CA".into(),
            serial: "0a1b".into(),
            spki_sha256: [0xab; 32],
            ..CertificateNames::default()
        };
        let key = "AB:".repeat(31) + "AB";
        let list = |text: &str| vec![text.to_owned()];
        let none = Pins::default();
        for (pins, good) in [
            (none.clone(), true),
            (Pins { allow_issuers: list("CN=CA"), ..none.clone() }, true),
            (Pins { allow_issuers: list("CN=Other"), ..none.clone() }, false),
            (Pins { deny_issuers: list("CN=CA"), ..none.clone() }, false),
            (Pins { allow_keys: list(&key), allow_serials: list("a1b"), ..none.clone() }, true),
            (Pins { allow_keys: list(&key), allow_serials: list("a1c"), ..none.clone() }, false),
            (Pins { deny_keys: list(&key), ..none.clone() }, false),
            (Pins { deny_serials: list("00:0A:1B"), ..none.clone() }, false),
            (Pins { deny_serials: list("1b"), ..none.clone() }, true),
            (Pins { allow_issuers: list("CN=CA"), deny_issuers: list("CN=CA"), ..none.clone() }, false),
        ] {
            assert_eq!(pins.check(&certificate).is_ok(), good, "{pins:?}");
            assert!(pins.problems().is_empty());
        }
        let bad = Pins { allow_keys: list("ab"), deny_serials: list("x"), allow_issuers: list(""), ..none };
        assert_eq!(bad.problems().len(), 3);
    }
}
