//! [`Listen`]: where to accept connections, written `host:port`.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{ValueError, as_text};

const EXPECTED: &str = "an address such as \"127.0.0.1:4222\", \"[::1]:4222\" or \"bus.internal:4222\", or a port from 0 to 65535";

/// A host name or address, and a port; port 0 takes a free one.
///
/// A bare port means all IPv4 addresses of the machine.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Listen {
    /// Name, IPv4 or IPv6 address, the last without brackets.
    pub host: String,
    /// The port; 0 for a free one.
    pub port: u16,
}

impl Listen {
    /// The pair of them.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The socket addresses it stands for, asking the system's resolver about a name.
    ///
    /// # Errors
    /// When the name is not known or has no address.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.host)));
        }
        Ok(found)
    }

    /// True when only this machine can connect; a name other than `localhost` is taken not to be.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let of_v4 = self.host.parse::<Ipv4Addr>().map(|address| address.is_loopback());
        let of_v6 = self.host.parse::<Ipv6Addr>().map(|address| address.is_loopback());
        self.host == "localhost" || of_v4.unwrap_or(false) || of_v6.unwrap_or(false)
    }
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        parse(text.trim()).ok_or(ValueError { expected: EXPECTED })
    }
}

fn parse(text: &str) -> Option<Listen> {
    if let Ok(port) = text.parse() {
        return Some(any_address(port));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    if host.is_empty() {
        return Some(any_address(port));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Listen::new(address.to_string(), port));
    }
    let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    named.then(|| Listen::new(host, port))
}

fn any_address(port: u16) -> Listen {
    Listen::new(Ipv4Addr::UNSPECIFIED.to_string(), port)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

as_text!(Listen, EXPECTED, |port| u16::try_from(port).ok().map(any_address));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, host, port, canonical) in [
            ("127.0.0.1:4222", "127.0.0.1", 4222, "127.0.0.1:4222"),
            ("[::1]:0", "::1", 0, "[::1]:0"),
            ("bus.internal:10132", "bus.internal", 10132, "bus.internal:10132"),
            (":8222", "0.0.0.0", 8222, "0.0.0.0:8222"),
            ("8222", "0.0.0.0", 8222, "0.0.0.0:8222"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.host.as_str(), listen.port), (host, port), "{text}");
            assert_eq!(listen.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(listen));
        }
    }

    #[test]
    fn refused() {
        for text in
            ["", "host", "host:", "host:65536", "::1:4222", "[::1]", "[nonsense]:1", "a b:1", "-1", "host:-1"]
        {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback() {
        for (host, expected) in [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("localhost", true)]
            .into_iter()
            .chain([("0.0.0.0", false), ("::", false), ("10.0.0.1", false), ("example.com", false)])
        {
            assert_eq!(Listen::new(host, 1).is_loopback(), expected, "{host}");
        }
    }

    #[tokio::test]
    async fn resolves_an_address() {
        let found = Listen::new("127.0.0.1", 7).resolve().await.unwrap();
        assert_eq!(found, ["127.0.0.1:7".parse().unwrap()]);
    }
}
