//! What types can't say about a configuration: each finding with the key it is about.

use std::collections::HashSet;

use broker::{Crossing, CrossingError, RouteRule};
use daemon::config::{KeyPath, Problems};
use identity::opaque::OPAQUE_ISSUER;
use identity::policy::{Policy, PolicyError};
use identity::tls::HostPattern;
use node::checks;
use node::sections::LinkProtocol;

use super::{CertificateMode, Config};
use crate::remote::WEBHOOK_ISSUER;

/// What a CONNECT line holds besides the token, at most, in bytes.
const CONNECT_OVERHEAD: usize = 1024;

/// Reports everything wrong with the text of `config`.
pub(super) fn check(config: &Config, problems: &mut Problems<'_>) {
    service(config, problems);
    frontend(config, problems);
    client_certificates(config, problems);
    issuers(config, problems);
    policy(config, problems);
    routes(config, problems);
    if let Some(websocket) = &config.websocket {
        let service = &config.service;
        websocket.check(service.disable_frontend_tls, service.allow_remote_plaintext, problems);
    }
    super::edge::check(config, problems);
    link(config, problems);
    node::admin::check(&config.admin, problems);
    if config.revocation.max_entries == 0 {
        problems.at("revocation.max_entries", "expected at least 1");
    }
    if config.audit.queue == 0 {
        problems.at("audit.queue", "expected at least 1");
    }
    if let Some(logout) = config.logout.as_ref().filter(|logout| logout.tls.is_none()) {
        let open = !logout.host.is_loopback() && !config.service.allow_remote_plaintext;
        if open {
            problems.at("logout.tls", "without TLS only a loopback address is listened on, unless `allow_remote_plaintext = true` in [service]");
        }
    }
}

fn service(config: &Config, problems: &mut Problems<'_>) {
    let service = &config.service;
    if service.disable_frontend_tls && !service.host.is_loopback() && !service.allow_remote_plaintext {
        let message = "without TLS only a loopback address is listened on (host = \"127.0.0.1\"); a proxy on another \
                       machine needs `allow_remote_plaintext = true`";
        problems.at("service.disable_frontend_tls", message);
    }
    for (index, network) in service.proxy_protocol.from.iter().enumerate() {
        if let Err(error) = network.parse::<broker::Network>() {
            problems.at(KeyPath::from("service.proxy_protocol.from").index(index), error.to_string());
        }
    }
    let token = service.max_token_bytes.as_usize();
    let line = config.limits.to_broker().max_connect_line;
    if token == 0 {
        problems.at("service.max_token_bytes", "expected more than 0 bytes");
    } else if token.saturating_add(CONNECT_OVERHEAD) > line {
        let message = format!(
            "expected at most {} bytes: a token travels in a CONNECT line (limits.max_connect_line, {line} bytes)",
            line.saturating_sub(CONNECT_OVERHEAD)
        );
        problems.at("service.max_token_bytes", message);
    }
    if service.health_check_cert_path.is_some() != service.health_check_key_path.is_some() {
        let key = if service.health_check_cert_path.is_some() { "cert" } else { "key" };
        let message = "`health_check_cert_path` and `health_check_key_path` go together";
        problems.at(format!("service.health_check_{key}_path"), message);
    }
}

fn frontend(config: &Config, problems: &mut Problems<'_>) {
    if config.frontend_tls.is_empty() && !config.service.disable_frontend_tls {
        let message = "at least one is needed; behind a proxy that ends TLS: `disable_frontend_tls = true` in [service]";
        problems.at("frontend_tls", message);
    }
    for (index, tls) in config.frontend_tls.iter().enumerate() {
        if let Some(name) = &tls.server_name
            && let Err(error) = name.parse::<HostPattern>()
        {
            problems
                .at(KeyPath::root().key("frontend_tls").index(index).key("server_name"), error.to_string());
        }
    }
}

fn client_certificates(config: &Config, problems: &mut Problems<'_>) {
    let clients = &config.client_certificates;
    if clients.identity.is_empty() {
        problems.at("client_certificates.identity", "expected at least one of `uri`, `dns`, `email`, `cn`");
    }
    for (name, index, problem) in clients.pins.problems() {
        problems.at(KeyPath::from("client_certificates.pins").key(name).index(index), problem);
    }
    if clients.mode == CertificateMode::None {
        return;
    }
    if clients.ca_path.is_none() {
        problems.at("client_certificates.ca_path", "needed to verify the certificates of clients");
    }
    if config.service.disable_frontend_tls {
        let message = "without TLS there are no client certificates: expected `none`";
        problems.at("client_certificates.mode", message);
    }
}

