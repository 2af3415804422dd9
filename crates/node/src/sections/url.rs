//! URLs of links.

use broker::RemoteUrl;

/// Where leafnodes are taken unless a URL says otherwise.
pub(super) const LEAFNODE_PORT: u16 = 7422;

/// Why a link's URL is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no link URL: expected tls://host:port or nats-leaf://host:port, with user:password@ before the host if needed"
)]
pub struct UrlError(String);

/// Reads a link's URL. The port defaults to 7422.
///
/// # Errors
/// Anything but `scheme://[user[:password]@]host[:port]` with a known scheme. The error does not repeat credentials.
pub fn parse_url(url: &str) -> Result<RemoteUrl, UrlError> {
    parse_url_with(url, LEAFNODE_PORT)
}

/// The same with another port where the URL names none.
///
/// # Errors
/// As [`parse_url`].
pub fn parse_url_with(url: &str, default_port: u16) -> Result<RemoteUrl, UrlError> {
    let error = || UrlError(url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned());
    let (scheme, rest) = url.split_once("://").ok_or_else(error)?;
    let tls = match scheme {
        "tls" => true,
        "nats" | "nats-leaf" | "leaf" => false,
        _ => return Err(error()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) =
        rest.rsplit_once('@').map_or((None, rest), |(login, address)| (Some(login), address));
    let (host, port) = split_port(address, default_port).ok_or_else(error)?;
    let (user, password) =
        match login.map(|login| login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user.to_owned()), password.map(str::to_owned)),
            None => (None, None),
        };
    Ok(RemoteUrl { host, port, tls, user, password, certificate_name: None })
}

fn split_port(address: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
    (!host.is_empty() && !host.contains(['/', ' ', ':']) || address.starts_with('['))
        .then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = parse_url("tls://bus.internal:7422").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("bus.internal", 7422, true));
        let url = parse_url("nats-leaf://u:p@[::1]:1").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.user.as_deref(), url.password.as_deref()),
            ("::1", 1, Some("u"), Some("p"))
        );
        assert_eq!(parse_url("tls://host").unwrap().port, 7422);
        for bad in ["bus:7422", "http://x", "tls://", "tls://h:x", "tls://a b:1"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        assert!(!parse_url("tls://user:secret@").unwrap_err().to_string().contains("secret"));
    }
}
