//! What types can't say about the sections of both files: each finding with the key it is about.

use daemon::config::{KeyPath, Problems};

use crate::sections::{Leafnodes, Link, TlsFiles, parse_url};

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
    let (min, max) = link.backoff();
    if min.is_zero() || min > max {
        problems.at(at.clone().key("backoff_min"), "expected more than no time, and at most `backoff_max`");
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
