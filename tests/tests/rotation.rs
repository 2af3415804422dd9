//! Certificates change while clients work: nothing lost, nobody disconnected.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions, Event};
use certs_dev::AuthorityName;
use futures_util::StreamExt;
use gatehouse_tests::{
    BusOptions, ClientTls, InternalBus, Pki, Raw, Scene, client_config, eventually, http_get, known,
    peer_certificate, within,
};
use tokio::task::JoinSet;

/// Publishers at each door.
const PUBLISHERS: usize = 25;

/// Counts what must not happen.
#[derive(Clone, Default)]
struct Disconnects(Arc<AtomicUsize>);

impl Disconnects {
    fn watch(&self, options: ConnectOptions) -> ConnectOptions {
        let count = Arc::clone(&self.0);
        options.event_callback(move |event| {
            let count = Arc::clone(&count);
            async move {
                if !matches!(event, Event::Connected) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    }
}

/// Publishes numbers until told to stop; gives how many, and the client, whose end would be an event too.
async fn publish(client: Client, subject: String, stop: Arc<AtomicBool>) -> Result<(usize, Client)> {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        client.publish(subject.clone(), sent.to_string().into()).await?;
        sent += 1;
        // The pace of the connection, not of memory.
        client.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok((sent, client))
}

/// Waits until new handshakes show the certificate that lies in `file`.
async fn shown(address: std::net::SocketAddr, tls: &ClientTls, name: &str, file: &Path) -> Result<()> {
    let wanted = gatehouse_tests::first_certificate(file)?;
    eventually("the new certificate in a handshake", || async {
        // The client's files may be half rotated at this moment: try again.
        let config = client_config(tls, &[]).ok()?;
        (peer_certificate(address, config, name).await.ok()? == wanted).then_some(())
    })
    .await
}

/// Rotates everything, step by step, and waits after each step until it shows.
async fn rotate_everything(scene: &Scene) -> Result<()> {
    let dir = scene.pki.dir();
    let (bus, gateway) = (scene.bus.addresses.clients, scene.gateway.addresses.clients);
    let (service, outsider) = (scene.pki.service("orders"), scene.pki.outsider());
    let (bus_file, gateway_file) = (scene.pki.path("internal-bus.crt"), scene.pki.path("frontend.crt"));
    for leaf in ["internal-bus", "event-gateway", "frontend"] {
        certs_dev::rotate_leaf(dir, leaf)?;
    }
    shown(bus, &service, "internal-bus", &bus_file).await?;
    shown(gateway, &outsider, "localhost", &gateway_file).await?;
    for ca in [AuthorityName::Internal, AuthorityName::Frontend] {
        certs_dev::rotate_ca(dir, ca)?;
    }
    shown(bus, &service, "internal-bus", &bus_file).await?;
    shown(gateway, &outsider, "localhost", &gateway_file).await?;
    for ca in [AuthorityName::Internal, AuthorityName::Frontend] {
        certs_dev::finish_ca_rotation(dir, ca)?;
    }
    shown(bus, &service, "internal-bus", &bus_file).await?;
    shown(gateway, &outsider, "localhost", &gateway_file).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_publishers_notice_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let disconnects = Disconnects::default();
    let reading = scene.pki.service("billing").async_nats().subscription_capacity(1 << 20);
    let reader = disconnects.watch(reading).connect(format!("tls://{}", scene.bus.addresses.clients)).await?;
    let mut sub = reader.subscribe("peer.load.>").await?;
    let partner = scene.partner().await?;
    known(&partner, "peer.load.probe", &mut sub).await?;

    let (stop, mut publishing) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let token = scene.tokens.good()?;
    for i in 0..PUBLISHERS {
        let outside = disconnects.watch(scene.pki.outsider().async_nats().token(token.clone()));
        let outside = outside.connect(format!("tls://{}", scene.gateway.addresses.clients)).await?;
        publishing.spawn(publish(outside, format!("peer.load.out.{i}"), Arc::clone(&stop)));
        let inside = disconnects.watch(scene.pki.service("orders").async_nats());
        let inside = inside.connect(format!("tls://{}", scene.bus.addresses.clients)).await?;
        publishing.spawn(publish(inside, format!("peer.load.in.{i}"), Arc::clone(&stop)));
    }
    let counting = tokio::spawn(async move {
        let mut next = std::collections::HashMap::<String, usize>::new();
        let mut count = 0_usize;
        while let Some(message) = sub.next().await {
            if message.payload == "end" {
                return Ok(count);
            }
            let Ok(number) = std::str::from_utf8(&message.payload)?.parse::<usize>() else { continue };
            let wanted = next.entry(message.subject.to_string()).or_default();
            ensure!(number == *wanted, "{}: {number} in place of {wanted}", message.subject);
            *wanted += 1;
            count += 1;
        }
        Ok(count)
    });

    rotate_everything(&scene).await?;
    stop.store(true, Ordering::Relaxed);
    let (mut sent, mut clients) = (0, Vec::new());
    while let Some(one) = within("the publishers", publishing.join_next()).await? {
        let (count, client) = one??;
        sent += count;
        clients.push(client);
    }
    // Each connection has its own way through; the gateway's messages share the link, in order.
    eventually("everything sent", || async {
        let page = http_get(scene.bus.admin().ok()?, "/varz").await.ok()?.json().ok()?;
        (page["in_msgs"].as_u64()? >= sent as u64).then_some(())
    })
    .await?;
    partner.publish("peer.load.end", "end".into()).await?;
    let count = within("the end", counting).await???;
    ensure!(count == sent, "{count} of {sent} arrived");
    ensure!(disconnects.0.load(Ordering::Relaxed) == 0, "{} events", disconnects.0.load(Ordering::Relaxed));
    Ok(())
}

#[tokio::test]
async fn a_bad_pair_is_refused_and_the_old_one_kept() -> Result<()> {
    let pki = Pki::new()?;
    let mut bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let (address, service) = (bus.addresses.clients, pki.service("orders"));
    let first = peer_certificate(address, client_config(&service, &[])?, "internal-bus").await?;
    let good = std::fs::read(pki.path("internal-bus.crt"))?;
    for bad in [b"no certificate".to_vec(), std::fs::read(pki.path("orders.crt"))?] {
        std::fs::write(pki.path("internal-bus.crt"), bad)?;
        bus.process.signal("HUP").await?;
        let said =
            |log: &str| log.lines().any(|line| line.contains("ERROR") || line.contains("WARN")).then_some(());
        bus.process.wait_log("a word about the bad pair", said).await?;
        let shown = peer_certificate(address, client_config(&service, &[])?, "internal-bus").await?;
        ensure!(shown == first, "the certificate changed");
    }
    std::fs::write(pki.path("internal-bus.crt"), good)?;
    certs_dev::rotate_leaf(pki.dir(), "internal-bus")?;
    shown(address, &service, "internal-bus", &pki.path("internal-bus.crt")).await
}

#[tokio::test]
async fn a_swapped_symlink_counts_as_a_change() -> Result<()> {
    let pki = Pki::new()?;
    // As Kubernetes mounts a secret: file -> ..data/file, ..data -> a directory per version.
    let mount = pki.path("mount");
    let files = ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"];
    let version = |name: &str| -> Result<()> {
        std::fs::create_dir_all(mount.join(name))?;
        for file in files {
            std::fs::copy(pki.path(file), mount.join(name).join(file))?;
        }
        std::os::unix::fs::symlink(name, mount.join("..data_new"))?;
        std::fs::rename(mount.join("..data_new"), mount.join("..data"))?;
        Ok(())
    };
    version("..1")?;
    for file in files {
        std::os::unix::fs::symlink(Path::new("..data").join(file), mount.join(file))?;
    }
    let toml = BusOptions::default().to_toml(&pki);
    let toml = files
        .iter()
        .fold(toml, |toml, file| toml.replace(&pki.text(file), &pki.text(&format!("mount/{file}"))));
    std::fs::write(pki.path("mounted.toml"), toml)?;
    let program = gatehouse_tests::binary("internal-bus")?;
    let builder = gatehouse_tests::ProcessBuilder::new(program, pki.path("mounted.log"));
    let mut process = builder.arg("--config").arg(pki.path("mounted.toml")).spawn()?;
    let ports = |_: &str| {
        gatehouse_tests::Addresses::from_ports_file(&std::fs::read_to_string(pki.path("bus.ports")).ok()?)
            .ok()
    };
    let address = process.wait_for("a ports file", ports).await?.clients;
    let service = pki.service("orders");
    let (mut live, _) = Raw::tls(address, client_config(&service, &[])?, "internal-bus").await?;
    live.login(r#"{"verbose":false}"#).await?;

    certs_dev::rotate_leaf(pki.dir(), "internal-bus")?;
    version("..2")?;
    std::fs::remove_dir_all(mount.join("..1"))?;
    shown(address, &service, "internal-bus", &pki.path("internal-bus.crt")).await?;
    live.fence().await
}

#[tokio::test]
async fn after_a_ca_rotation_the_old_ca_is_trusted_no_more() -> Result<()> {
    let pki = Pki::new()?;
    let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
    let address = bus.addresses.clients;
    // Out of the directory: a rotation issues anew whatever lies there.
    let former = tempfile::tempdir()?;
    for file in ["orders.crt", "orders.key"] {
        std::fs::copy(pki.path(file), former.path().join(file))?;
    }
    certs_dev::rotate_ca(pki.dir(), AuthorityName::Internal)?;
    certs_dev::finish_ca_rotation(pki.dir(), AuthorityName::Internal)?;
    let new = pki.service("orders");
    shown(address, &new, "internal-bus", &pki.path("internal-bus.crt")).await?;
    let former = ClientTls::new(pki.path("internal-ca.crt")).with_pair(former.path(), "orders");
    let login = |tls: ClientTls| async move {
        let (mut raw, _) = Raw::tls(address, client_config(&tls, &[])?, "internal-bus").await?;
        raw.login(r#"{"verbose":false}"#).await
    };
    login(new).await.context("the new certificate")?;
    let refused = || async { login(former.clone()).await.err() };
    eventually("the refusal of the former certificate", refused).await?;
    Ok(())
}
