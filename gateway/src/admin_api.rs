//! The gateway's admin API: live sessions, reload, certificates, explanations; revocations come with `node`.

use std::sync::Arc;

use broker::{CloseReason, Server};
use daemon::admin::{AdminRoutes, ApiError, ApiRequest, Method, Query};
use node::sessions::{Seen, Sessions};
use node::tls::Reloads;
use serde_json::{Value, json};

use crate::explain;
use crate::reload::Reloader;

/// Sessions answered with at a time unless asked otherwise, and at most.
const PAGE: usize = 1_000;
const MAX_PAGE: usize = 10_000;

/// Everything the API speaks about.
#[derive(Debug, Clone)]
pub struct Managed {
    /// The broker.
    pub server: Server,
    /// Live sessions.
    pub sessions: Arc<Sessions>,
    /// What reloads.
    pub reloader: Arc<Reloader>,
    /// What follows certificates.
    pub reloads: Reloads,
}

/// Mounts `/api/v1/sessions`, `/api/v1/reload`, `/api/v1/certificates` and `/api/v1/explain`.
#[must_use]
pub fn routes(routes: AdminRoutes, managed: &Managed) -> AdminRoutes {
    let [list, kick, kick_all, reload, certificates, explained] = [(); 6].map(|()| managed.clone());
    routes
        .api(Method::Get, "/api/v1/sessions", move |request| Ok(list.list(&request.query)))
        .api(Method::Delete, "/api/v1/sessions/{tail}", move |request| kick.kick(&request.tail))
        .api(Method::Delete, "/api/v1/sessions", move |request| kick_all.kick_identity(&request.query))
        .api(Method::Post, "/api/v1/reload", move |request| reload.reload(&request.actor))
        .api(Method::Get, "/api/v1/certificates", move |_| Ok(certificates.certificates()))
        .api(Method::Post, "/api/v1/explain", move |request| explained.explain(request))
}

impl Managed {
    fn list(&self, query: &Query) -> Value {
        let wanted = Wanted::of(query);
        let (offset, limit) =
            (query.number("offset").unwrap_or(0), query.number("limit").unwrap_or(PAGE).min(MAX_PAGE));
        let mut found = Vec::new();
        self.sessions.for_each(|seen| {
            if wanted.holds(seen) {
                found.push((seen.session.id(), document(seen)));
            }
        });
        found.sort_by_key(|(id, _)| *id);
        let total = found.len();
        let shown: Vec<Value> = found.into_iter().skip(offset).take(limit).map(|(_, one)| one).collect();
        json!({ "sessions": shown, "offset": offset, "total": total })
    }

    fn kick(&self, id: &str) -> Result<Value, ApiError> {
        let number = id.parse().map_err(|_| ApiError::bad("expected the number of a connection"))?;
        match self.server.kick(number) {
            true => Ok(json!({ "kicked": 1 })),
            false => Err(ApiError::missing(format!("there is no connection {number}"))),
        }
    }

    fn kick_identity(&self, query: &Query) -> Result<Value, ApiError> {
        let wanted = Wanted::of(query);
        if wanted.everybody() {
            return Err(ApiError::bad("expected at least one of `identity`, `issuer`, `role`"));
        }
        let kicked = self.sessions.close_where(CloseReason::Kicked, |seen| wanted.holds(seen));
        Ok(json!({ "kicked": kicked }))
    }

    fn reload(&self, by: &str) -> Result<Value, ApiError> {
        self.reloader.reload(by).map(|applied| applied.document()).map_err(ApiError::from)
    }

    fn certificates(&self) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let one = |(name, file, end): (String, std::path::PathBuf, i64)| json!({ "tls": name, "file": file.display().to_string(), "not_after": end, "seconds_left": end - now });
        json!({ "certificates": self.reloads.expiries().into_iter().map(one).collect::<Vec<_>>() })
    }

    fn explain(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        explain::over_api(&self.reloader.policy_config(), request)
    }
}

/// Which sessions are meant.
struct Wanted<'a> {
    identity: Option<&'a str>,
    issuer: Option<&'a str>,
    role: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(query: &'a Query) -> Self {
        Self { identity: query.get("identity"), issuer: query.get("issuer"), role: query.get("role") }
    }

    fn everybody(&self) -> bool {
        self.identity.is_none() && self.issuer.is_none() && self.role.is_none()
    }

    fn holds(&self, seen: &Seen<'_>) -> bool {
        let Some(grant) = seen.session.grant() else { return false };
        let issuer = grant.provenance.as_ref().map(|provenance| provenance.issuer.as_ref());
        self.identity.is_none_or(|identity| *grant.identity == *identity)
            && (self.issuer.is_none() || self.issuer == issuer)
            && self.role.is_none_or(|role| grant.roles.iter().any(|given| **given == *role))
    }
}

/// What may be shown of a session: never its token, nor other claims than those that name it.
fn document(seen: &Seen<'_>) -> Value {
    let Some(grant) = seen.session.grant() else { return Value::Null };
    let claims = seen.facts.claims.as_ref();
    let text = |name: &str| claims.and_then(|claims| claims.get(name)).and_then(Value::as_str);
    let provenance = grant.provenance.as_ref();
    let certificate = seen.facts.certificate.as_ref();
    json!({
        "connection": seen.session.id(),
        "address": seen.session.address().map(|address| address.to_string()),
        "identity": &*grant.identity,
        "issuer": provenance.map(|provenance| provenance.issuer.to_string()),
        "auth_time": provenance.map(|provenance| provenance.auth_time),
        "expires_at": grant.expires_at,
        "roles": grant.roles.iter().map(|role| role.to_string()).collect::<Vec<_>>(),
        "token": claims.map(|claims| json!({
            "jti": claims.jti(), "sid": text("sid"), "client_id": text("azp").or_else(|| text("client_id")),
            "iat": claims.iat(),
        })),
        "certificate": certificate.map(|certificate| json!({
            "identity": certificate.identity, "serial": certificate.serial, "issuer": certificate.issuer,
            "not_after": certificate.not_after,
        })),
    })
}
