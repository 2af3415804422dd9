//! What types can't say about the sections of both files: each finding with the key it is about.

use daemon::config::{KeyPath, Problems};

use broker::LinkLogin;

use crate::credentials::LinkCredentials;
use crate::sections::{Leafnodes, Link, TlsFiles, parse_url};

/// Links kept up at once, at most: a cluster hardly has more nodes.
const MOST_CONNECTIONS: usize = 16;

/// Reports certificate, key, CA and revocation files that can't be used. Paths are taken as they are; `at` is where
/// the section stands.
pub fn tls_files(files: &TlsFiles, at: KeyPath, problems: &mut Problems<'_>) {
    // Either end is checked as the dialling one: it reads all of the files.
    if let Err(error) = files.client().build() {
        problems.at(at, error.to_string());
    }
}

/// Reports what is wrong with how a link is dialled: its URLs and its back-off.
pub fn dialled(link: &Link, at: &KeyPath, problems: &mut Problems<'_>) {
    for (index, url) in link.urls.iter().enumerate() {
        let here = || at.clone().key("urls").index(index);
        match parse_url(url) {
            Ok(url) if url.tls && link.tls.is_none() => {
                let message = format!("a tls:// URL needs `tls` with certificate, key and CA in [{at}]");
                problems.at(here(), message);
            }
            Ok(_) => {}
            Err(error) => problems.at(here(), error.to_string()),
        }
    }
    logs_in_one_way(link, at, problems);
    if !(1..=MOST_CONNECTIONS).contains(&link.connections) {
        problems.at(at.clone().key("connections"), format!("expected 1 to {MOST_CONNECTIONS}"));
    }
    if link
        .jetstream_domain
        .as_ref()
        .is_some_and(|domain| domain.is_empty() || domain.contains(['.', '*', '>', ' ']))
    {
        problems.at(at.clone().key("jetstream_domain"), "expected the name of a domain: a single word");
    }
    let (min, max) = link.backoff();
    if min.is_zero() || min > max {
        problems.at(at.clone().key("backoff_min"), "expected more than no time, and at most `backoff_max`");
    }
}

/// Reports credentials that exclude each other, or can't be used.
fn logs_in_one_way(link: &Link, at: &KeyPath, problems: &mut Problems<'_>) {
    let ways = [
        ("user", link.user.is_some()),
        ("token", link.token.is_some()),
        ("nkey_path", link.nkey_path.is_some()),
        ("credentials_path", link.credentials_path.is_some()),
    ];
    let mut given = ways.into_iter().filter(|(_, given)| *given).map(|(key, _)| key);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        problems.at(at.clone().key(second), format!("goes instead of `{first}`, not with it"));
    }
    if link.password.is_some() && link.user.is_none() {
        problems.at(at.clone().key("password"), "expected a `user` with it");
    }
}

/// Reports files to log in with that can't be used. Paths are taken as they are.
pub fn login_files(link: &Link, at: &KeyPath, problems: &mut Problems<'_>) {
    if let Err(error) = LinkCredentials::of(link).prove("") {
        let key = if link.credentials_path.is_some() { "credentials_path" } else { "nkey_path" };
        problems.at(at.clone().key(key), error);
    }
}

/// Reports what only the gateway's `[link]` knows in a link of the bus: it would have no effect.
pub fn dialled_by_the_bus(link: &Link, at: &KeyPath, problems: &mut Problems<'_>) {
    if link.urls.is_empty() {
        problems.at(at.clone(), "expected `urls`, where to dial");
    }
    if link.listen.is_some() {
        problems.at(at.clone().key("listen"), "the bus waits for links in [leafnodes]; here it dials");
    }
    if link.jetstream_domain.is_some() {
        problems
            .at(at.clone().key("jetstream_domain"), "belongs to the gateway's [link]: clients use it there");
    }
    if link.hold.is_some() {
        problems
            .at(at.clone().key("hold"), "belongs to the gateway's [link]: it is there that publishers wait");
    }
    dialled(link, at, problems);
}

/// Reports what is wrong with where links are accepted. `tls` says whether there are certificates for it, here or
/// elsewhere in the file.
pub fn accepting(
    section: &Leafnodes,
    tls: bool,
    allow_remote_plaintext: bool,
    at: &KeyPath,
    problems: &mut Problems<'_>,
) {
    if section.plaintext {
        if !section.host.is_loopback() && !allow_remote_plaintext {
            let message = "without TLS only a loopback address is listened on (host = \"127.0.0.1\"), unless `allow_remote_plaintext = true` in [service]";
            problems.at(at.clone().key("plaintext"), message);
        }
        return;
    }
    if section.peers.is_empty() {
        problems.at(at.clone().key("peers"), "nobody may link: expected the certificate names that may");
    }
    if !tls {
        let message = "links need TLS: expected cert_path, key_path and root_ca_path here or in the section above, or `plaintext = true`";
        problems.at(at.clone().key("tls"), message);
    }
}
