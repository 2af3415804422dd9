//! Opaque tokens of a running gateway: it follows their file, and the admin API changes it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daemon::admin::{AdminRoutes, ApiError, ApiRequest, Method};
use daemon::audit::{Audit, Event, Kind};
use identity::opaque::{FileError, NewToken, OpaqueFile, OpaqueTokens, RecordError, TokenRecord, edit, read};
use identity::rotate::{Outcome, Rotating, WatchOptions, watch_files};
use node::sessions::Sessions;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::token_cmd::{described, revoke_in};

/// Where the admin API has them.
const PATH: &str = "/api/v1/tokens";

/// How long a token made by the API is good unless the request says so, in seconds.
const DEFAULT_LIFETIME: u64 = 90 * 86_400;

/// Most tokens in one file: what is over is taken out to make room, what is not is never.
const MAX_TOKENS: usize = 50_000;

/// The file in use, and who has to hear of its changes.
#[derive(Debug)]
pub(crate) struct Followed {
    tokens: Arc<Rotating<OpaqueFile>>,
    sessions: Arc<Sessions>,
    audit: Audit,
    /// What was in use when its changes were last written down.
    told: Mutex<Arc<OpaqueTokens>>,
}

impl Followed {
    pub(crate) fn new(tokens: Arc<Rotating<OpaqueFile>>, sessions: &Arc<Sessions>, audit: &Audit) -> Self {
        let told = Mutex::new(tokens.current());
        Self { tokens, sessions: Arc::clone(sessions), audit: audit.clone(), told }
    }

    /// Follows the file for ever. A token that is revoked ends its live sessions, so changes are looked for often.
    pub(crate) async fn follow(self: Arc<Self>) {
        let options =
            WatchOptions { interval: Duration::from_millis(250), settle: Duration::from_millis(50) };
        let tokens = Arc::clone(&self.tokens);
        watch_files(tokens, options, std::future::pending(), move |outcome| self.tell(&outcome)).await;
    }

    /// Looks at the file now, as on SIGHUP. Reads it.
    pub(crate) fn look(&self) {
        self.tell(&self.tokens.check());
    }

    fn tell(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Reloaded => {
                self.sessions.reconsider();
                self.write_down();
                tracing::info!("opaque tokens reloaded");
            }
            Outcome::Refused(error) => {
                tracing::error!(%error, "opaque tokens refused, the old ones stay in use");
            }
            Outcome::Unchanged => {}
        }
    }

    /// Whoever changed the file, the audit log has what became of each token.
    fn write_down(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.tokens.current();
        let (made, revoked) = current.since(&told, unix_now());
        let event = |kind, record: &TokenRecord| {
            let event = Event::new(kind).identity(&record.owner).with("token_id", record.id.as_str());
            event.with("roles", record.roles.clone()).with("expires_at", record.expires)
        };
        made.into_iter().for_each(|record| self.audit.note(event(Kind::TokenCreated, record)));
        revoked.into_iter().for_each(|record| self.audit.note(event(Kind::TokenRevoked, record)));
        *told = current;
    }
}

/// A token asked for by the API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    owner: String,
    /// Seconds since the Unix epoch.
    expires: Option<u64>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// Mounts `GET` and `POST /api/v1/tokens`, and `DELETE /api/v1/tokens/ID`. What they change takes effect before they
/// answer.
pub(crate) fn mount(routes: AdminRoutes, followed: &Arc<Followed>, path: &Path) -> AdminRoutes {
    let file = path.to_owned();
    let routes = routes.api(Method::Get, PATH, move |_| list(&file));
    let (file, changed) = (path.to_owned(), Arc::clone(followed));
    let routes = routes.api(Method::Post, PATH, move |request| {
        let made = create(&file, request)?;
        changed.look();
        Ok(made)
    });
    let (file, changed) = (path.to_owned(), Arc::clone(followed));
    routes.api(Method::Delete, &format!("{PATH}/{{tail}}"), move |request| {
        let revoked = revoke(&file, request)?;
        changed.look();
        Ok(revoked)
    })
}

fn list(file: &Path) -> Result<Value, ApiError> {
    let now = unix_now();
    let tokens = read(file).map_err(failed)?.unwrap_or_default();
    let tokens: Vec<Value> = tokens.iter().map(|token| described(token, now)).collect();
    Ok(json!({ "tokens": tokens }))
}

fn create(file: &Path, request: &ApiRequest) -> Result<Value, ApiError> {
    let wanted: Wanted = request.read()?;
    let now = unix_now();
    let new = NewToken {
        owner: wanted.owner,
        expires: wanted.expires.unwrap_or(now.saturating_add(DEFAULT_LIFETIME)),
        roles: wanted.roles,
        claims: wanted.claims,
    };
    let (token, record) = new.make(now).map_err(|error| match error {
        RecordError::Random => ApiError::new(500, error.to_string()),
        _ => ApiError::bad(error.to_string()),
    })?;
    let mut answer = described(&record, now);
    let kept = edit(file, |tokens| {
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|token| token.expires > now);
        }
        let room = tokens.len() < MAX_TOKENS;
        if room {
            tokens.push(record);
        }
        room
    });
    if !kept.map_err(failed)? {
        return Err(ApiError::new(507, format!("there are {MAX_TOKENS} tokens already")));
    }
    answer["token"] = Value::from(token.as_str());
    Ok(answer)
}

fn revoke(file: &Path, request: &ApiRequest) -> Result<Value, ApiError> {
    let (id, now) = (&request.tail, unix_now());
    let found = edit(file, |tokens| {
        revoke_in(tokens, id, now)
            .then(|| tokens.iter().find(|token| token.id == *id).map(|token| described(token, now)))
    });
    let found = found.map_err(failed)?.flatten();
    found.ok_or_else(|| ApiError::missing("no token has this id"))
}

fn failed(error: FileError) -> ApiError {
    ApiError::new(500, error.to_string())
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tail: &str, body: Value) -> ApiRequest {
        ApiRequest { tail: tail.into(), body, ..ApiRequest::default() }
    }

    #[test]
    fn tokens_are_made_shown_without_secrets_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        assert_eq!(list(&file).unwrap(), json!({"tokens": []}));
        let made = create(&file, &request("", json!({"owner": "sensor-7", "roles": ["r"]}))).unwrap();
        let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
        assert!(token.starts_with("gh_") && made["expires"].as_u64().unwrap() > unix_now() + 80 * 86_400);
        let listed = list(&file).unwrap();
        assert_eq!(
            (&listed["tokens"][0]["id"], &listed["tokens"][0]["state"]),
            (&json!(id), &json!("active"))
        );
        assert!(!listed.to_string().contains(&token[16..]) && !listed.to_string().contains("hash"));
        assert_eq!(revoke(&file, &request(id, Value::Null)).unwrap()["state"], "revoked");
        assert_eq!(revoke(&file, &request("nobody", Value::Null)).unwrap_err().status(), 404);
    }

    #[test]
    fn requests_that_make_no_sense_are_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        for body in [
            json!({}),
            json!({"owner": ""}),
            json!({"owner": "a", "role": "r"}),
            json!({"owner": "a", "expires": 1}),
            json!({"owner": "a", "claims": {"sub": "b"}}),
        ] {
            assert_eq!(create(&file, &request("", body.clone())).unwrap_err().status(), 400, "{body}");
        }
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(list(&file).unwrap_err().status(), 500);
    }
}
