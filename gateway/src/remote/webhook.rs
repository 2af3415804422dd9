//! A service of the operator's own that says whose tokens are good (`authn_endpoint`) and who may come in
//! (`authz_endpoint`): HTTP with JSON. The documents are described in docs/access-control.md.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use identity::policy::VerifiedFacts;
use identity::remote::key_of;
use identity::token::Claims;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::asking::{Asking, RemoteError, Unanswered};
use super::{Refusal, TokenVerdict, Vouched, ending, unix_now};
use crate::http::{Call, Endpoint, HttpClient};

/// The `iss` that claims of the webhook carry unless it names one.
pub const WEBHOOK_ISSUER: &str = "gatehouse:webhook";

/// Roles the webhook gives, or why it lets nobody in.
pub type Permitted = Result<Vec<Arc<str>>, Refusal>;

/// What is asked of the webhook.
#[derive(Debug)]
pub struct WebhookSettings {
    /// Where tokens are judged.
    pub authn: Option<Endpoint>,
    /// Where it is asked who may come in.
    pub authz: Option<Endpoint>,
    /// What one has to be allowed to come in.
    pub action: String,
    /// On what.
    pub resource: String,
    /// How long answers are remembered: at most, and when they say no.
    pub holds: (Duration, Duration),
    /// How long a connection lasts before the webhook is asked again.
    pub lifetime: Duration,
}

/// The webhook.
#[derive(Debug)]
pub struct Webhook {
    settings: Arc<WebhookSettings>,
    client: Arc<HttpClient>,
    tokens: Asking<TokenVerdict>,
    rights: Asking<Permitted>,
}

/// The answer about a token.
#[derive(Deserialize)]
struct TokenAnswer {
    active: bool,
    #[serde(default)]
    subject: String,
    issuer: Option<String>,
    expires_at: Option<u64>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    roles: Vec<String>,
}

/// The answer about rights.
#[derive(Deserialize)]
struct RightsAnswer {
    allowed: bool,
    #[serde(default)]
    roles: Vec<String>,
}

impl Webhook {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(
        settings: WebhookSettings,
        client: HttpClient,
        tokens: Asking<TokenVerdict>,
        rights: Asking<Permitted>,
    ) -> Self {
        Self { settings: Arc::new(settings), client: Arc::new(client), tokens, rights }
    }

    /// Whether it judges tokens.
    #[must_use]
    pub fn judges_tokens(&self) -> bool {
        self.settings.authn.is_some()
    }

    /// Questions answered, and not answered.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let (tokens, rights) = (self.tokens.counts(), self.rights.counts());
        (tokens.0 + rights.0, tokens.1 + rights.1)
    }

    /// What the webhook says about a token, now or before.
    ///
    /// # Errors
    /// It has not said anything in time.
    pub async fn verify(&self, token: &str, until: Instant) -> Result<TokenVerdict, Unanswered> {
        let Some(endpoint) = self.settings.authn.clone() else { return Err(Unanswered::Down) };
        let (settings, client) = (Arc::clone(&self.settings), Arc::clone(&self.client));
        let asked = Zeroizing::new(token.to_owned());
        let call = move || async move {
            let question = json!({ "token": asked.as_str() });
            settings.token_verdict(&post(&client, &endpoint, &question).await?, unix_now())
        };
        self.tokens.ask(key_of(token.as_bytes()), until, call).await
    }

    /// Whether a peer may come in, and with which roles besides those of the bindings. Everybody may where no
    /// `authz_endpoint` is configured.
    ///
    /// # Errors
    /// The webhook has not said anything in time.
    pub async fn authorize(&self, facts: &VerifiedFacts, until: Instant) -> Result<Permitted, Unanswered> {
        let Some(endpoint) = self.settings.authz.clone() else { return Ok(Ok(Vec::new())) };
        let question = self.settings.rights_question(facts);
        let (holds, client) = (self.settings.holds, Arc::clone(&self.client));
        let key = key_of(question.to_string().as_bytes());
        let call = move || async move {
            let answer = post(&client, &endpoint, &question).await?;
            let answer: RightsAnswer =
                serde_json::from_slice(&answer).map_err(|_| RemoteError::Form("is not about rights"))?;
            let refusal =
                Refusal { reason: "not_authorized", detail: "the webhook does not let the peer in" };
            Ok(match answer.allowed {
                true => (Ok(answer.roles.into_iter().map(Arc::from).collect()), holds.0),
                false => (Err(refusal), holds.1),
            })
        };
        self.rights.ask(key, until, call).await
    }
}

