//! The process: from the configuration file to the last byte of the drain.

use std::path::Path;
use std::sync::Arc;

use daemon::admin::{AdminHandle, AdminRoutes};
use daemon::audit::Audit;
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::pid::PidFile;
use daemon::readiness::Readiness;
use daemon::telemetry::{LogControl, init_logging, install_panic_hook, log_fatal};
use node::ports::Ports;
use node::process::{Ending, Events};
use node::revocation::Plane;
use node::tls::Reloads;
use serde_json::json;
use tokio::sync::watch;

use crate::admin_api::{self, Managed};
use crate::config::{Config, DEFAULT_ADMIN_PORT, Depth, Loaded, load};
use crate::gateway::{Gateway, Surroundings};
use crate::logout;
use crate::reload::{self, Reloader};

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
    let around = surroundings(config)?;
    let stop = watch::Sender::new(false);
    let listening = around.readiness.guard("listeners");
    let gateway = Gateway::start(config, &around).map_err(Failure::runtime)?;
    let reloader = Arc::new(Reloader::new(path, config, gateway.authenticator(), &around));
    reloader.register(&around.metrics);
    let admin = admin(config, &gateway, &reloader, &around)?;
    let logout =
        config.logout.as_ref().map(|section| logout::open(section, gateway.authenticator(), &around));
    let logout = logout.transpose().map_err(Failure::runtime)?;
    let pid = config.service.pid_file.as_ref().map(PidFile::create).transpose().map_err(Failure::runtime)?;
    write_ports(config, &gateway, admin.as_ref(), logout.as_ref())?;
    tokio::spawn(Arc::clone(&around.revocations).follow(stop.subscribe()));
    tokio::spawn(reload::follow_config(Arc::clone(&reloader), stop.subscribe()));
    listening.ready();
    tracing::info!("Server is ready");
    let ending = Ending { drain: config.drain(), ..Ending::default() };
    let events = Events { reload: || reload_on_signal(&gateway, &reloader), drain: || () };
    let cut = node::process::serve(&gateway.server, &around.reloads, log, ending, events).await?;
    stop.send_replace(true);
    for port in [admin, logout].into_iter().flatten() {
        port.shutdown().await;
    }
    around.audit.close();
    clean_up(config);
    drop(pid);
    if cut > 0 {
        tracing::warn!(cut, "connections did not end in time");
    }
    Ok(())
}

fn surroundings(config: &Config) -> Result<Surroundings, Failure> {
    let audit = Audit::open(&config.audit, "event-gateway").map_err(Failure::runtime)?;
    let revocations = Plane::open(&config.revocation, audit.clone()).map_err(Failure::runtime)?;
    let around = Surroundings {
        readiness: Readiness::new(),
        metrics: Metrics::new("event-gateway", broker::VERSION),
        reloads: Reloads::new(),
        revocations,
        audit,
    };
    around.audit.register(&around.metrics);
    around.revocations.register(&around.metrics);
    Ok(around)
}

/// SIGHUP: everything that is read from files is read again. What came of it is told where it happens.
fn reload_on_signal(gateway: &Gateway, reloader: &Reloader) {
    gateway.reload_opaque();
    let outcome = tokio::task::block_in_place(|| reloader.reload("SIGHUP"));
    drop(outcome);
}

fn admin(
    config: &Config,
    gateway: &Gateway,
    reloader: &Arc<Reloader>,
    around: &Surroundings,
) -> Result<Option<AdminHandle>, Failure> {
    if config.admin.disabled {
        return Ok(None);
    }
    let routes = AdminRoutes::new(around.metrics.clone(), around.readiness.clone());
    let fields = varz(config, gateway);
    let routes = node::monitoring::routes(routes, &gateway.server, move || fields.clone());
    let probe = Arc::clone(&gateway.probe);
    let routes = routes.document("/linkz", move |_| probe.document());
    let routes = gateway.token_api(routes, config);
    let routes = around.revocations.routes(routes);
    let managed = Managed {
        server: gateway.server.clone(),
        sessions: Arc::clone(gateway.sessions()),
        reloader: Arc::clone(reloader),
        reloads: around.reloads.clone(),
    };
    let routes = admin_api::routes(routes, &managed);
    let (section, audit) = (&config.admin, &around.audit);
    let handle = node::admin::open(section, DEFAULT_ADMIN_PORT, routes, audit, &around.reloads);
    let handle = handle.map_err(Failure::runtime)?;
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

fn write_ports(
    config: &Config,
    gateway: &Gateway,
    admin: Option<&AdminHandle>,
    logout: Option<&AdminHandle>,
) -> Result<(), Failure> {
    let Some(path) = &config.service.ports_file else { return Ok(()) };
    let scheme = if config.service.disable_frontend_tls { "nats" } else { "tls" };
    let ports = Ports {
        nats: vec![format!("{scheme}://{}", gateway.clients)],
        websocket: gateway
            .websocket
            .iter()
            .map(|address| {
                let scheme = node::websocket::scheme(!config.service.disable_frontend_tls);
                format!("{scheme}://{address}")
            })
            .collect(),
        leafnodes: gateway.leafnodes.iter().map(|address| format!("nats-leaf://{address}")).collect(),
        gateways: gateway.gateways.iter().map(|address| format!("nats://{address}")).collect(),
        monitoring: admin
            .iter()
            .map(|admin| format!("{}://{}", web(config.admin.tls.is_some()), admin.local_addr()))
            .collect(),
        logout: logout
            .iter()
            .map(|logout| {
                let tls = config.logout.as_ref().is_some_and(|logout| logout.tls.is_some());
                format!("{}://{}{}", web(tls), logout.local_addr(), logout::PATH)
            })
            .collect(),
    };
    Ok(ports.write(path)?)
}

fn web(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
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
