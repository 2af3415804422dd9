//! The command line of `internal-bus`: its own few options, and nats-server's, so that a script which starts
//! nats-server starts this.
//!
//! As in nats-server, one dash or two make no difference (`-js`, `--js`), a value follows after a space or `=`,
//! a switch takes a value only after `=`, and case matters (`-p` is the port, `-P` the pid file).

mod apply;
mod help;
mod signal;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::natsconf::{Port, Secret};

pub use help::help_text;
pub use signal::{ControlSignal, SignalRequest};
use table::{OPTIONS, Takes};

/// What the command line says. `None` means the option was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// What to do.
    pub action: Action,
    /// `--config`
    pub config: Option<ConfigFile>,
    /// Unknown and unsupported settings of a nats-server configuration are notices, not errors.
    pub ignore_unsupported: bool,
    /// Clients and links without TLS may come from other machines.
    pub allow_remote_plaintext: bool,
    /// `--addr`: address for clients.
    pub host: Option<String>,
    /// `--port`: port for clients.
    pub port: Option<Port>,
    /// `--client_advertise`: address told to clients.
    pub client_advertise: Option<String>,
    /// `--name`: the server's name.
    pub server_name: Option<String>,
    /// `--http_port`: port for monitoring.
    pub http_port: Option<Port>,
    /// `--debug`, `-DV`, `-DVV`
    pub debug: Option<bool>,
    /// `--trace`, `-DV`, `-VV`, `-DVV`
    pub trace: Option<bool>,
    /// `-VV`, `-DVV`
    pub trace_verbose: Option<bool>,
    /// `--logtime`
    pub logtime: Option<bool>,
    /// `--logtime_utc`
    pub logtime_utc: Option<bool>,
    /// `--log`: file to log to.
    pub log_file: Option<PathBuf>,
    /// `--log_size_limit`: bytes after which a new log file is begun.
    pub log_size_limit: Option<u64>,
    /// `--max_traced_msg_len`: bytes of a message that are logged.
    pub max_traced_msg_len: Option<u32>,
    /// `--pid`: file to write the process id to.
    pub pid_file: Option<PathBuf>,
    /// `--ports_file_dir`: folder for the file that lists the listeners' URLs.
    pub ports_file_dir: Option<PathBuf>,
    /// `--jetstream`
    pub jetstream: Option<bool>,
    /// `--store_dir`: folder of the store.
    pub store_dir: Option<PathBuf>,
    /// `--user`: one user name for everybody.
    pub user: Option<String>,
    /// `--pass`: its password.
    pub password: Option<Secret>,
    /// `--auth`: one token for everybody.
    pub token: Option<Secret>,
    /// `--tls…`
    pub tls: TlsFlags,
    /// Options that were understood and will not be done, one sentence each, for the log.
    pub notices: Vec<String>,
}

/// What the TLS options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFlags {
    /// `--tls`; `Some(false)` switches off what the configuration file says.
    pub enabled: Option<bool>,
    /// `--tlscert`
    pub cert_file: Option<PathBuf>,
    /// `--tlskey`
    pub key_file: Option<PathBuf>,
    /// `--tlscacert`
    pub ca_file: Option<PathBuf>,
    /// `--tlsverify`
    pub verify: Option<bool>,
}

impl TlsFlags {
    /// TLS is asked for, by whichever option.
    pub fn wanted(&self) -> bool {
        let implied = self.cert_file.is_some() || self.key_file.is_some() || self.ca_file.is_some();
        self.enabled != Some(false) && (self.enabled.is_some() || self.verify.is_some() || implied)
    }
}

/// What the process is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    #[default]
    Run,
    /// Print [`help_text`] and exit.
    Help,
    /// Print name and version and exit.
    Version,
    /// Read the configuration, say whether it is valid, and exit.
    TestConfig,
    /// Send a signal to a running server and exit.
    Signal(SignalRequest),
}

