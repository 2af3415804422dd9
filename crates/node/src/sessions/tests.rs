//! Sessions over a real socket: what is decided later holds for them, and for those on their way in.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use broker::{Authenticator, Credentials, Decision, ListenerConfig, Login, Purpose, Server, ServerConfig};
use identity::policy::{Policy, PolicyConfig};
use identity::token::Claims;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// "Tokens" are `sub/tenant` or `sub/tenant/seconds`; the policy gives everybody `<tenant>.>`.
struct Doorkeeper {
    sessions: Arc<Sessions>,
    policy: Policy,
    closed: Mutex<Vec<String>>,
    slow: AtomicBool,
    decided: AtomicU64,
}

fn facts(token: &str) -> VerifiedFacts {
    let mut parts = token.split('/');
    let (sub, tenant) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("none"));
    let claims = json!({ "iss": "https://i", "sub": sub, "tenant": tenant });
    let serde_json::Value::Object(mut map) = claims else { return VerifiedFacts::default() };
    if let Some(left) = parts.next() {
        map.insert("exp".into(), json!(now() + left.parse::<u64>().unwrap()));
    }
    VerifiedFacts { claims: Some(Claims::from_map(map)), ..VerifiedFacts::default() }
}

impl Judge for Doorkeeper {
    fn judge(&self, facts: &VerifiedFacts) -> Result<Grant, Denied> {
        let sub = facts.claims.as_ref().and_then(Claims::sub).unwrap_or_default();
        if self.closed.lock().unwrap().iter().any(|closed| closed == sub) {
            return Err(Denied::new("revoked", "on the list"));
        }
        self.policy.grant(&facts.as_facts(), 1).map_err(|denied| Denied::new(denied.reason(), denied.detail))
    }

    fn grace(&self, facts: &VerifiedFacts) -> Option<Duration> {
        let sub = facts.claims.as_ref().and_then(Claims::sub);
        (sub == Some("cut-off")).then_some(Duration::from_secs(2))
    }

    fn verify<'a>(&'a self, token: &'a str, _: &'a VerifiedFacts) -> Verification<'a> {
        Box::pin(async move { Ok(facts(token)) })
    }
}

impl Authenticator for Doorkeeper {
    fn required(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(async move {
            let Credentials::Client(options) = login.credentials else {
                return Err(Denied::new("kind", "not a client"));
            };
            let ticket = self.sessions.ticket();
            let facts = facts(options.auth_token.as_deref().unwrap_or_default());
            let grant = self.judge(&facts)?;
            self.decided.fetch_add(1, Ordering::SeqCst);
            while self.slow.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(self.sessions.admit(ticket, facts, Arc::new(grant)))
        })
    }
}

struct World {
    keeper: Arc<Doorkeeper>,
    _server: Server,
    address: std::net::SocketAddr,
}

fn world() -> World {
    let policy: PolicyConfig = serde_json::from_value(json!({
        "roles": [{ "name": "all", "publish": { "allow": ["{{claims.tenant}}.>"] }, "subscribe": { "allow": ["{{claims.tenant}}.>"] } }],
        "bindings": [{ "role": "all", "issuer": "https://i" }],
    }))
    .unwrap();
    let keeper = Arc::new(Doorkeeper {
        sessions: Sessions::new(),
        policy: Policy::compile(&policy).unwrap(),
        closed: Mutex::default(),
        slow: AtomicBool::new(false),
        decided: AtomicU64::new(0),
    });
    keeper.sessions.judged_by(&keeper);
    let server = Server::new(ServerConfig::default());
    let listener = ListenerConfig {
        address: ([127, 0, 0, 1], 0).into(),
        purpose: Purpose::Clients,
        tls: None,
        websocket: None,
        authenticator: keeper.clone(),
        link_hold: Duration::from_secs(1),
        advertise: None,
        connect_urls: Vec::new(),
    };
    let address = server.listen(listener).unwrap();
    World { keeper, _server: server, address }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn login(world: &World, token: &str) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(world.address).await.unwrap()));
        assert!(client.line().await.starts_with("INFO"));
        client.say(&format!("CONNECT {{\"verbose\":false,\"auth_token\":\"{token}\"}}\r\nPING\r\n")).await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; a PING is passed over, which may come at any time.
    async fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line));
            read.await.expect("a line in time").unwrap();
            if line != "PING\r\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Everything up to the answer to a PING.
    async fn until_pong(&mut self) -> Vec<String> {
        self.say("PING\r\n").await;
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line == "PONG" || line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    }
}

