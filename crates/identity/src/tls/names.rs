//! Host names as certificates and configurations write them.

use std::str::FromStr;

use crate::tls::TlsError;

/// Longest host name (RFC 1035), in bytes.
const MAX_NAME: usize = 253;

/// A host name, or a wildcard for exactly one first label (`*.example.com`). Upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One name, lower case, without a final dot.
    Exact(String),
    /// Every name one label below this parent.
    OneLabelUnder(String),
}

impl HostPattern {
    /// Whether `host` is meant. `host` is expected without a final dot, as in SNI.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::OneLabelUnder(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && parent.eq_ignore_ascii_case(rest)),
        }
    }
}

impl FromStr for HostPattern {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, wildcard) = match lower.strip_prefix("*.") {
            Some(parent) => (parent.to_owned(), true),
            None => (lower, false),
        };
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                // Underscores are no host names, but they are in use.
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > MAX_NAME || !name.split('.').all(label_ok) {
            return Err(TlsError::ServerName(text.to_owned()));
        }
        Ok(if wildcard { Self::OneLabelUnder(name) } else { Self::Exact(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let pattern: HostPattern = "*.Example.com".parse().unwrap();
        for (host, expected) in [
            ("a.example.com", true),
            ("A.EXAMPLE.COM", true),
            ("example.com", false),
            ("a.b.example.com", false),
            (".example.com", false),
        ] {
            assert_eq!(pattern.matches(host), expected, "{host}");
        }
        assert!("Events.example.com.".parse::<HostPattern>().unwrap().matches("events.EXAMPLE.com"));
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for text in ["", "*", "*.", "a..b", "a b", "-a.example", "*.*.example", "a*.example", "ä.example"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
