//! `event-gateway token mint`: a JWT for development, signed by an issuer whose private key is here.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use daemon::config::Period;
use identity::token::DevIssuer;
use identity::token::mint::{MintError, MintKey, mint};
use serde_json::{Map, Value, json};

use crate::config::{Config, Depth, Issuer, load};
use crate::output::{note, say};
use crate::up::DEFAULT_DIR;

use super::TokenCommandError;

/// Arguments of `token mint`.
#[derive(Debug, Clone, Args)]
pub struct Mint {
    /// Who the token is about: its claim `sub`.
    #[arg(long = "sub", alias = "subject", value_name = "NAME")]
    pub sub: String,
    /// A gateway's configuration: the token is for its first issuer whose private key lies next to its `jwks_file`;
    /// where that file (jwks.json) is missing, a development issuer is made.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "key"])]
    pub config: Option<PathBuf>,
    /// A directory made by `event-gateway up`, or one for a new development issuer.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// A private key to sign with (PKCS #8, PEM), instead of a development issuer's.
    #[arg(long, value_name = "FILE", requires = "issuer", requires = "audience", conflicts_with = "dir")]
    pub key: Option<PathBuf>,
    /// The claim `iss`; as configured unless given.
    #[arg(long, alias = "iss", value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// The claim `aud`. Repeatable; as configured unless given.
    #[arg(long = "aud", alias = "audience", value_name = "AUDIENCE")]
    pub audience: Vec<String>,
    /// Another claim, as NAME=VALUE; a value that is JSON (true, 7, ["a"]) counts as such. Repeatable.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = super::claim)]
    pub claims: Vec<(String, Value)>,
    /// How long the token is valid.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub expires: Period,
    /// The header `kid`; the key's own unless given.
    #[arg(long, value_name = "KID")]
    pub kid: Option<String>,
}

/// Issuer name of the development issuer in a directory without a configuration.
pub const DEV_ISSUER: &str = "https://issuer.gatehouse.dev";

/// Audience of its tokens.
pub const DEV_AUDIENCE: &str = "events";

/// Name of the configuration in a directory made by `up`.
pub const CONFIG_FILE: &str = "gateway.toml";

/// Name of the key set a development issuer writes.
const JWKS_FILE: &str = "jwks.json";

/// Folder of the development issuer in a directory made by `up`.
pub const ISSUER_FOLDER: &str = "issuer";

/// A key, and what its tokens say by default.
struct Source {
    key: MintKey,
    issuer: String,
    audience: Vec<String>,
}

/// Prints a token, and nothing else.
///
/// # Errors
/// [`TokenCommandError`].
pub(super) fn run(args: &Mint) -> Result<(), TokenCommandError> {
    say(&make(args)?)?;
    Ok(())
}

/// Makes the token the arguments describe.
///
/// # Errors
/// [`TokenCommandError`].
fn make(args: &Mint) -> Result<String, TokenCommandError> {
    let mut source = source(args)?;
    if let Some(kid) = &args.kid {
        source.key = source.key.with_kid(kid);
    }
    let issuer = args.issuer.clone().unwrap_or(source.issuer);
    let audience = if args.audience.is_empty() { source.audience } else { args.audience.clone() };
    let claims = claims(&args.sub, &issuer, &audience, args.expires, &args.claims);
    Ok(mint(&source.key, &claims)?)
}

/// The registered claims with `more` on top.
pub(crate) fn claims(
    sub: &str,
    issuer: &str,
    audience: &[String],
    expires: Period,
    more: &[(String, Value)],
) -> Map<String, Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let audience = match audience {
        [only] => json!(only),
        several => json!(several),
    };
    let mut claims = Map::new();
    let registered = [
        ("iss", json!(issuer)),
        ("aud", audience),
        ("sub", json!(sub)),
        ("iat", json!(now)),
        ("exp", json!(now.saturating_add(expires.duration().as_secs()))),
    ];
    claims.extend(registered.map(|(name, value)| (name.to_owned(), value)));
    claims.extend(more.iter().cloned());
    claims
}

