//! `event-gateway pub|sub|request`: small clients, so that nobody needs another tool to try it.

mod connection;
mod publish;
mod request;
mod subscribe;

use std::io;
use std::path::PathBuf;

pub use connection::Connection;
pub use publish::{Publish, run as publish};
pub use request::{Request, run as request};
pub use subscribe::{Subscribe, run as subscribe};

/// Why a client command ended without doing what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// The server as given, without credentials.
        server: String,
        /// What the client library said.
        reason: String,
    },
    /// The server refused something.
    #[error("{0}")]
    Refused(String),
    /// A request was not answered.
    #[error("{subject}: {reason}")]
    Unanswered {
        /// What was asked.
        subject: String,
        /// What the client library said.
        reason: String,
    },
    /// The connection was lost.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}
