//! Configuration files in nats-server's language; both sides read the same text.

use std::net::SocketAddr;

use super::pki::{KeyPair, Pki};
use crate::link_kind::LinkKind;
use crate::responder::{ACCOUNT, PASSWORD, USER};
use crate::scenario::{Durability, Security};

/// Token of scenarios with token authentication. It guards nothing but a loopback port for some seconds.
pub(crate) const TOKEN: &str = "bench-token-9f27c1";

/// Options of a server that stands alone.
pub(crate) fn single(listen: SocketAddr, security: Security, server: &KeyPair, pki: &Pki) -> String {
    let mut text = head(listen, "single");
    text += &match security {
        Security::Plain | Security::Rights => String::new(),
        Security::Tls | Security::TlsToken => tls(server, None),
        Security::Mtls => tls(server, Some(pki)),
    };
    text += &match security {
        Security::TlsToken => authorization(),
        Security::Rights => permissions(),
        // Nobody has to log in, but some are silent on purpose: they must not be taken for dead.
        _ => "authorization { timeout: 60 }\n".to_owned(),
    };
    text
}

/// Options of a server with streams, which it keeps beside its configuration.
pub(crate) fn streams(listen: SocketAddr, durability: Durability) -> String {
    let sync = match durability {
        Durability::Default => "",
        Durability::Disk => ", sync_interval: always",
        Durability::Interval => ", sync_interval: \"2m\"",
    };
    let limits = "max_memory_store: 8GB, max_file_store: 30GB";
    head(listen, "streams") + &format!("jetstream {{ store_dir: \"store\", {limits}{sync} }}\n")
}

/// Options of a server that asks a responder about every login.
pub(crate) fn callout(listen: SocketAddr, issuer: &str, server: &KeyPair) -> String {
    let mut text = head(listen, "callout");
    text += &tls(server, None);
    text += &format!(
        "accounts {{\n  AUTH {{ users: [ {{ user: {USER}, password: \"{PASSWORD}\" }} ] }}\n  {ACCOUNT} {{}}\n}}\n\
         authorization {{\n  timeout: 60\n  auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [ {USER} ] }}\n}}\n"
    );
    text
}

/// The inner of two linked servers: clients and the link come with certificates.
pub(crate) fn hub(listen: SocketAddr, leafnodes: SocketAddr, server: &KeyPair, pki: &Pki) -> String {
    let tls = tls(server, Some(pki));
    let mut text = head(listen, "hub");
    text += &tls;
    text += &format!("leafnodes {{\n  listen: \"{leafnodes}\"\n  compression: off\n  {tls}}}\n");
    text
}

/// A node of a cluster: clients in clear, the link comes with certificates.
pub(crate) fn node(
    number: usize,
    [listen, cluster, leafnodes]: [SocketAddr; 3],
    routes: &[SocketAddr],
    server: &KeyPair,
    pki: &Pki,
) -> String {
    let tls = tls(server, Some(pki));
    let routes: Vec<String> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
    let mut text = head(listen, &format!("node-{number}"));
    text += &format!("cluster {{ name: bench, listen: \"{cluster}\", routes: [ {} ] }}\n", routes.join(", "));
    text += &format!("leafnodes {{\n  listen: \"{leafnodes}\"\n  compression: off\n  {tls}}}\n");
    text
}

/// The outer of two linked servers: clients come with a token, and it dials the hub.
pub(crate) fn edge(listen: SocketAddr, hub: SocketAddr, server: &KeyPair, pki: &Pki) -> String {
    let mut text = head(listen, "edge");
    text += &authorization();
    let files = tls_files(server, Some(pki));
    let remote = format!("url: \"tls://localhost:{}\", compression: off, tls: {{ {files} }}", hub.port());
    text += &format!("leafnodes {{\n  remotes: [ {{ {remote} }} ]\n}}\n");
    text
}