fn issuers(config: &Config, problems: &mut Problems<'_>) {
    let mut known = HashSet::new();
    for (index, issuer) in config.issuers.iter().enumerate() {
        let at = KeyPath::root().key("issuers").index(index);
        if !known.insert(&issuer.issuer) {
            problems.at(at.clone().key("issuer"), "this issuer is configured twice");
        }
        if [OPAQUE_ISSUER, WEBHOOK_ISSUER].contains(&issuer.issuer.as_str()) {
            problems.at(at.clone().key("issuer"), "this name stands for tokens that are no JWTs");
        }
        issuer.check(&at, problems);
    }
    if let Some(introspection) = &config.introspection {
        introspection.check(problems);
        if known.contains(&introspection.issuer) {
            let message = "[[issuers]] has this issuer: its tokens are verified here, and nobody is asked";
            problems.at("introspection.issuer", message);
        }
    }
    if let Some(auth) = &config.auth {
        auth.check(config.introspection.is_some(), problems);
    }
}

fn policy(config: &Config, problems: &mut Problems<'_>) {
    for PolicyError { place, problem } in Policy::compile(&config.policy()).err().unwrap_or_default() {
        problems.at(key_of(&place), problem);
    }
}

/// The key in a policy error's place, such as `roles[2] "partner" publish.allow[0]`.
fn key_of(place: &str) -> String {
    let Some((table, rest)) = place.split_once(']') else { return place.to_owned() };
    // The role's name may hold anything, quotes included: what counts follows the last one.
    let key = rest.rsplit('"').next().unwrap_or_default().trim();
    format!("{table}].{key}")
}

fn routes(config: &Config, problems: &mut Problems<'_>) {
    for (index, route) in config.routes.iter().enumerate() {
        let at = KeyPath::root().key("routes").index(index);
        if route.to.as_ref().is_some_and(|to| to.starts_with("$JS.")) && !route.subject.starts_with("$JS.") {
            let message =
                "what is asked of streams is looked at under its own name: expected a `subject` in $JS, too";
            problems.at(at.clone().key("to"), message);
        }
        let Err(errors) = Crossing::compile(&[RouteRule::from(route)]) else { continue };
        for error in errors {
            match error {
                CrossingError::Pattern(_) => {
                    problems.at(at.clone().key("subject"), "expected a subject pattern such as `orders.*.created` or `orders.>`");
                }
                CrossingError::Mapping { reason, .. } => problems.at(at.clone().key("to"), reason),
                CrossingError::NotReversible { .. } => problems.at(
                    at.clone().key("to"),
                    "a route in both directions must be reversible: use every wildcard of `subject` exactly once",
                ),
            }
        }
    }
}

/// The link as a gateway: one of the two ways to write it, and nothing of a leafnode beside it.
fn gateway(config: &Config, problems: &mut Problems<'_>) {
    let Some(section) = config.gateway_section() else {
        problems.at("link.protocol", "expected a [gateway] or an [internal_event_service] with it");
        return;
    };
    if config.gateway.is_some() && config.internal_event_service.is_some() {
        problems.at("internal_event_service", "goes instead of a [gateway] section, not with it");
    }
    if !config.link.urls.is_empty() || config.link.listen.is_some() {
        problems.at("link.urls", "the link is a gateway: expected neither `urls` nor `listen` in [link]");
    }
    let own = config.link.tls.is_some();
    let at = if config.gateway.is_some() { "gateway" } else { "internal_event_service" };
    section.check(own, config.service.allow_remote_plaintext, &KeyPath::from(at), problems);
}

fn link(config: &Config, problems: &mut Problems<'_>) {
    let link = &config.link;
    if link.protocol == LinkProtocol::Gateway
        || config.gateway.is_some()
        || config.internal_event_service.is_some()
    {
        return gateway(config, problems);
    }
    if config.service.gateway_port.is_some() {
        problems.at("service.gateway_port", "has an effect with [internal_event_service] only");
    }
    match (&link.listen, link.urls.is_empty()) {
        (None, true) => {
            problems.at("link", "expected `urls` to dial, or `listen` to wait for the bus to dial")
        }
        (Some(_), false) => problems.at("link.listen", "goes instead of `urls`, not with it"),
        (Some(listen), true) => {
            let at = KeyPath::from("link.listen");
            let tls = listen.tls.is_some() || link.tls.is_some();
            checks::accepting(listen, tls, config.service.allow_remote_plaintext, &at, problems);
            if !listen.remotes.is_empty() {
                problems.at(
                    at.clone().key("remotes"),
                    "this link waits to be dialled: to dial, use `urls` in [link]",
                );
            }
            if listen.disabled {
                problems.at(
                    at.key("disabled"),
                    "without it there is no link: expected `urls` in [link] instead of `listen`",
                );
            }
        }
        (None, false) => {}
    }
    checks::dialled(link, &KeyPath::from("link"), problems);
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn places_of_the_policy_become_keys() {
        for (place, key) in [
            ("roles[2] \"partner\" publish.allow[0]", "roles[2].publish.allow[0]"),
            ("roles[2] \"a \"b\" c\" limits.payload", "roles[2].limits.payload"),
            ("roles[0] \"\"", "roles[0]."),
            ("bindings[3]", "bindings[3]."),
            ("bindings[3] when", "bindings[3].when"),
        ] {
            assert_eq!(key_of(place), key, "{place}");
        }
    }
}
