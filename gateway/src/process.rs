//! The process: from the configuration file to the last byte of the drain.

use std::path::Path;

use daemon::admin::{AdminHandle, AdminRoutes, AdminServer};
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::pid::PidFile;
use daemon::readiness::Readiness;
use daemon::telemetry::{LogControl, init_logging, install_panic_hook, log_fatal};
use node::ports::Ports;
use node::process::Ending;
use node::tls::Reloads;
use serde_json::json;

use crate::config::{Config, DEFAULT_ADMIN_PORT, Depth, Loaded, load};
use crate::gateway::{Gateway, Surroundings};

/// Runs a gateway until a signal ends it.
///
/// # Errors
/// The configuration is wrong (exit code 2), or something can't be opened (1).
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let loaded = load(path, Depth::Files)?;
    let log = init_logging(&loaded.config.log)?;
    install_panic_hook();
    identity::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(path, &loaded, &log.control()));
    if let Err(failure) = &outcome {
        failure.lines().iter().for_each(|line| log_fatal(line));
    }
    outcome
}

async fn serve(path: &Path, loaded: &Loaded, log: &LogControl) -> Result<(), Failure> {
    let config = &loaded.config;
    tracing::info!(version = broker::VERSION, config = %path.display(), "Starting event-gateway");
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let around = Surroundings {
        readiness: Readiness::new(),
        metrics: Metrics::new("event-gateway", broker::VERSION),
        reloads: Reloads::new(),
    };
    let listening = around.readiness.guard("listeners");
    let gateway = Gateway::start(config, &around).map_err(Failure::runtime)?;
    let admin = admin(config, &gateway, &around)?;
    let pid = config.service.pid_file.as_ref().map(PidFile::create).transpose().map_err(Failure::runtime)?;
    write_ports(config, &gateway, admin.as_ref())?;
    listening.ready();
    tracing::info!("Server is ready");
    let ending = Ending { drain: config.drain(), ..Ending::default() };
    let reload_keys = || gateway.reload_keys();
    let cut = node::process::serve(&gateway.server, &around.reloads, log, ending, reload_keys).await?;
    if let Some(admin) = admin {
        admin.shutdown().await;
    }
    clean_up(config);
    drop(pid);
    if cut > 0 {
        tracing::warn!(cut, "connections did not end in time");
    }
    Ok(())
}

fn admin(config: &Config, gateway: &Gateway, around: &Surroundings) -> Result<Option<AdminHandle>, Failure> {
    if config.admin.disabled {
        return Ok(None);
    }
    let routes = AdminRoutes::new(around.metrics.clone(), around.readiness.clone());
    let routes = node::monitoring::routes(routes, &gateway.server, varz(config, gateway));
    let probe = std::sync::Arc::clone(&gateway.probe);
    let routes = routes.document("/linkz", move |_| probe.document());
    let routes = gateway.token_api(routes, config);
    let address = config.admin.address(DEFAULT_ADMIN_PORT);
    let handle = AdminServer::bind(address, routes).map_err(Failure::runtime)?;
    tracing::info!("Starting http monitor on {}", handle.local_addr());
    Ok(Some(handle))
}

/// What only this process knows, for `/varz`.
fn varz(config: &Config, gateway: &Gateway) -> serde_json::Map<String, serde_json::Value> {
    let fields = [
        ("host", json!(gateway.clients.ip().to_string())),
        ("port", json!(gateway.clients.port())),
        ("auth_required", json!(true)),
        ("tls_required", json!(!config.service.disable_frontend_tls)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn write_ports(config: &Config, gateway: &Gateway, admin: Option<&AdminHandle>) -> Result<(), Failure> {
    let Some(path) = &config.service.ports_file else { return Ok(()) };
    let scheme = if config.service.disable_frontend_tls { "nats" } else { "tls" };
    let ports = Ports {
        nats: vec![format!("{scheme}://{}", gateway.clients)],
        leafnodes: gateway.leafnodes.iter().map(|address| format!("nats-leaf://{address}")).collect(),
        monitoring: admin.iter().map(|admin| format!("http://{}", admin.local_addr())).collect(),
    };
    Ok(ports.write(path)?)
}

/// Takes away what is true only while the process runs.
fn clean_up(config: &Config) {
    let files = [config.service.ports_file.as_ref(), Some(&config.service.health_check_credentials_file)];
    for file in files.into_iter().flatten() {
        if let Err(error) = std::fs::remove_file(file) {
            tracing::debug!(file = %file.display(), %error, "not removed");
        }
    }
}
