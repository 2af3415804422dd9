//! `event-gateway token`: JWTs for development, and opaque tokens for those who have no issuer.

mod mint;
mod opaque;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use daemon::config::ConfigErrors;
use identity::opaque::{FileError, RecordError};
use identity::token::mint::MintError;
use serde_json::Value;

pub(crate) use self::mint::claims;
pub use self::mint::{CONFIG_FILE, DEV_AUDIENCE, DEV_ISSUER, ISSUER_FOLDER, Mint};
pub use self::opaque::{Create, List, Revoke};
pub(crate) use self::opaque::{described, revoke_in};

/// Arguments of `token`. Without a command: `mint`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Token {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
    /// As for `mint`.
    #[command(flatten)]
    pub mint: Option<Mint>,
}

/// What can be done about tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Sign a JWT for development.
    Mint(Mint),
    /// Make an opaque token and print it: it is shown this once, and only its hash is kept.
    Create(Create),
    /// Show the opaque tokens there are.
    List(List),
    /// Revoke an opaque token.
    Revoke(Revoke),
}

/// Why nothing was done about tokens. Never holds key material or a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Neither a command nor what `mint` needs.
    #[error("expected `mint`, `create`, `list` or `revoke`; see event-gateway token --help")]
    Nothing,
    /// The key can't be used.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The configuration knows no issuer of ours.
    #[error(
        "{}: no issuer whose private key is here; expected one with a `jwks_file` of the name jwks.json",
        .0.display()
    )]
    NoIssuer(PathBuf),
    /// The configuration names no file of opaque tokens.
    #[error("{}: has no [opaque_tokens] with a `file`", .0.display())]
    NoFile(PathBuf),
    /// The file of opaque tokens can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The token can't be made as asked for.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No opaque token has the id.
    #[error("no token has the id {0}")]
    Unknown(String),
    /// Standard output failed.
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// Does what the arguments say.
///
/// # Errors
/// [`TokenCommandError`].
pub fn run(args: &Token) -> Result<(), TokenCommandError> {
    match (&args.command, &args.mint) {
        (Some(TokenCommand::Mint(args)), _) | (None, Some(args)) => mint::run(args),
        (Some(TokenCommand::Create(args)), _) => opaque::create(args),
        (Some(TokenCommand::List(args)), _) => opaque::list(args),
        (Some(TokenCommand::Revoke(args)), _) => opaque::revoke(args),
        (None, None) => Err(TokenCommandError::Nothing),
    }
}

/// `NAME=VALUE` of the command line.
fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected a name before the `=`".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        token: Token,
    }

    fn parse(line: &[&str]) -> Result<Token, clap::Error> {
        Line::try_parse_from([&["token"], line].concat()).map(|line| line.token)
    }

    #[test]
    fn values_of_claims() {
        assert_eq!(claim("tenant=acme").unwrap(), ("tenant".into(), json!("acme")));
        assert_eq!(claim("groups=[\"a\",\"b\"]").unwrap(), ("groups".into(), json!(["a", "b"])));
        assert_eq!(claim("admin=true").unwrap(), ("admin".into(), json!(true)));
        assert_eq!(claim("a=b=c").unwrap(), ("a".into(), json!("b=c")));
        assert!(claim("tenant").is_err() && claim("=x").is_err());
    }

    #[test]
    fn minting_needs_no_command_and_commands_need_nothing_of_it() {
        assert_eq!(parse(&["--sub", "alice"]).unwrap().mint.unwrap().sub, "alice");
        let named = parse(&["mint", "--sub", "alice"]).unwrap();
        assert!(matches!(named.command, Some(TokenCommand::Mint(mint)) if mint.sub == "alice"));
        let create =
            parse(&["create", "--file", "tokens.json", "--owner", "sensor-7", "--role", "r"]).unwrap();
        assert!(matches!(create.command, Some(TokenCommand::Create(_))) && create.mint.is_none());
        assert!(parse(&["create", "--owner", "sensor-7"]).is_err(), "where to");
        assert!(parse(&["mint"]).is_err());
        assert!(parse(&["--sub", "alice", "list", "--file", "x"]).is_err());
    }
}
