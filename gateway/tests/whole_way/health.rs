//! The health check command against a running gateway.

use daemon::config::Period;
use event_gateway::health::{HealthCheck, HealthError, run};

use crate::world::{Running, World, mode};

fn check(running: &Running) -> HealthCheck {
    HealthCheck {
        config: "nowhere.toml".into(),
        credentials: Some(running.config.service.health_check_credentials_file.clone()),
        timeout: Period::secs(20),
    }
}

#[tokio::test]
async fn an_event_goes_to_the_bus_and_back() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let running = world.gateway_to(&bus);
    running.ready().await;
    assert_eq!(mode(&running.config.service.health_check_credentials_file), 0o600);
    let line = run(&check(&running)).await.unwrap();
    assert!(line.contains("to the bus and back"), "{line}");
    let by_config = HealthCheck { config: world.path("gateway.toml"), credentials: None, ..check(&running) };
    assert!(run(&by_config).await.is_ok());
}

#[tokio::test]
async fn a_bus_that_does_not_answer_is_told_from_one_that_is_not_there() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0");
    let running = world.gateway_to(&bus);
    running.ready().await;
    let line = run(&check(&running)).await.unwrap();
    assert!(line.contains("nothing on the other side answers"), "{line}");
    bus.end().await;
    running.not_ready().await;
    let error = run(&check(&running)).await.unwrap_err();
    assert!(error.to_string().contains("no link to the bus is up"), "{error}");
}

#[tokio::test]
async fn a_credential_of_another_start_is_refused() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let before = world.gateway_to(&bus);
    let file = before.config.service.health_check_credentials_file.clone();
    let old = std::fs::read_to_string(&file).unwrap();
    let now = world.gateway_to(&bus);
    let port = |running: &Running| running.gateway.clients.to_string();
    std::fs::write(&file, old.replace(&port(&before), &port(&now))).unwrap();
    assert!(matches!(run(&check(&now)).await, Err(HealthError::Connect { .. })));
}

#[tokio::test]
async fn with_tls_first_and_with_required_certificates() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let link = format!("urls = [\"tls://{}\"]", bus.leafnodes);
    let service = "handshake_first = true\nhealth_check_cert_path = \"certs/orders.crt\"\nhealth_check_key_path = \
                   \"certs/orders.key\"\n";
    let clients = "[client_certificates]\nmode = \"required\"\nca_path = \"certs/internal-ca.crt\"\n";
    let running = world.gateway(&world.toml(service, &link, clients));
    running.ready().await;
    assert!(run(&check(&running)).await.is_ok());
}

#[tokio::test]
async fn without_tls_behind_a_proxy() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let link = format!("urls = [\"tls://{}\"]", bus.leafnodes);
    let running = world.gateway(&world.toml("disable_frontend_tls = true", &link, ""));
    running.ready().await;
    let line = run(&check(&running)).await.unwrap();
    assert!(line.contains("nats://127.0.0.1"), "{line}");
}