#[tokio::test]
async fn revoked_sessions_end_with_the_word_for_it_and_others_go_on() {
    let world = world();
    let (mut alice, mut bob) = (Client::login(&world, "alice/a").await, Client::login(&world, "bob/a").await);
    assert_eq!((alice.line().await, bob.line().await), ("PONG".into(), "PONG".into()));
    assert_eq!(world.keeper.sessions.len(), 2);
    world.keeper.closed.lock().unwrap().push("alice".into());
    let sweep = world.keeper.sessions.reconsider();
    assert_eq!((sweep.kept, sweep.closed), (1, 1));
    assert_eq!(alice.line().await, "-ERR 'User Authentication Revoked'");
    assert_eq!(alice.line().await, "");
    assert!(bob.until_pong().await.is_empty());
    let only_bob = |seen: &Seen<'_>| seen.facts.claims.as_ref().and_then(Claims::sub) == Some("bob");
    assert_eq!(world.keeper.sessions.close_where(CloseReason::Kicked, only_bob), 1);
    assert_eq!(bob.line().await, "");
    while !world.keeper.sessions.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn who_is_being_let_in_while_something_changes_is_judged_again() {
    let world = world();
    world.keeper.slow.store(true, Ordering::SeqCst);
    let mut alice = Client::login(&world, "alice/a").await;
    // The grant is given by the old rules, and waits; then the rules change.
    while world.keeper.decided.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.keeper.closed.lock().unwrap().push("alice".into());
    let sweep = world.keeper.sessions.reconsider();
    assert_eq!((sweep.kept, sweep.closed), (0, 0));
    world.keeper.slow.store(false, Ordering::SeqCst);
    assert_eq!(alice.line().await, "-ERR 'User Authentication Revoked'");
}

#[tokio::test]
async fn a_fresh_token_replaces_rights_and_only_of_the_same_subject() {
    let world = world();
    let mut alice = Client::login(&world, "alice/a").await;
    assert_eq!(alice.line().await, "PONG");
    alice.say("SUB a.x 1\r\nSUB _INBOX.q 2\r\nSUB $GATEHOUSE.AUTH.EXPIRING 3\r\n").await;
    let denied = alice.until_pong().await;
    assert_eq!(denied, ["-ERR 'Permissions Violation for Subscription to \"_INBOX.q\"'"]);
    alice.say("SUB a.reply 4\r\nPUB $GATEHOUSE.AUTH.RENEW a.reply 5\r\nbob/b\r\n").await;
    assert_eq!(alice.line().await, "MSG a.reply 4 36");
    assert_eq!(alice.line().await, "{\"error\":\"other_subject\",\"ok\":false}");
    alice.say("PUB $GATEHOUSE.AUTH.RENEW 7\r\nalice/b\r\n").await;
    let mut ended = [alice.line().await, alice.line().await];
    ended.sort();
    let text = |subject: &str| format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'");
    assert_eq!(ended, [text("a.reply"), text("a.x")]);
    alice.say("SUB b.x 5\r\nPUB b.x 2\r\nhi\r\nPUB a.x 2\r\nno\r\n").await;
    let said = alice.until_pong().await;
    assert_eq!(said.iter().filter(|line| line.starts_with("MSG b.x 5 2")).count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("Permissions Violation for Publish to \"a.x\"")));
}

/// Measured, and held: what is decided reaches 2,000 connections within a second.
#[tokio::test]
async fn two_thousand_sessions_are_judged_within_a_second() {
    const SESSIONS: usize = 2_000;
    let world = world();
    let mut clients = Vec::new();
    for batch in 0..SESSIONS / 100 {
        let some = (0..100).map(|at| {
            let (world, token) = (&world, format!("user-{}/t{}", batch * 100 + at, at % 7));
            async move {
                let mut client = Client::login(world, &token).await;
                assert_eq!(client.line().await, "PONG");
                client
            }
        });
        clients.extend(futures_util::future::join_all(some).await);
    }
    assert_eq!(world.keeper.sessions.len(), SESSIONS);
    // A change of policy or keys: everybody is judged again and goes on.
    let sweep = world.keeper.sessions.reconsider();
    assert_eq!((sweep.kept, sweep.closed), (SESSIONS, 0));
    println!("2,000 sessions judged again in {:?}", sweep.took);
    assert!(sweep.took < Duration::from_secs(1), "{:?}", sweep.took);
    // One is revoked: measured until the client has read it.
    world.keeper.closed.lock().unwrap().push("user-1999".into());
    let start = Instant::now();
    assert_eq!(world.keeper.sessions.reconsider().closed, 1);
    let mut last = clients.pop().unwrap();
    assert_eq!(last.line().await, "-ERR 'User Authentication Revoked'");
    println!("one of 2,000 revoked, and told, in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // All of them: until the last one has read it.
    let start = Instant::now();
    let everybody = |_: &Seen<'_>| true;
    assert_eq!(world.keeper.sessions.close_where(CloseReason::Revoked, everybody), SESSIONS - 1);
    for client in &mut clients {
        assert_eq!(client.line().await, "-ERR 'User Authentication Revoked'");
    }
    println!("1,999 sessions revoked, and told, in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_can_get_no_fresh_token_goes_on_for_the_time_given_and_no_longer() {
    let world = world();
    // Tokens end with a second of the clock: the earliest is the one after this.
    let ends = Duration::from_secs(now() + 1);
    let mut other = Client::login(&world, "other/a/1").await;
    let mut client = Client::login(&world, "cut-off/a/1").await;
    assert_eq!((other.line().await, client.line().await), ("PONG".into(), "PONG".into()));
    let expired = "-ERR 'User Authentication Expired'";
    assert_eq!(other.line().await, expired);
    // Judged again meanwhile, it keeps the time it was given.
    assert!(client.until_pong().await.is_empty());
    assert_eq!(world.keeper.sessions.reconsider().closed, 0);
    assert_eq!(client.line().await, expired);
    // Reading has a deadline of its own, so it does not go on for good.
    let told = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(told >= ends + Duration::from_secs(2), "told at {told:?}, rights end at {ends:?}");
}
