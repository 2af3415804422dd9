//! nats-server's configuration files: the language, and what the settings mean for this server.
//!
//! [`parse_file`] reads a file with everything it includes and answers with a [`NatsConf`]. A setting that this
//! server does not have is an error that names its place, or a notice when such settings are to be ignored.
//! Nothing is opened but the configuration itself: certificates, logs and stores are read by whoever uses them.
//!
//! How it is divided: `cursor`, `scalar`, `source` and `parser` turn text into the tree in `value`; `reader` asks
//! the tree for typed values and collects complaints; `top`, `auth`, `users`, `share`, `tls`, `leaf`, `websocket`,
//! `jetstream` and `mappings` know the settings; `check` judges what takes the whole.

mod auth;
mod check;
mod cursor;
mod gateway;
mod jetstream;
mod leaf;
pub mod limits;
mod mappings;
mod operator;
mod parser;
mod reader;
mod report;
mod scalar;
mod secret;
mod share;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod top;
mod units;
mod users;
mod value;
mod websocket;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use auth::{Account, AccountJetStream, Authorization};
pub use gateway::Gateway;
pub use jetstream::{Cipher, JetStream, JetStreamLimits, SyncPolicy};
pub use leaf::{LeafAuthorization, LeafRemote, LeafUser, Leafnodes};
pub use mappings::{Destination, SubjectMap};
pub use operator::OperatorMode;
pub use report::{ConfError, Notice, NoticeKind, Position};
pub use secret::Secret;
pub(crate) use share::export_of;
pub use share::{Export, Import, Shared};
pub use tls::{CertificatePair, HandshakeFirst, Tls, TlsVersion};
pub use units::{DEFAULT_LEAF_PORT, Port, RemoteUrl};
pub use users::{AllowResponses, ConnectionType, Login, Permissions, SubjectRules, User};
pub use websocket::Websocket;

