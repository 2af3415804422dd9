//! Opening listeners and keeping links up, as planned.

use std::net::SocketAddr;
use std::sync::Arc;

use broker::{DialTls, LeafPurpose, ListenerConfig, ListenerTls, Purpose, RemoteConfig, Role, Server};
use daemon::exit::Failure;
use identity::Grant;
use node::ports::Ports;
use node::sections::DEFAULT_HOLD;
use node::tls::Reloads;

use crate::plan::{ListenerPlan, Plan};

/// The clients' listener, where certificates are followed.
pub(super) const CLIENTS: &str = "clients";

/// Opens everything peers come in by, and dials what is to be dialled.
pub(super) fn open(
    plan: &mut Plan,
    server: &Server,
    reloads: &Reloads,
    ports: &mut Ports,
) -> Result<(), Failure> {
    let group = server.link_group(identity::DEFAULT_ACCOUNT, None);
    if let Some(leafnodes) = plan.leafnodes.take() {
        let purpose = LeafPurpose {
            role: Role::Hub,
            crossing: None,
            group: group.clone(),
            compression: plan.leafnode_compression.clone(),
        };
        let local = listen(server, reloads, "leafnodes", leafnodes, Purpose::Leafnodes(purpose))?;
        tracing::info!("Listening for leafnode connections on {local}");
        ports.leafnodes.push(format!("nats-leaf://{local}"));
    }
    if let Some(gateway) = plan.gateway.take() {
        let joined = node::gateways::join(server, reloads, gateway, None, group.clone());
        let local = joined.map_err(|error| Failure::runtime(error.to_string()))?;
        tracing::info!("Listening for gateways connections on {local}");
        ports.gateways.push(format!("nats://{local}"));
    }
    remotes(plan, server, reloads, &group)?;
    if let Some(websocket) = plan.websocket.take() {
        let scheme = node::websocket::scheme(websocket.tls.is_some());
        let local = listen(server, reloads, "websocket", websocket, Purpose::Clients)?;
        tracing::info!("Listening for websocket clients on {scheme}://{local}");
        ports.websocket.push(format!("{scheme}://{local}"));
    }
    let clients = std::mem::replace(&mut plan.clients, nowhere());
    let scheme = if clients.tls.is_some() { "tls" } else { "nats" };
    let local = listen(server, reloads, CLIENTS, clients, Purpose::Clients)?;
    tracing::info!("Listening for client connections on {local}");
    ports.nats.push(format!("{scheme}://{local}"));
    Ok(())
}

/// What stands in a plan for a listener that has been opened.
fn nowhere() -> ListenerPlan {
    ListenerPlan {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        authenticator: Arc::new(broker::Open),
        advertise: None,
        websocket: None,
    }
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
        websocket: plan.websocket,
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
            discover: remote.discover,
            connections: remote.connections,
            login: remote.login.clone().shared(),
            tls,
            compression: remote.compression.clone(),
            role: remote.role,
            crossing: None,
            grant: Arc::new(grant),
            limits: remote.limits.clone(),
            group: if remote.connections > 1 {
                server.standby_group(&remote.account, None)
            } else {
                group.clone()
            },
            backoff_min: remote.backoff.0,
            backoff_max: remote.backoff.1,
            link_hold: DEFAULT_HOLD,
        });
    }
    Ok(())
}