/// One end of a link between two servers whose clients come in clear. It accepts links at `own`, which others know as
/// `advertised`, and dials `other` where there is one.
pub(crate) fn linked(
    name: &str,
    listen: SocketAddr,
    [own, advertised]: [SocketAddr; 2],
    other: Option<SocketAddr>,
    kind: LinkKind,
    server: &KeyPair,
    pki: &Pki,
) -> String {
    let (block, scheme) = if kind.tls { (tls(server, Some(pki)), "tls") } else { (String::new(), "nats") };
    let url = other.map(|other| format!("{scheme}://localhost:{}", other.port()));
    let head = head(listen, name);
    if kind.gateway {
        let remote = url.map(|url| format!("{{ name: inner, url: \"{url}\" }}")).unwrap_or_default();
        let advertise = format!("localhost:{}", advertised.port());
        return format!(
            "{head}gateway {{\n  name: {name}\n  listen: \"{own}\"\n  advertise: \"{advertise}\"\n  {block}  gateways: [ {remote} ]\n}}\n"
        );
    }
    let compression = if kind.s2 { "s2_fast" } else { "off" };
    let Some(url) = url else {
        // Whoever comes back is to come over the same wire.
        let advertise = format!("localhost:{}", advertised.port());
        return format!(
            "{head}leafnodes {{\n  listen: \"{own}\"\n  advertise: \"{advertise}\"\n  compression: {compression}\n  {block}}}\n"
        );
    };
    let files =
        if kind.tls { format!(", tls: {{ {} }}", tls_files(server, Some(pki))) } else { String::new() };
    format!(
        "{head}leafnodes {{\n  remotes: [ {{ url: \"{url}\", compression: {compression}{files} }} ]\n}}\n"
    )
}

fn head(listen: SocketAddr, name: &str) -> String {
    format!("listen: \"{listen}\"\nserver_name: \"bench-{name}\"\n")
}

fn authorization() -> String {
    format!("authorization {{ token: \"{TOKEN}\" }}\n")
}

/// Permissions as an application has them: twenty patterns to publish to, of which the last ones match what is
/// published here, some exceptions, and a few to subscribe to. Nobody has to log in.
fn permissions() -> String {
    let own = ["bench.*.*.x", "bench.many.>"];
    let others = (0..18).map(|number| format!("orders.region{number}.*.created"));
    let publish = quoted(others.chain(own.map(str::to_owned)));
    let deny = quoted(["bench.many.*.secret", "bench.*.internal.>"].map(str::to_owned));
    let subscribe = quoted(["bench.>", "_INBOX.>", "orders.*.status"].map(str::to_owned));
    format!(
        "authorization {{\n  timeout: 60\n  users: [ {{ user: {USER}, password: \"{PASSWORD}\", permissions: {{\n    publish: \
         {{ allow: [{publish}], deny: [{deny}] }}\n    subscribe: {{ allow: [{subscribe}] }}\n  }} }} ]\n}}\nno_auth_user: {USER}\n"
    )
}

fn quoted(patterns: impl IntoIterator<Item = String>) -> String {
    patterns.into_iter().map(|pattern| format!("\"{pattern}\"")).collect::<Vec<_>>().join(", ")
}

/// A `tls` block; with `clients`, only certificates of that PKI may connect. The generous timeout is for
/// handshakes that queue up in the connection scenarios.
fn tls(server: &KeyPair, clients: Option<&Pki>) -> String {
    let verify = if clients.is_some() { ", verify: true" } else { "" };
    format!("tls {{ {}, timeout: 10{verify} }}\n", tls_files(server, clients))
}

fn tls_files(own: &KeyPair, peers: Option<&Pki>) -> String {
    let ca = peers.map(|pki| format!(", ca_file: \"{}\"", pki.ca().display())).unwrap_or_default();
    format!("cert_file: \"{}\", key_file: \"{}\"{ca}", own.cert.display(), own.key.display())
}
