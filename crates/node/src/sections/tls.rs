//! Files of TLS.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Certificate, key and trust of one end of a mutual TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
    /// Who may have signed the other end's certificate, PEM.
    pub root_ca_path: PathBuf,
    /// The name the other end's certificate must carry, when dialling; the URL's host otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Certificate revocation lists: files or folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_paths: Vec<PathBuf>,
    /// TLS begins before the server's INFO.
    #[serde(default)]
    pub handshake_first: bool,
}
