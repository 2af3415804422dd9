//! The responder behind nats-server's auth callout: verifies the bearer token of each login and signs a user for it.
//!
//! Written for the comparison, as lean as such a service can be: no network, no database, the issuer's public key in
//! memory, every request in a task of its own. It runs as a process of its own (`bench callout-responder`), so that its
//! CPU time counts with the server's, as it would on a user's machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Where the server puts its questions.
const SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// Account of the users that are let in.
pub(crate) const ACCOUNT: &str = "APP";

/// The responder's own user.
pub(crate) const USER: &str = "auth";

/// Its password. It guards nothing but a loopback port for some seconds.
pub(crate) const PASSWORD: &str = "bench-auth-5d1e";

/// What the responder needs to know.
#[derive(Debug, clap::Args)]
pub(crate) struct ResponderOptions {
    /// The server's client URL
    #[arg(long)]
    url: String,
    /// The CA of the server's certificate
    #[arg(long)]
    ca: PathBuf,
    /// File with the account's seed
    #[arg(long)]
    seed: PathBuf,
    /// The issuer's public key, PEM
    #[arg(long)]
    key: PathBuf,
    /// Whether it is an RSA key (RS256); else ES256
    #[arg(long)]
    rsa: bool,
    /// Issuer of the tokens
    #[arg(long)]
    issuer: String,
    /// Their audience
    #[arg(long)]
    audience: String,
    /// Written once questions are answered
    #[arg(long)]
    ready: PathBuf,
}

struct Responder {
    account: KeyPair,
    key: DecodingKey,
    validation: Validation,
}

/// Answers until the process is ended.
///
/// # Errors
/// When a file is unreadable, or the server can't be reached.
pub(crate) fn run(options: &ResponderOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(answer(options))
}

async fn answer(options: &ResponderOptions) -> Result<()> {
    let responder = Arc::new(Responder::new(options)?);
    let client = async_nats::ConnectOptions::with_user_and_password(USER.to_owned(), PASSWORD.to_owned())
        .require_tls(true)
        .add_root_certificates(options.ca.clone())
        .connect(&options.url)
        .await?;
    let mut questions = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    std::fs::write(&options.ready, "ready\n")?;
    while let Some(question) = questions.next().await {
        let (responder, client) = (Arc::clone(&responder), client.clone());
        tokio::spawn(async move {
            let Some(reply) = question.reply else { return };
            // An error is the server's timeout to deal with, as it would be in the field.
            if let Ok(answer) = responder.decide(&question.payload) {
                drop(client.publish(reply, answer.into()).await);
            }
        });
    }
    bail!("the connection to the server has ended")
}

impl Responder {
    fn new(options: &ResponderOptions) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        let seed = String::from_utf8(read(&options.seed)?)?;
        let pem = read(&options.key)?;
        let (algorithm, key) = match options.rsa {
            true => (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)?),
            false => (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)?),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&options.issuer]);
        validation.set_audience(&[&options.audience]);
        let account = KeyPair::from_seed(seed.trim()).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { account, key, validation })
    }

    /// The answer to one question.
    fn decide(&self, question: &[u8]) -> Result<String> {
        let question = claims(question)?;
        let text = |pointer: &str| {
            question.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer}"))
        };
        let (user, server) = (text("/nats/user_nkey")?, text("/nats/server_id/id")?);
        let verdict = match jsonwebtoken::decode::<Value>(
            text("/nats/connect_opts/auth_token")?,
            &self.key,
            &self.validation,
        ) {
            Ok(token) => json!({ "jwt": self.user(user, &token.claims["sub"])? }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let mut nats = json!({"type": "authorization_response", "version": 2});
        for (name, value) in verdict.as_object().into_iter().flatten() {
            nats[name] = value.clone();
        }
        self.sign(&json!({
            "iss": self.account.public_key(), "sub": user, "aud": server, "iat": now(), "jti": user, "nats": nats,
        }))
    }

    /// A user who may publish and subscribe what the gateway's role allows.
    fn user(&self, key: &str, name: &Value) -> Result<String> {
        self.sign(&json!({
            "iss": self.account.public_key(), "sub": key, "aud": ACCOUNT, "name": name, "iat": now(), "jti": key,
            "nats": {
                "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
                "pub": {"allow": ["bench.>"]}, "sub": {"allow": ["bench.>", "_INBOX.>"]},
            },
        }))
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
        let message = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = self.account.sign(message.as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(format!("{message}.{}", encode(signature)))
    }
}

/// The claims of the server's question. Its signature is not checked: the connection is the server's own.
fn claims(jwt: &[u8]) -> Result<Value> {
    let body = std::str::from_utf8(jwt)?.split('.').nth(1).context("not a JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body)?)?)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
