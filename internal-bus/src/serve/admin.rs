//! The admin port of the bus.

use std::collections::HashMap;
use std::sync::Arc;

use broker::{AccountFacts, Server};
use daemon::admin::{AdminHandle, AdminRoutes, ApiError, Method, Query};
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use node::ports::Ports;
use node::tls::Reloads;

use super::records::Kept;
use super::reload::Reloader;
use crate::plan::Plan;
use crate::streams::Streams;

/// What is shown, and may be asked to do something.
pub(super) struct Shown<'a> {
    pub(super) server: &'a Server,
    pub(super) streams: &'a Streams,
    pub(super) reloads: &'a Reloads,
    pub(super) reloader: &'a Arc<Reloader>,
}

pub(super) fn open(
    plan: &Plan,
    shown: Shown<'_>,
    readiness: Readiness,
    kept: Option<&Kept>,
    ports: &mut Ports,
) -> Result<Option<AdminHandle>, Failure> {
    let Some(section) = &plan.admin else { return Ok(None) };
    let Shown { server, streams, reloads, reloader } = shown;
    let metrics = Metrics::new("internal-bus", broker::VERSION);
    node::metrics::register(&metrics, server, reloads);
    streams.register(&metrics);
    reloader.register(&metrics);
    let (health, jsz, varz) = (streams.clone(), streams.clone(), streams.clone());
    if let Some(kept) = kept {
        kept.audit.register(&metrics);
        kept.revocations.register(&metrics);
    }
    let routes = AdminRoutes::new(metrics, readiness).health(move |query| health.health(query));
    let routes = routes.document("/jsz", move |query| jsz.jsz(&options(query)));
    let named = plan.system_account.clone();
    let routes = node::monitoring::routes(routes, server, move || {
        let mut fields = serde_json::Map::new();
        fields.insert("jetstream".into(), varz.varz());
        if let Some(system) = &named {
            fields.insert("system_account".into(), system.as_str().into());
        }
        fields
    });
    let (accounts, system, holds) = (server.clone(), plan.system_account.clone(), streams.clone());
    let routes = routes.document("/accountz", move |query| {
        let facts = AccountFacts { system: system.as_deref(), streams: &|name| holds.in_account(name) };
        accounts.accountz(&node::monitoring::parameters(query), &facts)
    });
    let routes = match kept {
        Some(kept) => kept.revocations.routes(routes),
        None => routes,
    };
    let reloader = Arc::clone(reloader);
    let routes = routes.api(Method::Post, "/api/v1/reload", move |request| {
        reloader.reload(&request.actor).map(|applied| applied.document()).map_err(ApiError::from)
    });
    let audit = kept.map(|kept| kept.audit.clone()).unwrap_or_default();
    // The plan has a port in every case.
    let handle = node::admin::open(section, 0, routes, &audit, reloads).map_err(Failure::runtime)?;
    tracing::info!("Starting http monitor on {}", handle.local_addr());
    let scheme = if section.tls.is_some() { "https" } else { "http" };
    ports.monitoring.push(format!("{scheme}://{}", handle.local_addr()));
    Ok(Some(handle))
}

fn options(query: &Query) -> HashMap<String, String> {
    let known = ["acc", "account", "accounts", "streams", "consumers", "config", "offset", "limit"];
    known.into_iter().filter_map(|key| Some((key.to_owned(), query.get(key)?.to_owned()))).collect()
}
