//! OpenID Connect Back-Channel Logout 1.0: an issuer tells that a session is over, and what was issued for it is revoked.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daemon::admin::{AdminError, AdminHandle, AdminRoutes, AdminServer, AdminTls, ApiError, Query};
use daemon::audit::{Audit, Event, Kind};
use identity::revocation::{Instant as Moment, Request};
use identity::tls::{CertifiedFile, ServerTls, TlsError};
use identity::token::Logout as LogoutToken;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::authenticator::GatewayAuthenticator;
use crate::config::Logout;
use crate::gateway::Surroundings;

/// Where issuers post logout tokens.
pub(crate) const PATH: &str = "/backchannel-logout";

/// How long keys may be fetched for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Logout tokens remembered, so that one counts once.
const REMEMBERED: usize = 10_000;

/// Why the port for logouts can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error("logout port: {0}")]
    Port(#[from] AdminError),
    #[error("logout port: {0}")]
    Tls(#[from] TlsError),
}

/// Opens the port.
pub(crate) fn open(
    section: &Logout,
    authenticator: &Arc<GatewayAuthenticator>,
    around: &Surroundings,
) -> Result<AdminHandle, LogoutError> {
    let receiver = Receiver {
        authenticator: Arc::clone(authenticator),
        audit: around.audit.clone(),
        remember: section.remember.into(),
        runtime: Handle::current(),
        seen: Mutex::default(),
    };
    let routes = AdminRoutes::bare(around.metrics.clone(), around.readiness.clone());
    let routes = routes.form(PATH, move |form| receiver.take(form));
    let tls = section.tls.as_ref().map(|tls| {
        let certificate = CertifiedFile::new(tls.cert_path.clone(), tls.key_path.clone());
        let tls = ServerTls { certificates: vec![certificate], ..ServerTls::default() };
        let source = around.reloads.server("logout", tls)?;
        Ok::<_, TlsError>(AdminTls { source, peers: Arc::from([]) })
    });
    let address = SocketAddr::new(section.host, section.port);
    let handle = AdminServer::bind_tls(address, routes, tls.transpose()?)?;
    tracing::info!("Listening for back-channel logouts on {}", handle.local_addr());
    Ok(handle)
}

struct Receiver {
    authenticator: Arc<GatewayAuthenticator>,
    audit: Audit,
    remember: Duration,
    runtime: Handle,
    seen: Mutex<Seen>,
}

/// Tokens that were acted on, oldest first.
#[derive(Default)]
struct Seen {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether it is new. What was not remembered any more would only revoke again what is revoked.
    fn first_time(&mut self, token: &LogoutToken) -> bool {
        let name = format!("{} {}", token.issuer, token.jti);
        if !self.known.insert(name.clone()) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Receiver {
    fn take(&self, form: &Query) -> Result<Value, ApiError> {
        let Some(token) = form.get("logout_token") else {
            return Err(refused("logout_token is missing"));
        };
        let now = unix_now();
        let tokens = self.authenticator.tokens();
        let verified = self.runtime.block_on(tokens.logout(token, now, Instant::now() + PATIENCE));
        let logout = verified.map_err(|denied| {
            self.audit.note(
                Event::new(Kind::Denied).reason(denied.reason).detail(&denied.detail).with("what", "logout"),
            );
            if denied.is_refusal() {
                refused(&denied.detail)
            } else {
                ApiError::new(503, "the issuer's keys can't be had at the moment")
            }
        })?;
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).first_time(&logout) {
            return Err(refused("this logout token was used before"));
        }
        let revoked = self.authenticator.revocations().revoke(&self.request(&logout), &logout.issuer);
        let revoked = revoked.map_err(|error| ApiError::new(507, error.to_string()))?;
        let event = Event::new(Kind::Logout)
            .issuer(&logout.issuer)
            .with_some("identity", logout.sub.clone())
            .with("revocation", revoked.entry.id.as_str());
        self.audit.note(event);
        Ok(json!({ "revocation": revoked.entry.id }))
    }

    /// A session by its `sid`; without one, everything issued to the subject until now: who logs in again comes in.
    fn request(&self, logout: &LogoutToken) -> Request {
        let request = Request {
            issuer: Some(logout.issuer.clone()),
            reason: "back-channel logout".to_owned(),
            expires_in: Some(self.remember.as_secs()),
            ..Request::default()
        };
        match (&logout.sid, &logout.sub) {
            (Some(sid), _) => Request { sid: Some(sid.clone()), ..request },
            (None, sub) => {
                let issued_before = Some(Moment::Seconds(logout.issued_at));
                Request { sub: sub.clone(), issued_before, ..request }
            }
        }
    }
}

/// As section 2.8 of the specification has it.
fn refused(detail: &str) -> ApiError {
    ApiError::new(400, "invalid_request").with("error_description", detail)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