/// A configuration file, and the language it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// This server's own configuration: the name ends in `.toml`.
    Toml(PathBuf),
    /// A nats-server configuration: any other name.
    Nats(PathBuf),
}

impl ConfigFile {
    fn new(path: PathBuf) -> Self {
        let toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if toml { Self::Toml(path) } else { Self::Nats(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Toml(path) | Self::Nats(path) => path,
        }
    }
}

/// Why a command line was refused: one line for the user. Values are repeated only where they can't be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// An argument that no system in use here produces.
    #[error("argument {0} is not valid UTF-8")]
    NotText(usize),
    /// No such option.
    #[error("unknown option `{0}`; see --help")]
    Unknown(String),
    /// Something that is neither an option nor the value of one.
    #[error("unexpected argument `{0}`; options start with a dash, see --help")]
    Unexpected(String),
    /// The value is missing.
    #[error("option `{flag}` needs a value: {expected}")]
    MissingValue {
        /// The option as written.
        flag: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The value is not what the option takes.
    #[error("option `{flag}`: {problem}")]
    BadValue {
        /// The option as written.
        flag: String,
        /// What is wrong.
        problem: String,
    },
    /// Options that need each other.
    #[error("{0}")]
    Combination(&'static str),
}

/// Reads a command line, without the program's name.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Flags, FlagError> {
    let mut texts = Vec::new();
    for (at, argument) in arguments.into_iter().enumerate() {
        texts.push(argument.into_string().map_err(|_| FlagError::NotText(at + 1))?);
    }
    let mut flags = Flags::default();
    let mut rest = texts.into_iter();
    while let Some(argument) = rest.next() {
        if !is_option(&argument) {
            positional(&mut flags, argument, rest)?;
            break;
        }
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        one(&mut flags, flag, value, &mut rest)?;
    }
    check(&flags)?;
    Ok(flags)
}

/// `-` alone is none; `--` ends the options.
fn is_option(argument: &str) -> bool {
    argument.starts_with('-') && !matches!(argument, "-" | "--")
}

/// The words `help` and `version` are understood where options end.
fn positional(
    flags: &mut Flags,
    first: String,
    mut rest: impl Iterator<Item = String>,
) -> Result<(), FlagError> {
    let word = if first == "--" { rest.next() } else { Some(first) };
    match word.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => return Ok(()),
        Some("help") => flags.action = Action::Help,
        Some("version") => flags.action = Action::Version,
        Some(_) => return Err(FlagError::Unexpected(word.unwrap_or_default())),
    }
    match rest.next() {
        Some(extra) => Err(FlagError::Unexpected(extra)),
        None => Ok(()),
    }
}

fn one(
    flags: &mut Flags,
    flag: String,
    value: Option<String>,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(), FlagError> {
    let name = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-')).unwrap_or(&flag);
    let Some(option) = OPTIONS.iter().find(|option| option.names.contains(&name)) else {
        return Err(FlagError::Unknown(flag));
    };
    let value = match option.takes {
        Takes::Switch => value.unwrap_or_else(|| "true".to_owned()),
        Takes::Value(expected) => match value.or_else(|| rest.next()) {
            Some(value) => value,
            None => return Err(FlagError::MissingValue { flag, expected }),
        },
    };
    (option.set)(flags, &value).map_err(|problem| FlagError::BadValue { flag, problem })
}

fn check(flags: &Flags) -> Result<(), FlagError> {
    if flags.action == Action::TestConfig && flags.config.is_none() {
        return Err(FlagError::Combination(
            "option `-t` tests a configuration file: name it with `--config`",
        ));
    }
    if flags.tls.wanted() && (flags.tls.cert_file.is_none() || flags.tls.key_file.is_none()) {
        return Err(FlagError::Combination("TLS needs both `--tlscert` and `--tlskey`"));
    }
    if flags.token.is_some() && (flags.user.is_some() || flags.password.is_some()) {
        return Err(FlagError::Combination("use either `--auth` or `--user` and `--pass`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
