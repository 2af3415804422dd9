//! What is allowed to be written but probably not meant.

use identity::opaque::OPAQUE_ISSUER;
use identity::policy::Policy;
use node::sections::parse_url;

use super::{CertificateMode, Config};
use crate::remote::WEBHOOK_ISSUER;

/// Findings about a configuration without errors, one line each.
pub(super) fn lints(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if config.service.disable_frontend_tls {
        found.push(
            "clients connect in clear: meant for use behind a proxy that ends TLS (disable_frontend_tls)"
                .into(),
        );
        if !config.frontend_tls.is_empty() {
            found.push("[[frontend_tls]] has no effect while disable_frontend_tls is set".into());
        }
    }
    let tokens = config.opaque_tokens.is_some() || config.introspection.is_some() || config.auth.is_some();
    if config.issuers.is_empty() && !tokens && config.client_certificates.mode == CertificateMode::None {
        found.push(
            "neither [[issuers]] nor [client_certificates]: nobody but the health check gets in".into(),
        );
    }
    if config.bindings.is_empty() {
        found.push("no [[bindings]]: nobody has any rights".into());
    }
    if config.routes.is_empty() {
        found.push("no [[routes]]: nothing crosses the link".into());
    }
    for route in config.routes.iter().filter(|route| subject::covers(route.subject.as_bytes(), b">")) {
        found.push(format!("the route `{}` lets everything cross", route.subject));
    }
    let clear = |url: &String| parse_url(url).is_ok_and(|url| !url.tls) && config.link.tls.is_none();
    if config.link.urls.iter().any(clear)
        || config.link.listen.as_ref().is_some_and(|listen| listen.plaintext)
    {
        found.push("the link is not encrypted, and the other end not verified".into());
    }
    let exposed = !config.admin.disabled && !config.admin.host.is_loopback();
    if exposed && !node::admin::login(&config.admin).is_configured() {
        found.push("the admin port is open to other machines and has no login ([admin] token_file)".into());
    }
    if let Ok(policy) = Policy::compile(&config.policy()) {
        let issuers = issuers(config);
        found.extend(policy.lints_with_issuers(&issuers).iter().map(ToString::to_string));
    }
    found
}

/// Every `iss` that claims may have.
fn issuers(config: &Config) -> Vec<&str> {
    let own = config.opaque_tokens.as_ref().map(|_| OPAQUE_ISSUER);
    let asked = config.introspection.as_ref().map(|section| section.issuer.as_str());
    let webhook = config.auth.as_ref().and_then(|auth| auth.authn_endpoint.as_ref()).map(|_| WEBHOOK_ISSUER);
    let named = config.issuers.iter().map(|issuer| issuer.issuer.as_str());
    named.chain(own).chain(asked).chain(webhook).collect()
}
