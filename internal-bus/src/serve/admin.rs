//! The admin port of the bus.

use broker::Server;
use daemon::admin::{AdminHandle, AdminRoutes, AdminServer};
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use node::ports::Ports;
use node::tls::Reloads;

use crate::plan::Plan;

pub(super) fn open(
    plan: &Plan,
    server: &Server,
    reloads: &Reloads,
    readiness: Readiness,
    ports: &mut Ports,
) -> Result<Option<AdminHandle>, Failure> {
    let Some(address) = plan.admin else { return Ok(None) };
    let metrics = Metrics::new("internal-bus", broker::VERSION);
    node::metrics::register(&metrics, server, reloads);
    let routes =
        node::monitoring::routes(AdminRoutes::new(metrics, readiness), server, serde_json::Map::new());
    let handle = AdminServer::bind(address, routes).map_err(Failure::runtime)?;
    tracing::info!("Starting http monitor on {}", handle.local_addr());
    ports.monitoring.push(format!("http://{}", handle.local_addr()));
    Ok(Some(handle))
}
