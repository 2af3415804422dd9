//! `event-gateway token create | list | revoke`: the file of opaque tokens. A running gateway follows the file.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use daemon::config::Period;
use identity::opaque::{NewToken, TokenRecord, edit, read};
use serde_json::{Value, json};

use super::TokenCommandError;
use crate::config::{Depth, load};
use crate::output::{note, say};

/// Which file.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// A gateway's configuration: the file is that of its [opaque_tokens].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The file of opaque tokens.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `token create`.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// Which file.
    #[command(flatten)]
    pub which: Which,
    /// Who the token stands for: the identity of its connections.
    #[arg(long, value_name = "NAME")]
    pub owner: String,
    /// A role it gives. Repeatable.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// A claim for templates and bindings, as NAME=VALUE; a value that is JSON counts as such. Repeatable.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = super::claim)]
    pub claims: Vec<(String, Value)>,
    /// How long the token is valid.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub expires: Period,
}

/// Arguments of `token list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which file.
    #[command(flatten)]
    pub which: Which,
    /// Print JSON, one token a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `token revoke`.
#[derive(Debug, Clone, Args)]
pub struct Revoke {
    /// Which file.
    #[command(flatten)]
    pub which: Which,
    /// The token's id, as `list` shows it.
    pub id: String,
}

impl Which {
    fn path(&self) -> Result<PathBuf, TokenCommandError> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let path = self.config.clone().unwrap_or_default();
        let config = load(&path, Depth::Text)?.config;
        config.opaque_tokens.map(|section| section.file).ok_or(TokenCommandError::NoFile(path))
    }
}

pub(super) fn create(args: &Create) -> Result<(), TokenCommandError> {
    let path = args.which.path()?;
    let now = unix_now();
    let new = NewToken {
        owner: args.owner.clone(),
        expires: now.saturating_add(args.expires.duration().as_secs()),
        roles: args.roles.clone(),
        claims: args.claims.iter().cloned().collect(),
    };
    let (token, record) = new.make(now)?;
    let id = record.id.clone();
    edit(&path, |tokens| tokens.push(record))?;
    note(&format!("token {id}: shown this once, only its hash is kept in {}", path.display()))?;
    say(&token)?;
    Ok(())
}

pub(super) fn list(args: &List) -> Result<(), TokenCommandError> {
    let tokens = read(&args.which.path()?)?.unwrap_or_default();
    let now = unix_now();
    if args.json {
        return tokens.iter().try_for_each(|token| Ok(say(&described(token, now).to_string())?));
    }
    let widest = tokens.iter().map(|token| token.owner.chars().count()).max().unwrap_or(0).max(5);
    say(&format!("{:<12}  {:<widest$}  {:<9}  {:<14}  ROLES", "ID", "OWNER", "STATE", "ENDS IN"))?;
    for token in &tokens {
        let left = match state(token, now) {
            "active" => Period::secs(token.expires - now).to_string(),
            _ => "-".to_owned(),
        };
        let roles = token.roles.join(",");
        let (id, owner, state) = (&token.id, &token.owner, state(token, now));
        say(format!("{id:<12}  {owner:<widest$}  {state:<9}  {left:<14}  {roles}").trim_end())?;
    }
    Ok(())
}

pub(super) fn revoke(args: &Revoke) -> Result<(), TokenCommandError> {
    let path = args.which.path()?;
    let now = unix_now();
    let found = edit(&path, |tokens| revoke_in(tokens, &args.id, now))?;
    if !found {
        return Err(TokenCommandError::Unknown(args.id.clone()));
    }
    note(&format!("token {} is revoked; a running gateway notices within a second", args.id))?;
    Ok(())
}

/// Marks a token as revoked; `false` when there is none of the id. One that was revoked stays so since then.
pub(crate) fn revoke_in(tokens: &mut [TokenRecord], id: &str, now: u64) -> bool {
    let found = tokens.iter_mut().find(|token| token.id == id);
    found.map(|token| token.revoked.get_or_insert(now)).is_some()
}

/// What may be told of a token: everything but its hash.
pub(crate) fn described(token: &TokenRecord, now: u64) -> Value {
    json!({
        "id": token.id, "owner": token.owner, "state": state(token, now), "created": token.created,
        "expires": token.expires, "revoked": token.revoked, "roles": token.roles, "claims": token.claims,
    })
}

fn state(token: &TokenRecord, now: u64) -> &'static str {
    match token.revoked {
        Some(_) => "revoked",
        None if token.expires <= now => "expired",
        None => "active",
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoking_is_once_and_for_all() {
        let new = NewToken { owner: "a".into(), expires: 100, ..NewToken::default() };
        let (_, record) = new.make(1).unwrap();
        let mut tokens = [record];
        let id = tokens[0].id.clone();
        assert_eq!((state(&tokens[0], 99), state(&tokens[0], 100)), ("active", "expired"));
        assert!(revoke_in(&mut tokens, &id, 7) && revoke_in(&mut tokens, &id, 8));
        assert_eq!((tokens[0].revoked, state(&tokens[0], 9)), (Some(7), "revoked"));
        assert!(!revoke_in(&mut tokens, "other", 9));
        assert!(!described(&tokens[0], 9).to_string().contains("hash"));
    }
}
