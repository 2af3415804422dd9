//! Where a link may be dialled: what is configured, and what the other end's cluster tells of itself.

use std::net::IpAddr;

use parking_lot::Mutex;

use super::RemoteUrl;

/// Addresses remembered of what a cluster tells; more are left out.
const MOST_LEARNED: usize = 64;

/// The addresses of one cluster, shared by all links to it.
#[derive(Debug)]
pub(crate) struct Addresses {
    configured: Vec<RemoteUrl>,
    /// What learned addresses have besides host and port.
    model: RemoteUrl,
    /// Whether what the other end tells is used.
    discover: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    learned: Vec<RemoteUrl>,
    next: usize,
}

impl Addresses {
    pub(crate) fn new(configured: Vec<RemoteUrl>, discover: bool) -> Self {
        let model = configured.first().cloned().unwrap_or_default();
        Self { configured, model, discover, state: Mutex::default() }
    }

    /// Of a cluster that nobody configured: all that is known is what is learned. Its certificates bear its name where
    /// the address is a bare IP.
    pub(crate) fn unknown(name: &str, tls: bool) -> Self {
        let model = RemoteUrl { tls, certificate_name: Some(name.to_owned()), ..RemoteUrl::default() };
        Self { configured: Vec::new(), model, discover: true, state: Mutex::default() }
    }

    /// How many there are; a round over them is so long.
    pub(crate) fn len(&self) -> usize {
        self.configured.len() + self.state.lock().learned.len()
    }

    /// The address to try next. Configured ones come first, then the learned ones, in turn.
    pub(crate) fn next(&self) -> Option<RemoteUrl> {
        let mut state = self.state.lock();
        let count = self.configured.len() + state.learned.len();
        let at = state.next.checked_rem(count)?;
        state.next = at + 1;
        match self.configured.get(at) {
            Some(url) => Some(url.clone()),
            None => state.learned.get(at - self.configured.len()).cloned(),
        }
    }

    /// All of them as `host:port`.
    pub(crate) fn told(&self) -> Vec<String> {
        let state = self.state.lock();
        self.configured.iter().chain(&state.learned).map(|url| url.address()).collect()
    }

    /// The other end's cluster as of now: `host:port` each. Answers with how many of them are new.
    pub(crate) fn learn(&self, told: &[String]) -> usize {
        if !self.discover || told.is_empty() {
            return 0;
        }
        let mut learned: Vec<RemoteUrl> = Vec::new();
        for text in told.iter().take(MOST_LEARNED) {
            let Some((host, port)) = host_and_port(text) else { continue };
            let same = |url: &RemoteUrl| url.host == host && url.port == port;
            if self.configured.iter().any(same) || learned.iter().any(same) {
                continue;
            }
            learned.push(self.model.with_address(host, port));
        }
        let mut state = self.state.lock();
        let new = learned.iter().filter(|url| !state.learned.contains(url)).count();
        state.learned = learned;
        new
    }
}

impl RemoteUrl {
    fn address(&self) -> String {
        let v6 = self.host.contains(':');
        if v6 { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// Another address of the same cluster: the same login, and, where it is a bare IP, the same name to expect in
    /// its certificate.
    fn with_address(&self, host: &str, port: u16) -> Self {
        let known = self.certificate_name.clone().unwrap_or_else(|| self.host.clone());
        let bare = host.parse::<IpAddr>().is_ok() && known.parse::<IpAddr>().is_err();
        Self { host: host.to_owned(), port, certificate_name: bare.then_some(known), ..self.clone() }
    }
}

/// Cuts `host:port`, an IPv6 address in brackets.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let usable = !host.is_empty() && !host.contains(['/', ' ', '@']);
    usable.then_some((host, port.parse().ok().filter(|port| *port > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16) -> RemoteUrl {
        RemoteUrl { host: host.into(), port, user: Some("u".into()), ..RemoteUrl::default() }
    }

    #[test]
    fn what_is_told_is_tried_after_what_is_configured() {
        let addresses = Addresses::new(vec![url("nats.example.com", 7422)], true);
        let told = ["10.0.0.2:7422", "nats.example.com:7422", "nonsense", "[::1]:1", "b.example.com:7422"];
        assert_eq!(addresses.learn(&told.map(String::from)), 3);
        let tried: Vec<_> = (0..5).filter_map(|_| addresses.next()).collect();
        let hosts: Vec<&str> = tried.iter().map(|url| url.host.as_str()).collect();
        assert_eq!(hosts, ["nats.example.com", "10.0.0.2", "::1", "b.example.com", "nats.example.com"]);
        assert_eq!(tried[1].certificate_name.as_deref(), Some("nats.example.com"));
        assert_eq!(tried[3].certificate_name, None);
        assert!(tried.iter().all(|url| url.user.as_deref() == Some("u")));
        // What is told later takes the place of what was told before.
        assert_eq!(addresses.learn(&["10.0.0.3:7422".into()]), 1);
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn nothing_is_learned_where_that_is_not_wanted_and_only_so_much_elsewhere() {
        let deaf = Addresses::new(vec![url("a", 1)], false);
        assert_eq!((deaf.learn(&["b:1".into()]), deaf.len()), (0, 1));
        let addresses = Addresses::new(vec![url("a", 1)], true);
        let many: Vec<String> = (1..1000).map(|port| format!("b:{port}")).collect();
        assert_eq!(addresses.learn(&many), MOST_LEARNED);
        assert!(Addresses::new(Vec::new(), true).next().is_none());
    }
}
