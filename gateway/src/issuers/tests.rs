//! Fetching against a server of a few lines; the whole way, with TLS and a gateway, is tested from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::token::{Algorithm, DevIssuer, IssuerConfig, KeySource, TokenError};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::http::{Endpoint, HttpClient, HttpLimits};

const NOW: u64 = 1_800_000_000;

/// A server that hands every request to the test, which answers it.
struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<(String, tokio::sync::oneshot::Sender<String>)>,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 4096];
                    while let Ok(count) = stream.read(&mut bytes).await
                        && count > 0
                    {
                        let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
                        let (answer, answered) = tokio::sync::oneshot::channel::<String>();
                        sender.send((request, answer)).unwrap();
                        let Ok(answer) = answered.await else { return };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// The next request, answered with `body`.
    async fn answer(&mut self, status: u16, body: impl AsRef<str>) -> String {
        let (request, answer) = self.requests.recv().await.unwrap();
        answer.send(response(status, body.as_ref())).unwrap();
        request
    }
}

fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

struct World {
    server: Server,
    issuer: String,
    verifier: Arc<TokenVerifier>,
    keys: DevIssuer,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let server = Server::new().await;
        let issuer = format!("http://{}", server.address);
        let config = IssuerConfig::new(
            issuer.clone(),
            vec!["events".into()],
            vec![Algorithm::ES256],
            KeySource::Pushed,
        );
        let folder = tempfile::tempdir().unwrap();
        let keys = DevIssuer::create(&folder.path().join("one")).unwrap();
        let verifier = Arc::new(TokenVerifier::new(vec![config]).unwrap());
        Self { server, issuer, verifier, keys, folder }
    }

    fn key_server(&self, location: KeyLocation) -> KeyServer {
        let limits = HttpLimits {
            timeout: Duration::from_secs(2),
            max_body: 4096,
            follow_redirects: false,
            loopback: true,
        };
        KeyServer { location, client: HttpClient::new(limits, None), token_file: None }
    }

    fn url(&self) -> KeyLocation {
        KeyLocation::Url(Endpoint::parse(&format!("{}/keys", self.issuer), true).unwrap())
    }

    fn start(&self) -> Issuers {
        let limits = RefreshLimits {
            min_interval: Duration::from_millis(50),
            backoff: (Duration::from_millis(20), Duration::from_millis(40)),
            ..RefreshLimits::default()
        };
        let remote = RemoteIssuer {
            name: self.issuer.clone(),
            server: self.key_server(self.url()),
            limits,
            grace: Duration::from_secs(60),
        };
        Issuers::start(vec![remote], &self.verifier)
    }

    fn set(keys: &DevIssuer) -> String {
        std::fs::read_to_string(keys.jwks_path()).unwrap()
    }

    fn token(&self, keys: &DevIssuer) -> String {
        keys.mint(&json!({"iss": self.issuer, "aud": "events", "sub": "alice", "exp": NOW + 60})).unwrap()
    }

    /// Answers the first fetch, and waits until its keys are in use.
    async fn first_keys(&mut self) {
        self.server.answer(200, Self::set(&self.keys)).await;
        let token = self.token(&self.keys);
        let until = soon();
        while self.verifier.verify(&token, NOW).is_err() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn wanted(&self, token: &str) -> KeyWanted {
        assert_eq!(self.verifier.verify(token, NOW).unwrap_err(), TokenError::UnknownKey);
        self.verifier.key_wanted(token).unwrap()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn a_login_waits_for_the_first_keys_and_many_ask_once() {
    let mut world = World::new().await;
    let issuers = Arc::new(world.start());
    let token = world.token(&world.keys);
    let wanted = world.wanted(&token);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (issuers, wanted) = (Arc::clone(&issuers), wanted.clone());
            tokio::spawn(async move { issuers.look_for(&wanted, soon()).await })
        })
        .collect();
    world.server.answer(200, World::set(&world.keys)).await;
    for one in waiting {
        assert_eq!(one.await.unwrap(), Lookup::Again);
    }
    assert!(world.verifier.verify(&token, NOW).is_ok());
    assert!(world.server.requests.try_recv().is_err(), "one fetch for all");
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_made_up_one_is_absent() {
    let mut world = World::new().await;
    let issuers = world.start();
    world.first_keys().await;
    let next = DevIssuer::create(&world.folder.path().join("two")).unwrap();
    let token = world.token(&next);
    let wanted = world.wanted(&token);
    let both = async {
        tokio::join!(issuers.look_for(&wanted, soon()), world.server.answer(200, World::set(&next)))
    };
    let (looked, _) = both.await;
    assert_eq!(looked, Lookup::Again);
    assert!(world.verifier.verify(&token, NOW).is_ok());
    let made_up = KeyWanted { kid: Some("made up".into()), ..wanted };
    let asked = async {
        tokio::join!(issuers.look_for(&made_up, soon()), world.server.answer(200, World::set(&next)))
    };
    asked.await;
    // The fetch may have begun before the question; then one more tells.
    loop {
        tokio::select! {
            looked = issuers.look_for(&made_up, soon()) => if looked == Lookup::Absent { break },
            _ = async { loop { world.server.answer(200, World::set(&next)).await; } } => {}
        }
    }
    assert_eq!(issuers.look_for(&made_up, soon()).await, Lookup::Absent, "remembered");
}

#[tokio::test]
async fn an_issuer_that_is_down_refuses_nobody_and_its_keys_stay() {
    let mut world = World::new().await;
    let issuers = world.start();
    world.first_keys().await;
    let token = world.token(&world.keys);
    assert_eq!(issuers.grace(&world.issuer), None);
    let unknown =
        KeyWanted { issuer: world.issuer.clone(), kid: Some("new".into()), algorithm: Algorithm::ES256 };
    for (status, body) in [(500, "{}"), (200, "nonsense"), (200, "{\"keys\":[]}"), (404, "")] {
        let looked =
            async { tokio::join!(issuers.look_for(&unknown, soon()), world.server.answer(status, body)) };
        assert_eq!(looked.await.0, Lookup::Again, "{status} {body}");
        assert!(world.verifier.verify(&token, NOW).is_ok(), "{status} {body}");
        assert_eq!(issuers.grace(&world.issuer), Some(Duration::from_secs(60)), "{status} {body}");
    }
    // Nobody answers: the login is told in its time, and told that nobody knows.
    let until = Instant::now() + Duration::from_millis(100);
    assert_eq!(issuers.look_for(&unknown, until).await, Lookup::Unavailable);
}

#[tokio::test]
async fn discovery_believes_only_the_issuer_itself() {
    let mut world = World::new().await;
    let server = world.key_server(KeyLocation::Discovery);
    let issuer = world.issuer.clone();
    let keys = format!("{issuer}/keys");
    let described = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let fetch = server.fetch(&issuer);
    let answers = async {
        let asked = world.server.answer(200, described(&issuer, &keys)).await;
        assert!(asked.starts_with("GET /.well-known/openid-configuration HTTP/1.1"), "{asked}");
        assert!(world.server.answer(200, "set").await.starts_with("GET /keys "));
    };
    let (fetched, ()) = tokio::join!(fetch, answers);
    assert_eq!(fetched.unwrap().keys, b"set");
    for (body, expected) in [
        (described("https://evil.example", &keys), "describes another issuer"),
        (described(&format!("{issuer}/"), &keys), "describes another issuer"),
        (described(&issuer, "http://evil.example/keys"), "only https"),
        (described(&issuer, "file:///etc/passwd"), "expected a URL"),
        ("{}".to_owned(), "no description"),
        ("<html>".to_owned(), "no description"),
    ] {
        let (fetched, _) = tokio::join!(server.fetch(&issuer), world.server.answer(200, &body));
        let error = fetched.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_shown_to_the_configured_host_alone() {
    let mut world = World::new().await;
    let mut other = Server::new().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, "abc\n").unwrap();
    let server = KeyServer { token_file: Some(file), ..world.key_server(KeyLocation::Discovery) };
    let issuer = world.issuer.clone();
    let keys = format!("http://{}/keys", other.address);
    let description = json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let (fetched, first, second) =
        tokio::join!(server.fetch(&issuer), world.server.answer(200, &description), other.answer(200, "set"));
    fetched.unwrap();
    assert!(first.contains("authorization: Bearer abc\r\n"), "{first}");
    assert!(!second.to_lowercase().contains("authorization"), "{second}");
}
