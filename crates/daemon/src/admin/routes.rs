//! What the admin port answers: the probes, the metrics, and the documents its owner mounts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query as Pairs, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::api::{self, ApiError, ApiRequest, Command, Gate, Method};
use super::login::AdminLogin;
use super::query::Query;
use super::{AdminError, MAX_BODY_BYTES};
use crate::audit::Audit;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::readiness::{Held, Readiness};

type Health = dyn Fn(&Query) -> Result<(), String> + Send + Sync;
type Make = dyn Fn(&Query) -> Value + Send + Sync;

const HEALTH: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// The content of the admin port, to be given to [`AdminServer::bind`](super::AdminServer::bind).
///
/// Functions given here run on the admin thread: one that takes long delays the probes.
pub struct AdminRoutes {
    metrics: Metrics,
    readiness: Readiness,
    health: Arc<Health>,
    documents: BTreeMap<String, Arc<Make>>,
    wrong: Option<AdminError>,
    extra: Router,
    gate: Gate,
    commands: Vec<Command>,
    probes: bool,
}

impl AdminRoutes {
    /// `/`, `/healthz` (always well, see [`AdminRoutes::health`]), `/readyz` and `/metrics`.
    #[must_use]
    pub fn new(metrics: Metrics, readiness: Readiness) -> Self {
        Self {
            metrics,
            readiness,
            health: Arc::new(|_| Ok(())),
            documents: BTreeMap::new(),
            wrong: None,
            extra: Router::new(),
            gate: Gate::default(),
            commands: Vec::new(),
            probes: true,
        }
    }

    /// Nothing at all, for a port that has one purpose.
    #[must_use]
    pub fn bare(metrics: Metrics, readiness: Readiness) -> Self {
        Self { probes: false, ..Self::new(metrics, readiness) }
    }

    /// Who may use what [`AdminRoutes::api`] mounts, and where it is written down. Without a login, questions are
    /// answered to everybody who reaches the port, and commands are refused.
    #[must_use]
    pub fn login(mut self, login: AdminLogin, audit: Audit) -> Self {
        self.gate = Gate { login, audit };
        self
    }

    /// A command or question in JSON, on a path such as `/api/v1/revocations` or `/api/v1/revocations/{tail}`. The
    /// handler runs on a thread where it may wait for the disk. Bodies are limited to
    /// [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
    #[must_use]
    pub fn api(
        mut self,
        method: Method,
        path: &str,
        handler: impl Fn(&ApiRequest) -> Result<Value, ApiError> + Send + Sync + 'static,
    ) -> Self {
        let literal = path.strip_suffix("/{tail}").unwrap_or(path);
        let taken = self.commands.iter().any(|command| command.method == method && command.path == path);
        if taken || !literal.starts_with("/api/") || literal.contains(['{', '}', '*', ':']) {
            self.wrong.get_or_insert_with(|| AdminError::Path(path.to_owned()));
        } else {
            let handler = Arc::new(handler);
            self.commands.push(Command { method, path: path.to_owned(), handler });
        }
        self
    }

    /// A form taken by POST from whoever reaches the port, without a login: the handler judges what is in it. Runs
    /// where it may wait.
    ///
    /// # Panics
    /// As [`AdminRoutes::router`].
    #[must_use]
    pub fn form(
        mut self,
        path: &str,
        handler: impl Fn(&Query) -> Result<Value, ApiError> + Send + Sync + 'static,
    ) -> Self {
        self.extra = api::mount_form(self.extra, path, Arc::new(handler));
        self
    }

    /// What `/healthz` asks: `Err` says in words why the process is not well.
    #[must_use]
    pub fn health(mut self, check: impl Fn(&Query) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.health = Arc::new(check);
        self
    }

    /// A JSON document, made anew for each GET. `path` is literal and taken once, or `bind` fails.
    #[must_use]
    pub fn document(mut self, path: &str, make: impl Fn(&Query) -> Value + Send + Sync + 'static) -> Self {
        let literal =
            path.len() > 1 && path.starts_with('/') && !path.contains(['{', '}', '*', ':', '<', '&', '"']);
        let taken = [HEALTH, READY, METRICS].contains(&path) || self.documents.contains_key(path);
        if !literal || taken {
            self.wrong.get_or_insert_with(|| AdminError::Path(path.to_owned()));
        } else {
            self.documents.insert(path.to_owned(), Arc::new(make));
        }
        self
    }

    /// Routes of the caller's own, such as commands taken by POST; bodies are limited to
    /// [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
    ///
    /// # Panics
    /// axum panics here, or later in `bind`, when a path overlaps with one already mounted.
    #[must_use]
    pub fn router(mut self, router: Router) -> Self {
        self.extra = self.extra.merge(router);
        self
    }

    pub(super) fn build(self) -> Result<Router, AdminError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let mut router = Router::new();
        if self.probes {
            let index = index(self.documents.keys().map(String::as_str));
            router = router
                .route("/", get(move || async move { Html(index) }))
                .route(HEALTH, get(healthz).with_state(self.health))
                .route(READY, get(readyz).with_state(self.readiness))
                .route(METRICS, get(metrics).with_state(self.metrics));
        }
        for command in self.commands {
            router = api::mount(router, &self.gate, command);
        }
        for (path, make) in self.documents {
            router = router.route(&path, get(document).with_state(make));
        }
        Ok(router.merge(self.extra).fallback(api::nothing_here).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)))
    }
}

impl std::fmt::Debug for AdminRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminRoutes").field("documents", &self.documents.keys()).finish_non_exhaustive()
    }
}

async fn healthz(State(check): State<Arc<Health>>, Pairs(pairs): Pairs<Vec<(String, String)>>) -> Response {
    match check(&Query::new(pairs)) {
        Ok(()) => answer(StatusCode::OK, json!({"status": "ok"}).to_string()),
        Err(error) => {
            let body = json!({"status": "unavailable", "error": error});
            answer(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
        }
    }
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let (ready, held) = readiness.state();
    let pairs = |pairs: Vec<Held>| -> Vec<Value> {
        pairs.iter().map(|(name, reason)| json!({"name": name, "reason": reason})).collect()
    };
    let (guards, notes) = (pairs(held), pairs(readiness.notes()));
    let (code, status) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let mut document = json!({"status": status, "guards": guards});
    if !notes.is_empty() {
        document["notes"] = notes.into();
    }
    answer(code, document.to_string())
}

async fn metrics(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be encoded\n").into_response(),
    }
}

async fn document(State(make): State<Arc<Make>>, Pairs(pairs): Pairs<Vec<(String, String)>>) -> Response {
    // Indented, as nats-server does: people read these with curl. `{:#}` of a JSON value can't fail.
    answer(StatusCode::OK, format!("{:#}", make(&Query::new(pairs))))
}

fn answer(code: StatusCode, body: String) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The page at `/`: a link for everything that can be read.
fn index<'a>(documents: impl Iterator<Item = &'a str>) -> String {
    let mut page =
        String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><title>Admin</title></head><body><ul>\n");
    for path in [HEALTH, READY, METRICS].into_iter().chain(documents) {
        // Writing to a String does not fail.
        let _ignored: std::fmt::Result = writeln!(page, "<li><a href=\"{path}\">{path}</a></li>");
    }
    page.push_str("</ul></body></html>\n");
    page
}
