//! RFC 7662: asking an authorization server what a token is worth.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use identity::remote::key_of;
use identity::token::Claims;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::asking::{Asking, RemoteError, Unanswered};
use super::{Refusal, TokenVerdict, Vouched, ending, unix_now};
use crate::http::{Call, Endpoint, HttpClient};

/// How we prove to the server who asks. A client certificate, where there is one, is part of the client's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// By the TLS certificate alone; the id, if any, is sent with the request (RFC 8705).
    Certificate(Option<String>),
    /// HTTP Basic, with a secret read from a file for each question.
    Basic {
        /// Our id.
        id: String,
        /// File with our secret.
        secret_file: PathBuf,
    },
    /// A bearer token read from a file for each question.
    Bearer(PathBuf),
}

/// What is asked of the server, and what is made of its answers.
#[derive(Debug)]
pub struct Settings {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// How we prove who asks.
    pub auth: ClientAuth,
    /// The `iss` its tokens have: checked where the answer names one, and put there where it does not.
    pub issuer: String,
    /// Audiences of which an answer must name one; none are asked for when empty.
    pub audience: Vec<String>,
    /// How long answers are remembered: at most, and for tokens that are not good.
    pub holds: (Duration, Duration),
    /// How long a connection lasts before the server is asked again.
    pub lifetime: Duration,
}

/// An introspection endpoint.
#[derive(Debug)]
pub struct Introspection {
    settings: Arc<Settings>,
    client: Arc<HttpClient>,
    asking: Asking<TokenVerdict>,
}

impl Introspection {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(settings: Settings, client: HttpClient, asking: Asking<TokenVerdict>) -> Self {
        Self { settings: Arc::new(settings), client: Arc::new(client), asking }
    }

    /// Questions answered, and not answered.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.asking.counts()
    }

    /// What the server says about a token, now or before.
    ///
    /// # Errors
    /// It has not said anything in time.
    pub async fn verify(&self, token: &str, until: Instant) -> Result<TokenVerdict, Unanswered> {
        let (settings, client) = (Arc::clone(&self.settings), Arc::clone(&self.client));
        let asked = Zeroizing::new(token.to_owned());
        let call = move || async move { settings.put(&client, &asked).await };
        self.asking.ask(key_of(token.as_bytes()), until, call).await
    }
}

impl Settings {
    async fn put(&self, client: &HttpClient, token: &str) -> Result<(TokenVerdict, Duration), RemoteError> {
        let mut form = format!("token={}&token_type_hint=access_token", form_encoded(token));
        let mut authorization = None;
        match &self.auth {
            ClientAuth::Certificate(None) => {}
            ClientAuth::Certificate(Some(id)) => form += &format!("&client_id={}", form_encoded(id)),
            ClientAuth::Basic { id, secret_file } => {
                let secret = secret(secret_file).await?;
                // RFC 6749, 2.3.1: both are form-encoded first.
                let pair = Zeroizing::new(format!("{}:{}", form_encoded(id), form_encoded(&secret)));
                authorization = Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))));
            }
            ClientAuth::Bearer(file) => {
                authorization = Some(Zeroizing::new(format!("Bearer {}", secret(file).await?.as_str())));
            }
        }
        let call = Call::post("application/x-www-form-urlencoded", form);
        let call = authorization.iter().fold(call, |call, value| call.authorized(value));
        let answer = client.call(&self.endpoint, &call).await?;
        if answer.status != StatusCode::OK {
            return Err(RemoteError::Status(answer.status));
        }
        let claims = Claims::from_json(&answer.body).ok_or(RemoteError::Form("is no JSON object"))?;
        self.judge(&claims, unix_now())
    }

    fn judge(&self, claims: &Claims, now: u64) -> Result<(TokenVerdict, Duration), RemoteError> {
        let refused = |reason, detail| Ok((Err(Refusal { reason, detail }), self.holds.1));
        match claims.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                return refused("inactive", "the authorization server says the token is not active");
            }
            _ => return Err(RemoteError::Form("has no member `active` that is true or false")),
        }
        if claims.get("iss").is_some() && claims.iss() != Some(&self.issuer) {
            return refused("issuer", "the token is another issuer's");
        }
        if !self.audience.is_empty() && !claims.is_for(&self.audience) {
            return refused("audience", "the token is for another audience");
        }
        if claims.exp().is_some_and(|exp| exp <= now) {
            return refused("expired", "the token has expired");
        }
        if claims.nbf().is_some_and(|nbf| nbf > now) {
            return refused("not_yet_valid", "the token is not valid yet");
        }
        let mut subject = ["sub", "username", "client_id"].into_iter();
        let subject =
            subject.find_map(|name| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()));
        let Some(subject) = subject else {
            return Err(RemoteError::Form("names nobody: no `sub`, `username` or `client_id`"));
        };
        let own = [("iss", json!(self.issuer)), ("sub", json!(subject))];
        let kept = ending(claims, now.saturating_add(self.lifetime.as_secs()), own);
        let left = claims.exp().map_or(self.holds.0, |exp| Duration::from_secs(exp.saturating_sub(now)));
        Ok((Ok(Vouched { claims: kept, roles: Vec::new() }), left.min(self.holds.0)))
    }
}

