//! A fake OpenID Connect issuer: keys that rotate, and every way in which an issuer can be of no help.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use certs_dev::Issued;
use serde_json::{Value, json};

use crate::https::{HttpRequest, HttpsServer, Reply};
use crate::pki::Pki;
use crate::tokens::{Claims, fresh_key, jwk, sign_with};

/// How the issuer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Well,
    /// Answers after this time.
    Slow(Duration),
    /// Answers 500.
    Broken,
    /// Its key set has ten megabytes.
    Huge,
    /// Two keys of its set have one `kid`.
    DuplicateKid,
    /// Describes itself as somebody else.
    WrongIssuer,
    /// Sends whoever asks for keys to another host.
    Redirecting,
    /// Names a key set in clear.
    InClear,
}

struct State {
    behaviour: Behaviour,
    keys: Vec<(String, Issued)>,
}

/// The issuer, running.
pub struct FakeIssuer {
    /// The server it runs on.
    pub server: HttpsServer,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for FakeIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeIssuer").field("server", &self.server).finish_non_exhaustive()
    }
}

impl FakeIssuer {
    /// Starts an issuer with one key, `key-1`.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn start(pki: &Pki) -> Result<Self> {
        let keys = vec![("key-1".to_owned(), fresh_key()?)];
        let state = Arc::new(Mutex::new(State { behaviour: Behaviour::Well, keys }));
        let server = HttpsServer::start(pki, false, |_| Reply::Status(503, String::new())).await?;
        let (answering, name) = (Arc::clone(&state), server.url(""));
        server.answer(move |request| {
            let state = answering.lock().unwrap_or_else(PoisonError::into_inner);
            state.answer(request, &name)
        });
        Ok(Self { server, state })
    }

    /// Its name: `iss` of its tokens, and the URL at which it describes itself.
    pub fn name(&self) -> String {
        self.server.url("")
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Signs with a new key from now on; the old ones are gone from its set unless `keep`.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotate(&self, kid: &str, keep: bool) -> Result<()> {
        let key = fresh_key()?;
        let mut state = self.state();
        if !keep {
            state.keys.clear();
        }
        state.keys.push((kid.to_owned(), key));
        Ok(())
    }

    /// A token of its newest key.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, claims: &Claims) -> Result<String> {
        let claims = claims.clone().with("iss", self.name());
        let state = self.state();
        let (kid, key) = state.keys.last().ok_or_else(|| anyhow::anyhow!("no key"))?;
        sign_with(key, kid, &claims)
    }

    /// An `[[issuers]]` section that trusts it by discovery; `fetch` are more lines of its `[issuers.fetch]`.
    pub fn section(&self, pki: &Pki, fetch: &str) -> String {
        format!(
            "[[issuers]]\nissuer = \"{}\"\naudience = [\"events\"]\nalgorithms = [\"ES256\"]\ndiscovery = true\nleeway = \"0s\"\n\
             [issuers.fetch]\nca_path = \"{}\"\nmin_interval = \"100ms\"\nbackoff_min = \"50ms\"\nbackoff_max = \
             \"200ms\"\n{fetch}\n[[bindings]]\nrole = \"partner\"\nissuer = \"{}\"\n",
            self.name(),
            pki.text("internal-ca.crt"),
            self.name()
        )
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&self, request: &HttpRequest, name: &str) -> Reply {
        let reply = match request.line.as_str() {
            "GET /.well-known/openid-configuration" => self.description(name),
            "GET /keys" => self.keys(),
            _ => Reply::Status(404, String::new()),
        };
        match self.behaviour {
            Behaviour::Slow(delay) => Reply::After(delay, Box::new(reply)),
            Behaviour::Broken => Reply::Status(500, String::new()),
            _ => reply,
        }
    }

    fn description(&self, name: &str) -> Reply {
        let issuer = if self.behaviour == Behaviour::WrongIssuer { "https://evil.example" } else { name };
        let keys = match self.behaviour {
            Behaviour::InClear => format!("{}/keys", name.replacen("https", "http", 1)),
            _ => format!("{name}/keys"),
        };
        Reply::Json(json!({"issuer": issuer, "jwks_uri": keys}))
    }

    fn keys(&self) -> Reply {
        let mut keys: Vec<Value> = self.keys.iter().filter_map(|(kid, key)| jwk(key, kid).ok()).collect();
        match self.behaviour {
            Behaviour::Huge => return Reply::Flood(10 << 20),
            Behaviour::Redirecting => {
                return Reply::Status(302, "location: https://evil.example/keys\r\n".to_owned());
            }
            Behaviour::DuplicateKid => keys.extend(keys.clone()),
            _ => {}
        }
        Reply::Json(json!({ "keys": keys }))
    }
}
