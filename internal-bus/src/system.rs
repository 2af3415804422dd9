//! What clients ask about themselves and about the server: `$SYS.REQ.USER.INFO` in every account, and in the system
//! account `$SYS.REQ.SERVER.PING…` and `$SYS.REQ.SERVER.<id>…` with the documents of monitoring.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use broker::{Call, Handler, HandlerPort, Letter, LocalError, Reception, Server};
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
    documents: Documents,
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
        documents: Documents,
    ) -> Result<Self, LocalError> {
        let users = Arc::new(UserInfo(server.clone()));
        let servers = Arc::new(ServerInfo { server: server.clone(), documents });
        let about_users: Weak<dyn Handler> = Arc::downgrade(&(users.clone() as Arc<dyn Handler>));
        let mut ports = Vec::new();
        let mut everywhere: Vec<&str> = vec![identity::DEFAULT_ACCOUNT];
        everywhere.extend(accounts.iter().map(String::as_str).chain(system));
        everywhere.sort_unstable();
        everywhere.dedup();
        for account in everywhere {
            let port = server.handler(account, "system", about_users.clone());
            port.subscribe(USER_INFO.as_bytes(), None)?;
            ports.push(port);
        }
        if let Some(account) = system {
            let about_server: Weak<dyn Handler> = Arc::downgrade(&(servers.clone() as Arc<dyn Handler>));
            let port = server.handler(account, "system", about_server);
            for who in ["PING", server.id()] {
                port.subscribe(format!("$SYS.REQ.SERVER.{who}").as_bytes(), None)?;
                port.subscribe(format!("$SYS.REQ.SERVER.{who}.*").as_bytes(), None)?;
            }
            ports.push(port);
        }
        Ok(Self { _ports: ports, _users: users, _servers: servers })
    }
}

/// The broker's own documents.
#[must_use]
pub(crate) fn documents(server: &Server, streams: &Streams) -> Documents {
    let mut documents = Documents::new();
    let (varz, connz, subsz, leafz) = (server.clone(), server.clone(), server.clone(), server.clone());
    documents.insert("VARZ", Box::new(move |_| varz.varz()));
    documents.insert("CONNZ", Box::new(move |options| connz.connz(options)));
    documents.insert("SUBSZ", Box::new(move |_| subsz.subsz()));
    documents.insert("LEAFZ", Box::new(move |_| leafz.leafz()));
    let (jsz, health) = (streams.clone(), streams.clone());
    documents.insert("JSZ", Box::new(move |options| jsz.jsz(options)));
    documents.insert(
        "HEALTHZ",
        Box::new(move |_| match health.health(&daemon::admin::Query::default()) {
            Ok(()) => json!({ "status": "ok" }),
            Err(error) => json!({ "status": "unavailable", "status_code": 503, "error": error }),
        }),
    );
    documents.insert("IDZ", Box::new(|_| json!({})));
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
        let server = about(&self.0);
        answer(call, |_| json!({ "server": server, "data": data }))
    }
}

impl Handler for ServerInfo {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        let subject = String::from_utf8_lossy(call.subject()).into_owned();
        let kind = subject.split('.').nth(4).unwrap_or("STATSZ").to_ascii_uppercase();
        let server = about(&self.server);
        if kind == "STATSZ" {
            return answer(call, |_| json!({ "server": server, "statsz": self.server.varz() }));
        }
        let Some(document) = self.documents.get(kind.as_str()) else { return Reception::Absent };
        answer(call, |payload| json!({ "server": server, "data": document(&options(payload)) }))
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
