//! Logins with tokens minted here and certificates from a development PKI.

use std::net::SocketAddr;

use broker::{Authenticator, Credentials, Denied, Login};
use identity::policy::PolicyConfig;
use identity::token::{Algorithm, DevIssuer, IssuerConfig, KeySource, TokenVerifier};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use wire::info::ConnectOptions;

use daemon::audit::AuditConfig;
use identity::peer::{IdentitySource, Pins};
use identity::policy::Policy;
use node::revocation::RevocationConfig;
use node::tls::Reloads;

use super::*;

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_800_000_000;

struct World {
    issuer: DevIssuer,
    authenticator: GatewayAuthenticator,
    health: HealthCredential,
    folder: TempDir,
}

fn rules(policy: &PolicyConfig) -> Rules {
    Rules {
        policy: Policy::compile(policy).unwrap(),
        identity_order: IdentitySource::DEFAULT_ORDER.to_vec(),
        pins: Pins::default(),
        token_required: false,
    }
}

fn records(folder: &TempDir) -> Records {
    let file = Some(folder.path().join("audit.jsonl"));
    let audit = Audit::open(&AuditConfig { file, ..AuditConfig::default() }, "test").unwrap();
    let revocations = Plane::open(&RevocationConfig::default(), audit.clone()).unwrap();
    Records { revocations, audit, reloads: Reloads::new() }
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::create(&folder.path().join("issuer")).unwrap();
    let keys = KeySource::JwksFile(issuer.jwks_path());
    let config = IssuerConfig::new(ISSUER, vec!["events".into()], vec![Algorithm::ES256], keys);
    let policy: PolicyConfig = serde_json::from_value(json!({
        "roles": [
            {
                "name": "partner",
                "publish": { "allow": ["orders.{{claims.tenant}}.>"] },
                "subscribe": { "allow": ["shipments.{{claims.tenant}}.>"] },
                "allow_responses": true
            },
            { "name": "device", "publish": { "allow": ["telemetry.>"] } }
        ],
        "bindings": [
            { "role": "partner", "issuer": ISSUER, "when": { "claims.groups": { "contains": "partners" } } },
            { "role": "device", "when": { "certificate.dns": "billing.internal" } }
        ]
    }))
    .unwrap();
    let health = HealthCredential::generate();
    let mut authenticator = GatewayAuthenticator::new(
        Arc::new(TokenSources::of_files(TokenVerifier::new(vec![config]).unwrap())),
        rules(&policy),
        records(&folder),
        health.clone(),
    )
    .unwrap();
    authenticator.now = || NOW;
    World { issuer, authenticator, health, folder }
}

impl World {
    fn token(&self, changes: &Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": "events", "sub": "alice", "tenant": "acme", "groups": ["partners"],
            "iat": NOW - 10, "exp": NOW + 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.issuer.mint(&claims).unwrap()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        let certs = self.folder.path().join("certs");
        if !certs.exists() {
            certs_dev::init(&certs, false).unwrap();
        }
        identity::pem::certificates(&certs.join(format!("{name}.crt"))).unwrap().remove(0)
    }

    async fn login(&self, options: ConnectOptions) -> Result<Arc<Grant>, Denied> {
        self.login_with(options, &[]).await
    }

