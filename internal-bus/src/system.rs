//! What clients ask about themselves and about the server: `$SYS.REQ.USER.INFO` in every account, and in the system
//! account `$SYS.REQ.SERVER.PING…`, `$SYS.REQ.SERVER.<id>…` and `$SYS.REQ.ACCOUNT.<name>…` with the documents of
//! monitoring.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use broker::{AccountFacts, Call, Handler, HandlerPort, Letter, LocalError, Reception, Server};
use daemon::metrics::process;
use serde_json::{Value, json};

use crate::streams::Streams;

const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// Documents that may be asked for, by the last token of the subject.
pub(crate) type Documents =
    HashMap<&'static str, Box<dyn Fn(&HashMap<String, String>) -> Value + Send + Sync>>;

/// Answers for as long as it lives.
pub(crate) struct System {
    _ports: Vec<HandlerPort>,
    _users: Arc<UserInfo>,
    _servers: Arc<ServerInfo>,
}

struct UserInfo(Server);

struct ServerInfo {
    server: Server,
    streams: Streams,
    system: Option<String>,
    documents: Documents,
    started: Instant,
    /// Answers are numbered.
    answered: AtomicU64,
}

/// Every account once: the default one, those that are named, and the system's.
pub(crate) fn everyone<'a>(accounts: &'a [String], system: Option<&'a str>) -> Vec<&'a str> {
    let mut everywhere: Vec<&str> = vec![identity::DEFAULT_ACCOUNT];
    everywhere.extend(accounts.iter().map(String::as_str).chain(system));
    everywhere.sort_unstable();
    everywhere.dedup();
    everywhere
}

impl System {
    /// Begins to answer: about users in `accounts`, about the server in `system`.
    ///
    /// # Errors
    /// A subscription is refused, which means that a subject above is none.
    pub(crate) fn begin(
        server: &Server,
        accounts: &[String],
        system: Option<&str>,
        streams: &Streams,
    ) -> Result<Self, LocalError> {
        let users = Arc::new(UserInfo(server.clone()));
        let servers = Arc::new(ServerInfo {
            server: server.clone(),
            streams: streams.clone(),
            system: system.map(str::to_owned),
            documents: documents(server, streams, system),
            started: Instant::now(),
            answered: AtomicU64::new(0),
        });
        let about_users: Weak<dyn Handler> = Arc::downgrade(&(users.clone() as Arc<dyn Handler>));
        let mut ports = Vec::new();
        for account in everyone(accounts, system) {
            let port = server.handler(account, "system", about_users.clone());
            port.subscribe(USER_INFO.as_bytes(), None)?;
            ports.push(port);
        }
        if let Some(account) = system {
            server.name_system_account(account);
            let about_server: Weak<dyn Handler> = Arc::downgrade(&(servers.clone() as Arc<dyn Handler>));
            let port = server.handler(account, "system", about_server);
            for who in ["PING", server.id()] {
                port.subscribe(format!("$SYS.REQ.SERVER.{who}").as_bytes(), None)?;
                port.subscribe(format!("$SYS.REQ.SERVER.{who}.*").as_bytes(), None)?;
            }
            port.subscribe(b"$SYS.REQ.ACCOUNT.*.*", None)?;
            ports.push(port);
        }
        Ok(Self { _ports: ports, _users: users, _servers: servers })
    }
}

/// The broker's own documents.
fn documents(server: &Server, streams: &Streams, system: Option<&str>) -> Documents {
    let mut documents = Documents::new();
    let [varz, connz, subsz, leafz, gatewayz, routez, accountz, accstatz] = [(); 8].map(|()| server.clone());
    let (holds, system) = (streams.clone(), system.map(str::to_owned));
    documents.insert(
        "ACCOUNTZ",
        Box::new(move |options| {
            let facts = AccountFacts { system: system.as_deref(), streams: &|name| holds.in_account(name) };
            accountz.accountz(options, &facts)
        }),
    );
    documents.insert("ACCSTATZ", Box::new(move |options| accstatz.accstatz(options)));
    documents.insert("VARZ", Box::new(move |_| varz.varz()));
    documents.insert("CONNZ", Box::new(move |options| connz.connz(options)));
    documents.insert("SUBSZ", Box::new(move |options| subsz.subsz(options)));
    documents.insert("LEAFZ", Box::new(move |_| leafz.leafz()));
    documents.insert("GATEWAYZ", Box::new(move |options| gatewayz.gatewayz(options)));
    documents.insert("ROUTEZ", Box::new(move |_| routez.routez()));
    let (jsz, health) = (streams.clone(), streams.clone());
    documents.insert("JSZ", Box::new(move |options| jsz.jsz(options)));
    documents.insert(
        "HEALTHZ",
        Box::new(move |_| match health.health(&daemon::admin::Query::default()) {
            Ok(()) => json!({ "status": "ok" }),
            Err(error) => json!({ "status": "unavailable", "status_code": 503, "error": error }),
        }),
    );
    documents
}

/// What every answer says about the server.
fn about(server: &Server) -> Value {
    json!({ "name": server.name(), "id": server.id(), "ver": broker::NATS_VERSION, "gatehouse": broker::VERSION })
}

