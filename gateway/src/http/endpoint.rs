//! URLs that may be called: `https`, or `http` to this machine where that was asked for.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// Why a URL is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL with a scheme, a host and perhaps a path.
    #[error("expected a URL such as https://login.example.com/keys")]
    Malformed,
    /// Another scheme than `https`.
    #[error("only https is called")]
    Scheme,
    /// Credentials in the URL: they would end up in logs.
    #[error("a URL must not hold credentials")]
    Credentials,
}

/// A URL that may be called.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// Reads a URL. `loopback` allows plain `http` to this machine, for development and tests.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn parse(url: &str, loopback: bool) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|_| EndpointError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(EndpointError::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credentials);
        }
        if authority.host().is_empty() {
            return Err(EndpointError::Malformed);
        }
        let near = || matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
        match scheme {
            scheme if *scheme == Scheme::HTTPS => Ok(Self(uri)),
            scheme if *scheme == Scheme::HTTP && loopback && near() => Ok(Self(uri)),
            _ => Err(EndpointError::Scheme),
        }
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The port, the scheme's own unless written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether it is called over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// `host:port` as in the header `Host`.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        self.0.path_and_query().map_or("/", |target| target.as_str())
    }

    /// Whether both are served by the same host and port over the same scheme.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.is_https(), self.host(), self.port()) == (other.is_https(), other.host(), other.port())
    }

    /// Where a `Location` leads that was answered by this URL.
    pub(super) fn join(&self, location: &str, loopback: bool) -> Result<Self, EndpointError> {
        if location.starts_with('/') && !location.starts_with("//") {
            let scheme = if self.is_https() { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{}{location}", self.authority()), loopback);
        }
        Self::parse(location, loopback)
    }
}

impl fmt::Display for Endpoint {
    /// Without the query, which may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.0.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointError as E;
    use super::*;

    #[test]
    fn only_https_and_by_leave_http_to_this_machine() {
        for url in ["https://a.example/k", "https://a.example", "https://[::1]:8443/x?y=z"] {
            assert!(Endpoint::parse(url, false).is_ok(), "{url}");
        }
        for (url, loopback, error) in [
            ("http://a.example/", true, E::Scheme),
            ("http://127.0.0.1/", false, E::Scheme),
            ("http://127.0.0.1.evil.example/", true, E::Scheme),
            ("file:///etc/passwd", true, E::Malformed),
            ("ftp://a.example/", false, E::Scheme),
            ("https://u:p@a.example/", false, E::Credentials),
            ("https://a.example@evil.example/", false, E::Credentials),
            ("/keys", false, E::Malformed),
            ("", false, E::Malformed),
            ("https:///keys", false, E::Malformed),
        ] {
            assert_eq!(Endpoint::parse(url, loopback), Err(error), "{url}");
        }
        assert!(Endpoint::parse("http://localhost:80/", true).is_ok());
    }

    #[test]
    fn parts() {
        let at = Endpoint::parse("https://[::1]/a?secret=1", false).unwrap();
        assert_eq!((at.host(), at.port(), at.target()), ("::1", 443, "/a?secret=1"));
        assert!(!format!("{at} {at:?}").contains("secret"));
        let next = at.join("/b", false).unwrap();
        assert!(at.same_origin(&next) && next.target() == "/b");
        let other = at.join("https://[::1]:444/b", false).unwrap();
        assert!(!at.same_origin(&other));
        assert!(at.join("//evil.example/b", false).is_err() && at.join("http://[::1]/", false).is_err());
    }
}
