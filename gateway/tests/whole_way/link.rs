//! Readiness and publishers while the link comes and goes; the bus as the one that dials.

use std::sync::Arc;
use std::time::Duration;

use broker::{DialTls, RemoteConfig, RemoteUrl, Role};
use event_gateway::probe::Outcome;
use identity::Grant;
use identity::tls::{CertifiedFile, ClientTls};
use node::tls::Reloads;

use crate::world::World;

#[tokio::test]
async fn readiness_follows_the_link() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let address = bus.leafnodes.to_string();
    let running = world.gateway_to(&bus);
    running.ready().await;
    assert_eq!(running.gateway.probe.outcome(), Outcome::Answered);
    bus.end().await;
    let held = running.not_ready().await;
    assert!(held.contains("no link to the bus is up"), "{held}");
    let partner = world.partner(&running).await;
    let refused = partner.request("orders.acme.new", "?".into()).await.unwrap_err();
    assert_eq!(refused.kind(), async_nats::client::RequestErrorKind::NoResponders);
    let again = world.bus(&address).answering();
    running.ready().await;
    let text = running.around.metrics.encode().unwrap();
    assert!(text.contains("gatehouse_link_up 1.0"), "{text}");
    drop(again);
}

#[tokio::test]
async fn the_bus_may_be_the_one_to_dial() {
    let world = World::new();
    let link = "listen = { host = \"127.0.0.1\", port = 0, peers = [\"internal-bus\"] }";
    let running = world.gateway(&world.toml("", link, ""));
    let address = running.gateway.leafnodes.unwrap();
    let bus = world.bus("127.0.0.1:0").answering();
    let material = ClientTls {
        root_ca_path: world.path("certs/internal-ca.crt"),
        certificate: Some(CertifiedFile::new(
            world.path("certs/internal-bus.crt"),
            world.path("certs/internal-bus.key"),
        )),
        ..ClientTls::default()
    };
    let group = bus.server.link_group(identity::DEFAULT_ACCOUNT, None);
    bus.server.solicit(RemoteConfig {
        compression: broker::Compression::default(),
        name: "gateway".into(),
        urls: vec![RemoteUrl {
            host: address.ip().to_string(),
            port: address.port(),
            tls: true,
            user: None,
            password: None,
            certificate_name: None,
        }],
        discover: true,
        connections: 1,
        login: Arc::new(()),
        tls: Some(DialTls {
            source: Reloads::new().client("gateway", material).unwrap(),
            server_name: Some("event-gateway".into()),
            first: false,
        }),
        role: Role::Hub,
        crossing: None,
        grant: Arc::new(Grant::unrestricted("gateway")),
        limits: None,
        group,
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(50),
        link_hold: Duration::ZERO,
    });
    running.ready().await;
    assert_eq!(running.gateway.probe.outcome(), Outcome::Answered);
}