impl WebhookSettings {
    fn token_verdict(&self, answer: &[u8], now: u64) -> Result<(TokenVerdict, Duration), RemoteError> {
        let answer: TokenAnswer =
            serde_json::from_slice(answer).map_err(|_| RemoteError::Form("is not about a token"))?;
        let refused = |reason, detail| Ok((Err(Refusal { reason, detail }), self.holds.1));
        if !answer.active {
            return refused("inactive", "the webhook says the token is not good");
        }
        if answer.expires_at.is_some_and(|end| end <= now) {
            return refused("expired", "the token has expired");
        }
        if answer.subject.is_empty() {
            return Err(RemoteError::Form("names no `subject`"));
        }
        let mut claims = answer.claims;
        claims.remove("exp");
        if let Some(end) = answer.expires_at {
            claims.insert("exp".to_owned(), end.into());
        }
        let issuer = answer.issuer.unwrap_or_else(|| WEBHOOK_ISSUER.to_owned());
        let own = [("iss", json!(issuer)), ("sub", json!(answer.subject))];
        let claims = ending(&Claims::from_map(claims), now.saturating_add(self.lifetime.as_secs()), own);
        let left = answer.expires_at.map_or(self.holds.0, |end| Duration::from_secs(end.saturating_sub(now)));
        let roles = answer.roles.into_iter().map(Arc::from).collect();
        Ok((Ok(Vouched { claims, roles }), left.min(self.holds.0)))
    }

    fn rights_question(&self, facts: &VerifiedFacts) -> Value {
        let claims = facts.claims.as_ref();
        let certificate = facts.certificate.as_deref();
        let subject = claims.and_then(Claims::sub).or(certificate.map(|names| names.identity.as_str()));
        let issuer = claims.and_then(Claims::iss).or(certificate.map(|names| names.issuer.as_str()));
        json!({
            "subject": subject,
            "issuer": issuer,
            "claims": claims.map(Claims::as_map),
            "certificate": certificate.map(|names| json!({
                "identity": names.identity, "uri": names.uris, "dns": names.dns, "email": names.emails,
                "cn": names.cn, "issuer": names.issuer, "serial": names.serial,
            })),
            "action": self.action,
            "resource": self.resource,
        })
    }
}

async fn post(client: &HttpClient, at: &Endpoint, question: &Value) -> Result<Vec<u8>, RemoteError> {
    let answer = client.call(at, &Call::post("application/json", question.to_string())).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(RemoteError::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn settings() -> WebhookSettings {
        WebhookSettings {
            authn: None,
            authz: None,
            action: "ingest:unifiedEvents:create".into(),
            resource: "ingest:unifiedEvents".into(),
            holds: (Duration::from_secs(60), Duration::from_secs(5)),
            lifetime: Duration::from_secs(3600),
        }
    }

    fn verdict(answer: &Value) -> Result<(TokenVerdict, Duration), RemoteError> {
        settings().token_verdict(answer.to_string().as_bytes(), NOW)
    }

    #[test]
    fn answers_about_tokens() {
        let (good, holds) = verdict(&json!({
            "active": true, "subject": "alice", "claims": {"tenant": "acme", "sub": "x", "exp": 1}, "roles": ["r"],
        }))
        .unwrap();
        let good = good.unwrap();
        assert_eq!((good.claims.sub(), good.claims.iss()), (Some("alice"), Some(WEBHOOK_ISSUER)));
        assert_eq!((good.claims.exp(), holds.as_secs()), (Some(NOW + 3600), 60));
        assert_eq!((good.claims.get("tenant").unwrap(), &*good.roles), (&json!("acme"), &["r".into()][..]));
        let (bad, holds) = verdict(&json!({"active": false})).unwrap();
        assert_eq!((bad.unwrap_err().reason, holds.as_secs()), ("inactive", 5));
        let (late, _) = verdict(&json!({"active": true, "subject": "a", "expires_at": NOW})).unwrap();
        assert_eq!(late.unwrap_err().reason, "expired");
        for odd in [json!({}), json!({"active": true}), json!({"active": "yes", "subject": "a"}), json!([])] {
            assert!(verdict(&odd).is_err(), "{odd}");
        }
    }
}