fn answer(call: &mut Call<'_>, body: impl Fn(&[u8]) -> Value) -> Reception {
    let asked: Vec<(&[u8], &[u8])> = call
        .messages()
        .map(|message| (message.reply, message.payload))
        .filter(|(reply, _)| !reply.is_empty())
        .collect();
    for (reply, payload) in asked {
        let text = body(payload).to_string();
        call.answer(&Letter { subject: reply, payload: text.as_bytes(), ..Letter::default() });
    }
    Reception::Taken
}

impl Handler for UserInfo {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        let origin = call.origin();
        let grant = origin.grant();
        let rules = |permission: &identity::Permission| {
            (!permission.is_everything())
                .then(|| json!({ "allow": permission.allow(), "deny": permission.deny() }))
        };
        let rights = &grant.rights;
        let mut data = json!({ "user": &*grant.identity, "account": &**origin.account() });
        let (publish, subscribe) = (rules(rights.publish()), rules(rights.subscribe()));
        if publish.is_some() || subscribe.is_some() {
            data["permissions"] = json!({ "publish": publish, "subscribe": subscribe });
        }
        if let Some(limit) = rights.responses() {
            // -1 is no bound; times are nanoseconds.
            let max = limit.max.map_or(-1, i64::from);
            let ttl = limit.ttl.map_or(-1, |ttl| i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX));
            data["permissions"]["responses"] = json!({ "max": max, "ttl": ttl });
        }
        let server = about(&self.0);
        answer(call, |_| json!({ "server": server, "data": data }))
    }
}

impl ServerInfo {
    /// What every answer to whoever asks about the server begins with.
    fn about(&self) -> Value {
        let mut about = about(&self.server);
        about["host"] = self.server.varz()["host"].clone();
        about["jetstream"] = self.streams.running().is_some().into();
        about["seq"] = self.answered.fetch_add(1, Ordering::Relaxed).into();
        about["time"] = json!(jetstream::stamp::Stamp::of(SystemTime::now()));
        about
    }

    fn statz(&self) -> Value {
        let mut fields = self.server.statz();
        fields.insert("mem".into(), node::monitoring::memory().into());
        let cpu = process::cpu_seconds().unwrap_or_default() / self.started.elapsed().as_secs_f64().max(1.0);
        fields.insert("cpu".into(), (cpu * 100.0).into());
        if let Some(streams) = self.streams.running().map(|_| self.streams.varz()) {
            fields.insert("jetstream".into(), streams);
        }
        Value::Object(fields)
    }

    /// What is asked about one account, or, with `PING`, about those named in the request.
    fn account(&self, name: &str, kind: &str, payload: &[u8]) -> Option<Value> {
        let mut options = options(payload);
        if name == "PING" {
            return match kind {
                "STATZ" => Some(self.server.accstatz(&options)),
                _ => self.documents.get(kind).map(|document| document(&options)),
            };
        }
        let facts =
            AccountFacts { system: self.system.as_deref(), streams: &|name| self.streams.in_account(name) };
        match kind {
            "INFO" => self.server.account_detail(name, &facts),
            "STATZ" => self
                .server
                .one_accstatz(name)
                .map(|one| json!({ "server_id": self.server.id(), "account_statz": [one] })),
            "CONNS" => self.server.one_accstatz(name),
            "CONNZ" | "SUBSZ" | "JSZ" | "LEAFZ" => {
                for key in ["acc", "account"] {
                    options.insert(key.to_owned(), name.to_owned());
                }
                self.documents.get(kind).map(|document| document(&options))
            }
            _ => None,
        }
    }
}

impl Handler for ServerInfo {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        let subject = String::from_utf8_lossy(call.subject()).into_owned();
        let mut tokens = subject.split('.').skip(2);
        let (what, who, kind) = (tokens.next(), tokens.next().unwrap_or_default(), tokens.next());
        let kind = kind.unwrap_or("STATSZ").to_ascii_uppercase();
        if what == Some("ACCOUNT") {
            return answer(call, |payload| match self.account(who, &kind, payload) {
                Some(data) => json!({ "server": self.about(), "data": data }),
                None => json!({
                    "server": self.about(),
                    "error": { "code": 404, "description": format!("nothing to tell of account {who:?}") },
                }),
            });
        }
        match kind.as_str() {
            "STATSZ" => {
                return answer(call, |_| json!({ "server": self.about(), "statsz": self.statz() }));
            }
            "IDZ" => {
                return answer(call, |_| {
                    let about = self.about();
                    json!({ "name": about["name"], "host": about["host"], "id": about["id"] })
                });
            }
            _ => {}
        }
        let Some(document) = self.documents.get(kind.as_str()) else { return Reception::Absent };
        answer(call, |payload| json!({ "server": self.about(), "data": document(&options(payload)) }))
    }
}

/// The options of a request, as a monitoring page has them in its query.
fn options(payload: &[u8]) -> HashMap<String, String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(payload) else { return HashMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(key, value)| (key, text(value))).collect()
}
