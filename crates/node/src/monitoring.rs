//! The broker's documents on the admin port, under nats-server's paths.

use std::collections::HashMap;
use std::time::Instant;

use broker::Server;
use daemon::admin::{AdminRoutes, Query};
use daemon::metrics::process;

/// Mounts `/varz`, `/connz`, `/subsz`, `/leafz`, `/gatewayz`, `/routez` and `/accstatz`. `fields` adds what only the process knows to `/varz`.
#[must_use]
pub fn routes(
    routes: AdminRoutes,
    server: &Server,
    fields: impl Fn() -> serde_json::Map<String, serde_json::Value> + Send + Sync + 'static,
) -> AdminRoutes {
    let started = Instant::now();
    let [varz, connz, subsz, leafz, gatewayz, routez, accstatz] = [(); 7].map(|()| server.clone());
    routes
        .document("/varz", move |_| {
            let mut document = varz.varz();
            if let serde_json::Value::Object(known) = &mut document {
                known.extend(fields());
                known.insert("mem".into(), memory().into());
                let cpu =
                    process::cpu_seconds().unwrap_or_default() / started.elapsed().as_secs_f64().max(1.0);
                known.insert("cpu".into(), (cpu * 100.0).into());
            }
            document
        })
        .document("/connz", move |query| connz.connz(&parameters(query)))
        .document("/subsz", move |query| subsz.subsz(&parameters(query)))
        .document("/accstatz", move |query| accstatz.accstatz(&parameters(query)))
        .document("/leafz", move |_| leafz.leafz())
        .document("/gatewayz", move |query| gatewayz.gatewayz(&parameters(query)))
        .document("/routez", move |_| routez.routez())
}

/// Resident memory in whole bytes: nats-server's clients read no fractions there.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn memory() -> Option<u64> {
    process::resident_bytes().map(|bytes| bytes as u64)
}

/// The options of monitoring pages, of those that are given.
#[must_use]
pub fn parameters(query: &Query) -> HashMap<String, String> {
    let known = [
        "limit", "offset", "cid", "subs", "auth", "acc", "account", "user", "sort", "test", "unused",
        "accounts", "state", "gw_name",
    ];
    known.into_iter().filter_map(|key| Some((key.to_owned(), query.get(key)?.to_owned()))).collect()
}
