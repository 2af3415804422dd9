//! Carrying out a plan: broker, listeners, links, admin port, and the wait for the end.

mod admin;
mod listeners;
mod records;
mod reload;
mod sharing;

use std::sync::Arc;

use broker::{Server, ServerConfig};
use daemon::exit::Failure;
use daemon::pid::PidFile;
use daemon::readiness::Readiness;
use daemon::telemetry::LogControl;
use node::ports::Ports;
use node::process::Events;
use node::tls::Reloads;
use tokio::sync::watch;

use crate::flags::Flags;
use crate::health;
use crate::plan::Plan;
use crate::streams::Streams;
use crate::system::{System, everyone};
use reload::Reloader;

/// Carries out a plan: broker, admin port, listeners, links, and the wait for the end.
///
/// # Errors
/// What can't be opened or used: certificates, ports, files.
pub(crate) async fn serve(mut plan: Plan, flags: &Flags, log: &LogControl) -> Result<(), Failure> {
    tracing::info!(version = broker::VERSION, nats = broker::NATS_VERSION, "Starting internal-bus");
    for notice in &plan.notices {
        tracing::warn!("{notice}");
    }
    let reloads = Reloads::new();
    let certificates = plan.records.as_ref().map(|records| Arc::clone(&records.certificates));
    let kept = plan.records.take().map(|plan| records::keep(plan, &reloads)).transpose()?;
    let server = Server::new(ServerConfig {
        name: std::mem::take(&mut plan.name),
        cluster: None,
        limits: plan.limits.clone(),
    });
    let readiness = Readiness::new();
    let audit = kept.as_ref().map(|kept| kept.audit.clone()).unwrap_or_default();
    let reloader = Reloader::new(&mut plan, certificates, flags, &server, &reloads, &audit, &readiness);
    let reloader = Arc::new(reloader.map_err(Failure::usage)?);
    health::answer(&server).map_err(Failure::runtime)?;
    let everyone = everyone(&plan.accounts, plan.system_account.as_deref());
    let streams = Streams::new(&server, plan.streams.take(), &everyone);
    let system = System::begin(&server, &plan.accounts, plan.system_account.as_deref(), &streams);
    let system = system.map_err(Failure::runtime)?;
    let listening = readiness.guard("listeners");
    let mut ports = Ports::default();
    let shown = admin::Shown { server: &server, streams: &streams, reloads: &reloads, reloader: &reloader };
    let admin = admin::open(&plan, shown, readiness.clone(), kept.as_ref(), &mut ports)?;
    recover(&streams, &readiness).await?;
    listeners::open(&mut plan, &server, &reloads, &mut ports)?;
    let pid = plan.pid_file.as_ref().map(PidFile::create).transpose().map_err(Failure::runtime)?;
    if let Some(file) = &plan.ports_file {
        ports.write(file)?;
    }
    listening.ready();
    tracing::info!("Server is ready");
    let stop = watch::Sender::new(false);
    if let Some(file) = reloader.followed() {
        let reloader = Arc::clone(&reloader);
        let reload = move || drop(reloader.reload("file"));
        tokio::spawn(node::reload::follow_file(file, stop.subscribe(), reload));
    }
    let reload = || drop(tokio::task::block_in_place(|| reloader.reload("SIGHUP")));
    let events = Events { reload, drain: || streams.stop_waiting() };
    let cut = node::process::serve(&server, &reloads, log, plan.ending, events).await?;
    stop.send_replace(true);
    close(&streams).await;
    if let Some(admin) = admin {
        admin.shutdown().await;
    }
    if let Some(kept) = &kept {
        kept.audit.close();
    }
    if let Some(file) = &plan.ports_file
        && let Err(error) = std::fs::remove_file(file)
    {
        tracing::warn!(%error, "ports file not removed");
    }
    drop((pid, system));
    if cut > 0 {
        tracing::warn!(cut, "connections did not end in time");
    }
    Ok(())
}

/// Nobody is let in before what is stored is there; meanwhile `/readyz` says so.
async fn recover(streams: &Streams, readiness: &Readiness) -> Result<(), Failure> {
    if !streams.wanted() {
        return Ok(());
    }
    let recovering = readiness.guard("streams");
    recovering.not_ready("recovering");
    let opening = streams.clone();
    let opened = tokio::task::spawn_blocking(move || opening.open()).await;
    opened.map_err(Failure::runtime)??;
    recovering.ready();
    Ok(())
}

/// What was taken is on disk before the process ends.
async fn close(streams: &Streams) {
    let closing = streams.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || closing.close()).await {
        tracing::error!(%error, "streams were not closed in order");
    }
}
