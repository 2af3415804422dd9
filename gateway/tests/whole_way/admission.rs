//! Who gets in, what crosses, what does not.

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::world::{DEADLINE, World};

#[tokio::test]
async fn a_partner_asks_and_the_inside_answers() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let running = world.gateway_to(&bus);
    running.ready().await;
    let inside = bus.client().await;
    let mut requests = inside.subscribe("ext.orders.>").await.unwrap();
    inside.flush().await.unwrap();
    let service = tokio::spawn({
        let inside = inside.clone();
        async move {
            let request = requests.next().await.unwrap();
            inside.publish(request.reply.clone().unwrap(), "yes".into()).await.unwrap();
            request
        }
    });
    let partner = world.partner(&running).await;
    let answer = ask_until_there(&partner).await;
    assert_eq!(&answer.payload[..], b"yes");
    let request = timeout(DEADLINE, service).await.unwrap().unwrap();
    assert_eq!((request.subject.as_str(), &request.payload[..]), ("ext.orders.acme.new", &b"?"[..]));
}

/// Interest has to reach the gateway first; until then nobody is there.
async fn ask_until_there(partner: &async_nats::Client) -> async_nats::Message {
    let asking = async {
        loop {
            match partner.request("orders.acme.new", "?".into()).await {
                Ok(answer) => return answer,
                Err(error) => assert_eq!(error.kind(), async_nats::client::RequestErrorKind::NoResponders),
            }
        }
    };
    timeout(DEADLINE, asking).await.unwrap()
}

#[tokio::test]
async fn only_what_a_route_names_crosses_outward() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0").answering();
    let running = world.gateway_to(&bus);
    running.ready().await;
    let partner = world.partner(&running).await;
    let mut shipments = partner.subscribe("shipments.acme.>").await.unwrap();
    partner.flush().await.unwrap();
    let inside = bus.client().await;
    let first = async {
        loop {
            inside.publish("other.acme.1", "no".into()).await.unwrap();
            inside.publish("shipments.other.1", "no".into()).await.unwrap();
            inside.publish("shipments.acme.1", "yes".into()).await.unwrap();
            inside.flush().await.unwrap();
            // Until interest has reached the bus, nothing comes.
            if let Ok(message) = timeout(std::time::Duration::from_millis(50), shipments.next()).await {
                return message.unwrap();
            }
        }
    };
    let message = timeout(DEADLINE, first).await.unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("shipments.acme.1", &b"yes"[..]));
}

#[tokio::test]
async fn without_a_good_token_nobody_gets_in() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0");
    let running = world.gateway_to(&bus);
    for token in [
        world.token(&json!({ "aud": "other" })),
        world.token(&json!({ "iss": "https://other.example" })),
        world.token(&json!({ "exp": 1_000_000_000 })),
        "nonsense".to_owned(),
    ] {
        let refused = world.outside().token(token).connect(running.url()).await;
        assert!(refused.is_err());
    }
    assert!(world.outside().connect(running.url()).await.is_err(), "no token at all");
    let mut reasons = running.gateway.server.counters().denied_by_reason();
    reasons.sort_unstable();
    let names: Vec<_> = reasons.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(names, ["audience", "expired", "issuer", "malformed", "no_credentials"]);
}

#[tokio::test]
async fn a_certificate_is_asked_for_where_it_is_configured() {
    let world = World::new();
    let bus = world.bus("127.0.0.1:0");
    let sections = r#"
[client_certificates]
mode = "required"
ca_path = "certs/internal-ca.crt"
[[roles]]
name = "device"
publish = { allow = ["telemetry.>"] }
[[bindings]]
role = "device"
when = { "certificate.dns" = "billing.internal" }
"#;
    let link = format!("urls = [\"tls://{}\"]", bus.leafnodes);
    let running = world.gateway(&world.toml("", &link, sections));
    let token = world.token(&json!({}));
    assert!(
        world.outside().token(token).connect(running.url()).await.is_err(),
        "a token without certificate"
    );
    let pair =
        |name: &str| (world.path(&format!("certs/{name}.crt")), world.path(&format!("certs/{name}.key")));
    let (cert, key) = pair("billing");
    assert!(world.outside().add_client_certificate(cert, key).connect(running.url()).await.is_ok());
    let (cert, key) = pair("orders");
    assert!(
        world.outside().add_client_certificate(cert, key).connect(running.url()).await.is_err(),
        "no role"
    );
}
