//! `event-gateway explain`: who somebody is to this gateway, what it may do, and why; the same over the admin API.

mod present;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use daemon::admin::{ApiError, ApiRequest};
use daemon::exit::Failure;
use identity::opaque::is_opaque;
use identity::peer::PeerCertificate;
use identity::policy::{CertificateNames, Policy, PolicyConfig, VerifiedFacts};
use identity::rotate::Material;
use identity::token::{Claims, TokenVerifier};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_rustls::rustls::pki_types::UnixTime;

use crate::config::{Config, Depth, Issuer, TokenDemand, load};
use crate::output::say;

pub(crate) use self::present::granted;
pub use self::present::{Answer, Can};

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// The gateway's configuration.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// A token, as a client would present it.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["token_file", "claims"])]
    pub token: Option<String>,
    /// A file that holds a token.
    #[arg(long, value_name = "FILE", conflicts_with = "claims")]
    pub token_file: Option<PathBuf>,
    /// Claims as JSON, as if a token of theirs had been verified.
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    /// A client certificate, PEM, with its intermediates.
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// A question, such as `--can publish orders.created`; its answer is the exit code (0 yes, 1 no).
    #[arg(long, num_args = 2, value_names = ["publish|subscribe", "SUBJECT"])]
    pub can: Vec<String>,
    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Prints the explanation.
///
/// # Errors
/// The configuration, the token or the certificate can't be read (2); the answer to `--can` is no (1).
pub fn run(args: &Explain) -> Result<(), Failure> {
    let config = load(&args.config, Depth::Text)?.config;
    identity::install_crypto();
    let can = Can::parse(&args.can).map_err(Failure::usage)?;
    let now = unix_now();
    let mut notes = Vec::new();
    let facts = facts(args, &config, now, &mut notes)?;
    let policy = Policy::compile(&config.policy()).map_err(|errors| {
        Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let answer = Answer::of(&policy, &facts, notes, can, now);
    if args.json {
        say(&format!("{:#}", answer.json()))?;
    } else {
        answer.text().iter().try_for_each(|line| say(line))?;
    }
    match answer.granted() {
        Some(false) => Err(Failure::runtime("no")),
        _ => Ok(()),
    }
}

fn facts(
    args: &Explain,
    config: &Config,
    now: u64,
    notes: &mut Vec<String>,
) -> Result<VerifiedFacts, Failure> {
    let mut facts = VerifiedFacts::default();
    if let Some(path) = &args.cert {
        facts.certificate = Some(Arc::new(certificate(path, config, now, notes)?));
    }
    let file = args.token_file.as_ref().map(std::fs::read_to_string).transpose()?;
    if let Some(token) = args.token.as_deref().or(file.as_deref()).map(str::trim) {
        take_token(token, config, now, &mut facts, notes)?;
    }
    if let Some(text) = &args.claims {
        facts.claims = Some(claims(text).map_err(Failure::usage)?);
    }
    if facts.is_empty() {
        return Err(Failure::usage("expected at least one of --token, --token-file, --claims and --cert"));
    }
    if facts.claims.is_none() && config.client_certificates.token == TokenDemand::Required {
        notes.push(
            "refused at login: a certificate alone is not enough (client_certificates.token)".to_owned(),
        );
    }
    Ok(facts)
}

fn claims(text: &str) -> Result<Claims, String> {
    let map: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("claims: expected a JSON object: {error}"))?;
    Ok(Claims::from_map(map))
}

fn take_token(
    token: &str,
    config: &Config,
    now: u64,
    facts: &mut VerifiedFacts,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    if let Some(section) = config.opaque_tokens.as_ref().filter(|_| is_opaque(token)) {
        let tokens = identity::opaque::OpaqueFile(section.file.clone());
        let now_signed = i64::try_from(now).unwrap_or(i64::MAX);
        let tokens = tokens.load(now_signed).map_err(|error| Failure::usage(error.to_string()))?;
        let record = tokens.verify(token, now).map_err(|error| Failure::usage(format!("token: {error}")))?;
        facts.claims = Some(record.claims());
        facts.roles = record.roles.iter().map(|role| Arc::from(role.as_str())).collect();
        return Ok(());
    }
    let issuers = config.issuers.iter().filter_map(Issuer::to_verifier).collect();
    let verified = match TokenVerifier::new(issuers) {
        Ok(verifier) => verifier.verify(token, now).map_err(|error| error.to_string()),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    };
    facts.claims = Some(match verified {
        Ok(claims) => claims,
        Err(problem) => {
            // What an unverified token says still explains what it would be worth.
            notes.push(format!("the token is NOT verified: {problem}"));
            unverified(token).ok_or_else(|| Failure::usage(format!("token: {problem}")))?
        }
    });
    Ok(())
}

/// The claims of a token nobody vouches for.
fn unverified(token: &str) -> Option<Claims> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    Some(Claims::from_map(serde_json::from_slice(&bytes).ok()?))
}

fn certificate(
    path: &std::path::Path,
    config: &Config,
    now: u64,
    notes: &mut Vec<String>,
) -> Result<CertificateNames, Failure> {
    let usage = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let chain = identity::pem::certificates(path).map_err(|error| Failure::usage(error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| usage("holds no certificate".to_owned()))?;
    let certificate = PeerCertificate::from_der(leaf).map_err(|error| usage(error.to_string()))?;
    let identity = certificate.identity(&config.client_certificates.identity);
    let identity = identity.map_err(|error| usage(error.to_string()))?;
    let mut names = CertificateNames::of(&certificate, &identity);
    names.not_after = u64::try_from(certificate.not_after).ok();
    if let Err(error) = config.client_certificates.pins.check(&names) {
        notes.push(format!("refused at login: {error} (client_certificates.pins)"));
    }
    match config.server_tls().map(|tls| tls.load(i64::try_from(now).unwrap_or(i64::MAX))) {
        Some(Ok(loaded)) => {
            let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
            if let Err(error) = loaded.clients.verify_client_cert(leaf, &chain[1..], time) {
                notes.push(format!("refused in the TLS handshake: {error}"));
            }
        }
        Some(Err(error)) => notes.push(format!("the certificate is NOT verified: {error}")),
        None => notes.push("the certificate is NOT verified: TLS is disabled here".to_owned()),
    }
    Ok(names)
}

/// A question put to a running gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    claims: Map<String, Value>,
    #[serde(default)]
    can: Vec<String>,
}

/// Answers with the policy in force. Claims only: tokens do not belong into a request's log.
pub(crate) fn over_api(policy: &PolicyConfig, request: &ApiRequest) -> Result<Value, ApiError> {
    let asked: Asked = request.read()?;
    let can = Can::parse(&asked.can).map_err(ApiError::bad)?;
    let policy = Policy::compile(policy).map_err(|_| ApiError::new(500, "the policy can't be compiled"))?;
    let facts = VerifiedFacts { claims: Some(Claims::from_map(asked.claims)), ..VerifiedFacts::default() };
    Ok(Answer::of(&policy, &facts, Vec::new(), can, unix_now()).json())
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