/// A nats-server configuration. `None` everywhere means "not set": the server's default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsConf {
    /// Address for clients; default all.
    pub host: Option<String>,
    /// Port for clients; default 4222.
    pub port: Option<Port>,
    /// `host:port` told to clients in place of the listener's own.
    pub client_advertise: Option<String>,
    /// The server's name, without spaces.
    pub server_name: Option<String>,
    /// Tags shown by monitoring.
    pub server_tags: Vec<String>,
    /// Metadata shown by monitoring.
    pub server_metadata: BTreeMap<String, String>,
    /// Address for monitoring; default the clients' one.
    pub http_host: Option<String>,
    /// Port for monitoring; `None` means no monitoring.
    pub http_port: Option<Port>,
    /// Path in front of the monitoring pages.
    pub http_base_path: Option<String>,
    /// Greatest payload, headers included, in bytes. Default 1 MiB.
    pub max_payload: Option<u32>,
    /// Bytes that may wait for one connection before it is cut. Default 64 MiB.
    pub max_pending: Option<u64>,
    /// `max_closed_clients`
    pub max_closed_clients: Option<u64>,
    /// Connections at once. Default 65,536.
    pub max_connections: Option<Limit>,
    /// Subscriptions of one connection. Default unlimited.
    pub max_subscriptions: Option<Limit>,
    /// Tokens in a subject subscribed to. Default unlimited.
    pub max_subscription_tokens: Option<u8>,
    /// Longest protocol line, in bytes. Default 4096.
    pub max_control_line: Option<u32>,
    /// Time between two PINGs. Default 2 minutes.
    pub ping_interval: Option<Duration>,
    /// PINGs that may stay unanswered. Default 2.
    pub ping_max: Option<u32>,
    /// Time for one write to a client. Default 10 s.
    pub write_deadline: Option<Duration>,
    /// Time over which connections are closed in lame duck mode; at least 30 s. Default 2 minutes.
    pub lame_duck_duration: Option<Duration>,
    /// Time before the first of them is closed; shorter than the duration. Default 10 s.
    pub lame_duck_grace_period: Option<Duration>,
    /// Log at level debug.
    pub debug: Option<bool>,
    /// Log the protocol.
    pub trace: Option<bool>,
    /// Log the system account's protocol as well.
    pub trace_verbose: Option<bool>,
    /// Log only the headers of messages.
    pub trace_headers: Option<bool>,
    /// Log lines start with the time. Default true.
    pub logtime: Option<bool>,
    /// That time is UTC. Default false.
    pub logtime_utc: Option<bool>,
    /// File to log to; default standard error.
    pub log_file: Option<PathBuf>,
    /// Bytes after which a new log file is begun; `None` means never.
    pub log_size_limit: Option<u64>,
    /// Log files to keep; `None` means all.
    pub log_max_num: Option<u64>,
    /// Bytes of a message that are logged; `None` means all.
    pub max_traced_msg_len: Option<u32>,
    /// File to write the process id to.
    pub pid_file: Option<PathBuf>,
    /// Folder for the file that lists the listeners' URLs.
    pub ports_file_dir: Option<PathBuf>,
    /// How clients log in; `None` means without.
    pub authorization: Option<Authorization>,
    /// Accounts besides the global one.
    pub accounts: Vec<Account>,
    /// What messages of the global account's subjects become.
    pub mappings: Vec<SubjectMap>,
    /// Operators trusted, and the accounts they have signed; `None` means users are listed here.
    pub operator: Option<OperatorMode>,
    /// Name of the system account; default `$SYS`.
    pub system_account: Option<String>,
    /// There is no system account.
    pub no_system_account: Option<bool>,
    /// Who a client without credentials is: the name or nkey of a configured user.
    pub no_auth_user: Option<String>,
    /// TLS for clients; `None` means in clear.
    pub tls: Option<Tls>,
    /// Clients may connect in clear although there is TLS. Default false.
    pub allow_non_tls: Option<bool>,
    /// A port for WebSocket.
    pub websocket: Option<Websocket>,
    /// Part in a super-cluster.
    pub gateway: Option<Gateway>,
    /// Links.
    pub leafnodes: Option<Leafnodes>,
    /// Streams.
    pub jetstream: Option<JetStream>,
    /// Message headers are switched off. Default false.
    pub no_header_support: Option<bool>,
}

/// How many of something there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Any number.
    Unlimited,
    /// At most this many.
    AtMost(u64),
}

/// What reading a configuration comes to.
pub type Outcome = Result<(NatsConf, Vec<Notice>), Vec<ConfError>>;

/// Reads a configuration file with everything it includes. Variables that the file does not define come from the
/// environment.
///
/// With `ignore_unsupported`, settings that are unknown or not supported become notices.
///
/// # Errors
/// Everything that is wrong, in the order it was found; if the language itself is violated, only the first place.
pub fn parse_file(path: &Path, ignore_unsupported: bool) -> Outcome {
    let tree = parser::read_file(path, &|name| std::env::var(name).ok());
    let name = path.display().to_string();
    interpret(&name, tree, ignore_unsupported)
}

/// Reads a configuration from a text, as if it stood in the file `name`, with `environment` as the environment.
///
/// # Errors
/// As [`parse_file`].
pub fn parse_text(
    name: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    ignore_unsupported: bool,
) -> Outcome {
    interpret(name, parser::read_text(name, text, environment), ignore_unsupported)
}

fn interpret(name: &str, tree: Result<value::Map, ConfError>, ignore_unsupported: bool) -> Outcome {
    let root = tree.map_err(|error| vec![error])?;
    let mut reader = reader::Reader::new(ignore_unsupported);
    let conf = top::read(&mut reader, &root);
    if root.is_empty() {
        reader.advise(&Position::whole(&name.into()), "the configuration is empty: only defaults hold");
    }
    if reader.errors.is_empty() { Ok((conf, reader.notices)) } else { Err(reader.errors) }
}
