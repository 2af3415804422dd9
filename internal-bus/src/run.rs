//! Carrying out a plan: logging, broker, listeners, links, admin port, and the wait for the end.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::{
    DialTls, LeafPurpose, ListenerConfig, ListenerTls, Purpose, RemoteConfig, Role, Server, ServerConfig,
};
use daemon::admin::{AdminHandle, AdminRoutes, AdminServer};
use daemon::exit::Failure;
use daemon::metrics::Metrics;
use daemon::pid::PidFile;
use daemon::readiness::Readiness;
use daemon::telemetry::{init_logging, install_panic_hook, log_fatal};
use identity::Grant;
use node::ports::Ports;
use node::sections::DEFAULT_HOLD;
use node::tls::Reloads;

use crate::flags::{self, Action, ConfigFile, ControlSignal, Flags, SignalRequest};
use crate::health;
use crate::natsconf::{NatsConf, parse_file};
use crate::plan::{ImportPlan, ListenerPlan, Plan, from_natsconf, from_toml};

/// The program: reads the command line and does what it says.
///
/// # Errors
/// Usage and configuration errors (exit code 2), failures while running (1).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let flags = flags::parse(arguments).map_err(|error| Failure::usage(error.to_string()))?;
    match &flags.action {
        Action::Help => print(flags::help_text()),
        Action::Version => print(&format!("internal-bus {}\n", broker::VERSION)),
        Action::Signal(request) => signal(request),
        Action::TestConfig => {
            plan(&flags)?;
            print("the configuration is valid\n")
        }
        Action::Run => run(plan(&flags)?),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn signal(request: &SignalRequest) -> Result<(), Failure> {
    let name = match request.signal {
        ControlSignal::LameDuck => "ldm",
        ControlSignal::Term => "term",
        ControlSignal::Quit => "quit",
        ControlSignal::Stop => "stop",
        ControlSignal::Reload => "reload",
        ControlSignal::Reopen => "reopen",
    };
    let Some(receiver) = &request.receiver else {
        return Err(Failure::usage(format!(
            "--signal {name} needs the process: --signal {name}=PID or a pid file"
        )));
    };
    daemon::pid::run_signal_command(&format!("{name}={receiver}")).map_err(Failure::runtime)
}

fn plan(flags: &Flags) -> Result<Plan, Failure> {
    if let Some(ConfigFile::Toml(path)) = &flags.config {
        let alone = Flags { action: flags.action.clone(), config: flags.config.clone(), ..Flags::default() };
        if *flags != alone {
            return Err(Failure::usage(
                "options of nats-server don't go with a .toml configuration: set its keys",
            ));
        }
        return Ok(from_toml(path)?);
    }
    let (mut conf, notices) = match &flags.config {
        Some(file) => parse_file(file.path(), flags.ignore_unsupported).map_err(|errors| {
            Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?,
        None => (NatsConf::default(), Vec::new()),
    };
    flags.apply_to(&mut conf);
    let mut plan = from_natsconf(&conf, flags.allow_remote_plaintext, flags.ignore_unsupported)
        .map_err(|error| Failure::usage(error.to_string()))?;
    plan.notices.extend(flags.notices.iter().cloned().chain(notices.iter().map(ToString::to_string)));
    Ok(plan)
}

/// Runs until a signal ends it.
///
/// # Errors
/// What can't be opened or used: certificates, ports, files.
pub fn run(plan: Plan) -> Result<(), Failure> {
    let log = init_logging(&plan.log)?;
    install_panic_hook();
    identity::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(plan, &log.control()));
    if let Err(failure) = &outcome {
        failure.lines().iter().for_each(|line| log_fatal(line));
    }
    outcome
}

async fn serve(mut plan: Plan, log: &daemon::telemetry::LogControl) -> Result<(), Failure> {
    tracing::info!(version = broker::VERSION, nats = broker::NATS_VERSION, "Starting internal-bus");
    for notice in &plan.notices {
        tracing::warn!("{notice}");
    }
    let reloads = Reloads::new();
    let server = Server::new(ServerConfig {
        name: std::mem::take(&mut plan.name),
        cluster: None,
        limits: plan.limits.clone(),
    });
    share(&plan.imports, &server)?;
    health::answer(&server).map_err(Failure::runtime)?;
    let readiness = Readiness::new();
    let listening = readiness.guard("listeners");
    let mut ports = Ports::default();
    let admin = admin(&plan, &server, &reloads, readiness.clone(), &mut ports)?;
    let group = server.link_group(identity::DEFAULT_ACCOUNT, None);
    if let Some(leafnodes) = plan.leafnodes.take() {
        let purpose = LeafPurpose { role: Role::Hub, crossing: None, group: group.clone() };
        let local = listen(&server, &reloads, "leafnodes", leafnodes, Purpose::Leafnodes(purpose))?;
        tracing::info!("Listening for leafnode connections on {local}");
        ports.leafnodes.push(format!("nats-leaf://{local}"));
    }
    remotes(&plan, &server, &reloads, &group)?;
    let clients = std::mem::replace(&mut plan.clients, nowhere());
    let scheme = if clients.tls.is_some() { "tls" } else { "nats" };
    let local = listen(&server, &reloads, "clients", clients, Purpose::Clients)?;
    tracing::info!("Listening for client connections on {local}");
    ports.nats.push(format!("{scheme}://{local}"));
    let pid = plan.pid_file.as_ref().map(PidFile::create).transpose().map_err(Failure::runtime)?;
    if let Some(file) = &plan.ports_file {
        ports.write(file)?;
    }
    listening.ready();
    tracing::info!("Server is ready");
    let cut = node::process::serve(&server, &reloads, log, plan.ending, || {}).await?;
    if let Some(admin) = admin {
        admin.shutdown().await;
    }
    if let Some(file) = &plan.ports_file
        && let Err(error) = std::fs::remove_file(file)
    {
        tracing::warn!(%error, "ports file not removed");
    }
    drop(pid);
    if cut > 0 {
        tracing::warn!(cut, "connections did not end in time");
    }
    Ok(())
}

fn share(imports: &[ImportPlan], server: &Server) -> Result<(), Failure> {
    for import in imports {
        let ImportPlan { exporter, subject, importer, to, service } = import;
        let made = match service {
            Some(terms) => server.import_service(exporter, subject, importer, to, *terms),
            None => server.import_stream(exporter, subject, importer, to),
        };
        made.map_err(|error| Failure::usage(format!("import of {subject:?} into {importer}: {error}")))?;
    }
    Ok(())
}

/// What stands in a plan for a listener that has been opened.
fn nowhere() -> ListenerPlan {
    ListenerPlan {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        authenticator: Arc::new(broker::Open),
        advertise: None,
    }
}

fn admin(
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

fn listen(
    server: &Server,
    reloads: &Reloads,
    name: &str,
    plan: ListenerPlan,
    purpose: Purpose,
) -> Result<SocketAddr, Failure> {
    let tls = match plan.tls {
        Some(tls) => Some(ListenerTls {
            source: reloads.server(name, tls.server).map_err(|error| Failure::usage(error.to_string()))?,
            start: tls.start,
            verify: tls.verify,
            optional: tls.optional,
        }),
        None => None,
    };
    let address = plan.address;
    let config = ListenerConfig {
        address,
        purpose,
        tls,
        authenticator: plan.authenticator,
        link_hold: DEFAULT_HOLD,
        advertise: plan.advertise,
        connect_urls: Vec::new(),
    };
    server.listen(config).map_err(|error| Failure::runtime(format!("can't listen on {address}: {error}")))
}

fn remotes(
    plan: &Plan,
    server: &Server,
    reloads: &Reloads,
    group: &Arc<broker::LinkGroup>,
) -> Result<(), Failure> {
    for remote in &plan.remotes {
        let tls = match &remote.tls {
            Some(tls) => Some(DialTls {
                source: reloads
                    .client(&remote.name, tls.clone())
                    .map_err(|error| Failure::usage(error.to_string()))?,
                server_name: remote.server_name.clone(),
                first: remote.handshake_first,
            }),
            None => None,
        };
        let mut grant = Grant::unrestricted(&remote.name);
        grant.account = remote.account.as_str().into();
        server.solicit(RemoteConfig {
            name: remote.name.clone(),
            urls: remote.urls.clone(),
            tls,
            role: remote.role,
            crossing: None,
            grant: Arc::new(grant),
            limits: remote.limits.clone(),
            group: group.clone(),
            backoff_min: remote.backoff.0,
            backoff_max: remote.backoff.1,
            link_hold: DEFAULT_HOLD,
        });
    }
    Ok(())
}