fn source(args: &Mint) -> Result<Source, TokenCommandError> {
    if let Some(path) = &args.key {
        let key = MintKey::from_pem_file(path)?;
        return Ok(Source { key, issuer: String::new(), audience: Vec::new() });
    }
    if let Some(path) = &args.config {
        return of_config(path);
    }
    let config = args.dir.join(CONFIG_FILE);
    if config.exists() {
        return of_config(&config);
    }
    let issuer = DevIssuer::load_or_create(&args.dir.join(ISSUER_FOLDER))?;
    Ok(Source {
        key: key_of(&issuer)?,
        issuer: DEV_ISSUER.to_owned(),
        audience: vec![DEV_AUDIENCE.to_owned()],
    })
}

/// The first configured issuer whose JWK set was made by a development issuer; if there is none, one is made where
/// the configuration already looks for its keys.
fn of_config(path: &Path) -> Result<Source, TokenCommandError> {
    let config: Config = load(path, Depth::Text)?.config;
    let source = |issuer: &Issuer, found: &DevIssuer| {
        Ok(Source { key: key_of(found)?, issuer: issuer.issuer.clone(), audience: issuer.audience.clone() })
    };
    for issuer in &config.issuers {
        let Some(folder) = issuer.jwks_file.as_deref().and_then(Path::parent) else { continue };
        if let Ok(found) = DevIssuer::load(folder) {
            return source(issuer, &found);
        }
    }
    let absent = |issuer: &&Issuer| {
        issuer.jwks_file.as_deref().is_some_and(|file| file.ends_with(JWKS_FILE) && !file.exists())
    };
    let Some(issuer) = config.issuers.iter().find(absent) else {
        return Err(TokenCommandError::NoIssuer(path.to_owned()));
    };
    let folder = issuer.jwks_file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let made = DevIssuer::create(folder)?;
    note(&format!("development issuer made in {}", folder.display()))?;
    source(issuer, &made)
}

/// The issuer's key as one of our own.
fn key_of(issuer: &DevIssuer) -> Result<MintKey, MintError> {
    let key = MintKey::from_pem_file(&issuer.key_path())?;
    Ok(match issuer.key().kid() {
        Some(kid) => key.with_kid(kid),
        None => key,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn args(line: &[&str]) -> Mint {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            mint: Mint,
        }
        <Line as clap::Parser>::try_parse_from([&["token"], line].concat()).unwrap().mint
    }

    /// What the token says, unverified.
    fn said(token: &str) -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_for_a_configuration_whose_issuer_is_still_to_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, crate::up::gateway_toml()).unwrap();
        let config = path.display().to_string();
        let line =
            ["--config", &config, "--sub", "alice", "--claim", "tenant=acme", "--aud", "a", "--aud", "b"];
        let first = said(&make(&args(&line)).unwrap());
        assert_eq!(
            (&first["sub"], &first["tenant"], &first["aud"]),
            (&json!("alice"), &json!("acme"), &json!(["a", "b"]))
        );
        assert_eq!(first["iss"], DEV_ISSUER);
        assert_eq!(first["exp"].as_u64().unwrap() - first["iat"].as_u64().unwrap(), 3600);
        let key = folder.path().join(ISSUER_FOLDER).join("issuer-key.pem");
        let made = std::fs::read(&key).unwrap();
        make(&args(&line)).unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), made);
    }

    #[test]
    fn a_key_needs_an_issuer_and_an_audience() {
        let folder = tempfile::tempdir().unwrap();
        let issuer = DevIssuer::create(folder.path()).unwrap();
        let key = issuer.key_path().display().to_string();
        let line = ["--key", &key, "--issuer", "i", "--audience", "a", "--subject", "s"];
        assert_eq!(said(&make(&args(&line)).unwrap())["iss"], "i");
    }
}
