//! `[admin]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[admin]`: the HTTP port for probes, metrics and monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address to listen on; loopback unless configured.
    pub host: IpAddr,
    /// Port; 0 takes a free one. Absent: the process's own default.
    pub port: Option<u16>,
    /// No admin port at all.
    pub disabled: bool,
    /// File of tokens that open `/api/`, one a line.
    pub token_file: Option<PathBuf>,
    /// HTTPS instead of HTTP.
    pub tls: Option<AdminTlsFiles>,
    /// Names of which a client certificate must bear one to open `/api/`.
    pub peers: Vec<String>,
}

/// `tls` of `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsFiles {
    /// Certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
    /// CAs of client certificates, PEM.
    #[serde(default)]
    pub root_ca_path: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: None,
            disabled: false,
            token_file: None,
            tls: None,
            peers: Vec::new(),
        }
    }
}

impl Admin {
    /// Where to listen.
    #[must_use]
    pub fn address(&self, default_port: u16) -> SocketAddr {
        SocketAddr::new(self.host, self.port.unwrap_or(default_port))
    }

    /// Its paths, to be made relative to the configuration's folder.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self.tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert_path), Some(&mut tls.key_path), tls.root_ca_path.as_mut()]
                .into_iter()
                .flatten()
        });
        self.token_file.iter_mut().chain(tls)
    }
}