    async fn login_with(
        &self,
        options: ConnectOptions,
        certificates: &[CertificateDer<'static>],
    ) -> Result<Arc<Grant>, Denied> {
        let login = Login {
            credentials: Credentials::Client(&options),
            certificates,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            websocket: false,
            nonce: "nonce",
            until: Instant::now() + Duration::from_secs(2),
        };
        self.authenticator.authenticate(login).await.map(|admission| admission.grant)
    }
}

fn bearer(token: impl Into<String>) -> ConnectOptions {
    ConnectOptions { auth_token: Some(token.into()), ..ConnectOptions::default() }
}

#[tokio::test]
async fn a_token_becomes_rights() {
    let world = world();
    let grant = world.login(bearer(world.token(&json!({})))).await.unwrap();
    assert_eq!(
        (&*grant.identity, grant.expires_at, grant.isolate_inbox),
        ("alice", Some(NOW + 600 + identity::token::DEFAULT_LEEWAY), true)
    );
    assert!(grant.rights.may_publish(b"orders.acme.new") && !grant.rights.may_publish(b"orders.other.new"));
    assert!(grant.rights.may_subscribe(b"shipments.acme.>", None) && !grant.rights.may_subscribe(b">", None));
    assert!(grant.rights.responses().is_some());
    assert_eq!(grant.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["partner"]);
}

#[tokio::test]
async fn a_token_may_come_in_any_place() {
    let world = world();
    let token = Some(world.token(&json!({})));
    let user = Some("token".to_owned());
    for options in [
        ConnectOptions { user: token.clone(), ..ConnectOptions::default() },
        ConnectOptions { jwt: token.clone(), ..ConnectOptions::default() },
        ConnectOptions { user, pass: token.clone(), ..ConnectOptions::default() },
    ] {
        assert!(world.login(options).await.is_ok());
    }
}

#[tokio::test]
async fn refusals_say_little_outside_and_all_inside() {
    let world = world();
    let violation = wire::text::AUTHORIZATION_VIOLATION;
    let expired = wire::text::USER_AUTHENTICATION_EXPIRED;
    for (options, reason, text) in [
        (ConnectOptions::default(), "no_credentials", violation),
        (bearer("nonsense"), "malformed", violation),
        (bearer(world.token(&json!({ "exp": NOW - 60 }))), "expired", expired),
        (bearer(world.token(&json!({ "aud": "other" }))), "audience", violation),
        (bearer(world.token(&json!({ "iss": "https://other.example" }))), "issuer", violation),
        (bearer(world.token(&json!({ "groups": [] }))), "no_role", violation),
        (bearer(world.token(&json!({ "tenant": "a.>" }))), "template", violation),
        (bearer("health-check.0123456789"), "malformed", violation),
    ] {
        let token = options.auth_token.clone().unwrap_or_default();
        let denied = world.login(options).await.unwrap_err();
        assert_eq!((denied.reason, denied.text), (reason, text), "{denied:?}");
        assert!(token.is_empty() || !denied.detail.contains(&token));
    }
}

#[tokio::test]
async fn a_certificate_alone_may_be_enough() {
    let world = world();
    let billing = [world.certificate("billing")];
    let grant = world.login_with(ConnectOptions::default(), &billing).await.unwrap();
    assert_eq!(&*grant.identity, "spiffe://gatehouse.dev/billing");
    assert!(grant.rights.may_publish(b"telemetry.1") && grant.expires_at.is_some());
    let orders = [world.certificate("orders")];
    let denied = world.login_with(ConnectOptions::default(), &orders).await.unwrap_err();
    assert_eq!(denied.reason, "no_role");
    let ca = [world.certificate("internal-ca")];
    assert_eq!(world.login_with(ConnectOptions::default(), &ca).await.unwrap_err().reason, "certificate");
}

#[tokio::test]
async fn a_certificate_adds_to_a_token_and_does_not_mend_it() {
    let world = world();
    let billing = [world.certificate("billing")];
    let grant = world.login_with(bearer(world.token(&json!({}))), &billing).await.unwrap();
    assert_eq!(&*grant.identity, "alice");
    assert!(grant.rights.may_publish(b"telemetry.1") && grant.rights.may_publish(b"orders.acme.x"));
    assert_eq!(grant.expires_at, Some(NOW + 600 + identity::token::DEFAULT_LEEWAY));
    let denied = world.login_with(bearer("nonsense"), &billing).await.unwrap_err();
    assert_eq!(denied.reason, "malformed");
}

#[tokio::test]
async fn the_health_check_has_its_own_subjects_alone() {
    let world = world();
    let file = crate::health::CredentialFile::new(&world.health, "127.0.0.1:1".parse().unwrap(), Vec::new());
    let grant = world.login(bearer(file.token)).await.unwrap();
    assert_eq!((&*grant.identity, grant.isolate_inbox), (HEALTH_IDENTITY, true));
    assert!(
        grant.rights.may_publish(b"healthcheck.bus") && grant.rights.may_subscribe(b"healthcheck.>", None)
    );
    assert!(!grant.rights.may_publish(b"orders.acme.x") && !grant.rights.may_subscribe(b">", None));
}

#[tokio::test]
async fn keys_that_can_not_be_read_again_stay() {
    let world = world();
    let token = world.token(&json!({}));
    std::fs::write(world.issuer.jwks_path(), "nonsense").unwrap();
    assert_eq!(world.authenticator.reload_keys().len(), 1);
    assert!(world.login(bearer(token.clone())).await.is_ok());
    // Another key: the old tokens are no longer good.
    let other = DevIssuer::create(&world.folder.path().join("other")).unwrap();
    std::fs::copy(other.jwks_path(), world.issuer.jwks_path()).unwrap();
    assert!(world.authenticator.reload_keys().is_empty());
    assert!(world.login(bearer(token)).await.is_err());
}

#[tokio::test]
async fn a_token_within_the_leeway_is_let_in_for_what_is_left_of_it() {
    let world = world();
    let grant = world.login(bearer(world.token(&json!({ "exp": NOW - 10 })))).await.unwrap();
    assert_eq!(grant.expires_at, Some(NOW - 10 + identity::token::DEFAULT_LEEWAY));
    assert!(!grant.expired(NOW));
    let late = world.token(&json!({ "exp": NOW - identity::token::DEFAULT_LEEWAY }));
    assert_eq!(world.login(bearer(late)).await.unwrap_err().reason, "expired");
}
