//! The admin port of the bus.

use std::collections::HashMap;

use broker::Server;
use daemon::admin::{AdminHandle, AdminRoutes, Query};
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use node::ports::Ports;
use node::tls::Reloads;

use super::records::Kept;
use crate::plan::Plan;
use crate::streams::Streams;

pub(super) fn open(
    plan: &Plan,
    server: &Server,
    streams: &Streams,
    reloads: &Reloads,
    readiness: Readiness,
    kept: Option<&Kept>,
    ports: &mut Ports,
) -> Result<Option<AdminHandle>, Failure> {
    let Some(section) = &plan.admin else { return Ok(None) };
    let metrics = Metrics::new("internal-bus", broker::VERSION);
    node::metrics::register(&metrics, server, reloads);
    streams.register(&metrics);
    let (health, jsz, varz) = (streams.clone(), streams.clone(), streams.clone());
    if let Some(kept) = kept {
        kept.audit.register(&metrics);
        kept.revocations.register(&metrics);
    }
    let routes = AdminRoutes::new(metrics, readiness).health(move |query| health.health(query));
    let routes = routes.document("/jsz", move |query| jsz.jsz(&options(query)));
    let routes = node::monitoring::routes(routes, server, move || {
        let mut fields = serde_json::Map::new();
        fields.insert("jetstream".into(), varz.varz());
        fields
    });
    let routes = match kept {
        Some(kept) => kept.revocations.routes(routes),
        None => routes,
    };
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