async fn secret(path: &Path) -> Result<Zeroizing<String>, RemoteError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| RemoteError::File { path: path.to_owned(), source })?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn settings() -> Settings {
        Settings {
            endpoint: Endpoint::parse("https://login.example.com/introspect", false).unwrap(),
            auth: ClientAuth::Certificate(None),
            issuer: "https://login.example.com".into(),
            audience: vec!["events".into()],
            holds: (Duration::from_secs(60), Duration::from_secs(5)),
            lifetime: Duration::from_secs(3600),
        }
    }

    fn judge(answer: Value) -> Result<(TokenVerdict, u64), RemoteError> {
        let Value::Object(map) = answer else { panic!("not an object") };
        settings().judge(&Claims::from_map(map), NOW).map(|(verdict, holds)| (verdict, holds.as_secs()))
    }

    #[test]
    fn a_good_token_has_an_end_an_issuer_and_somebody_it_is_about() {
        let (verdict, holds) =
            judge(json!({"active": true, "aud": "events", "client_id": "c", "exp": NOW + 20})).unwrap();
        let claims = verdict.unwrap().claims;
        assert_eq!((claims.sub(), claims.exp(), holds), (Some("c"), Some(NOW + 20), 20));
        assert_eq!(claims.iss(), Some("https://login.example.com"));
        let (verdict, holds) = judge(json!({"active": true, "aud": ["x", "events"], "sub": "a"})).unwrap();
        let claims = verdict.unwrap().claims;
        assert_eq!((claims.sub(), claims.exp(), holds), (Some("a"), Some(NOW + 3600), 60));
    }

    #[test]
    fn refusals_are_what_the_answer_says_and_nothing_else_is() {
        let good = json!({"active": true, "aud": "events", "sub": "a"});
        for (name, value, reason) in [
            ("active", json!(false), "inactive"),
            ("iss", json!("https://evil.example"), "issuer"),
            ("iss", json!(7), "issuer"),
            ("aud", json!("other"), "audience"),
            ("aud", json!(null), "audience"),
            ("exp", json!(NOW), "expired"),
            ("nbf", json!(NOW + 1), "not_yet_valid"),
        ] {
            let mut answer = good.clone();
            answer[name] = value;
            let (verdict, holds) = judge(answer.clone()).unwrap();
            assert_eq!((verdict.unwrap_err().reason, holds), (reason, 5), "{answer}");
        }
        for answer in
            [json!({}), json!({"active": "true"}), json!({"active": true, "aud": "events", "sub": ""})]
        {
            assert!(judge(answer.clone()).is_err(), "{answer}");
        }
    }

    #[test]
    fn form_encoding() {
        assert_eq!(form_encoded("a b&c=d/é~"), "a+b%26c%3Dd%2F%C3%A9%7E");
    }
}
