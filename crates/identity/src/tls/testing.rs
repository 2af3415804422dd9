//! For tests: a directory of minted certificates, and handshakes in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs_dev::{Authority, LeafRequest};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::tls::{CertifiedFile, ClientAuth, ClientTls, ServerTls};

/// A CA in a directory, with a server `bus` and a client `billing`.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) ca: Authority,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap(), ca: Authority::new("CA").unwrap() };
        site.ca.write(site.dir.path(), "ca").unwrap();
        site.issue("bus", &LeafRequest::server("bus"));
        site.issue("billing", &LeafRequest::client("billing"));
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn issue(&self, name: &str, request: &LeafRequest) -> CertifiedFile {
        issue_from(&self.ca, self.dir.path(), name, request)
    }

    pub(crate) fn pair(&self, name: &str) -> CertifiedFile {
        CertifiedFile::new(self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")))
    }

    /// A server that demands a certificate from the CA.
    pub(crate) fn server(&self) -> ServerTls {
        ServerTls {
            certificates: vec![self.pair("bus")],
            client_auth: ClientAuth::Required { roots: self.path("ca.crt") },
            ..ServerTls::default()
        }
    }

    pub(crate) fn client(&self, certificate: Option<CertifiedFile>) -> ClientTls {
        ClientTls { root_ca_path: self.path("ca.crt"), certificate, ..ClientTls::default() }
    }
}

pub(crate) fn issue_from(ca: &Authority, dir: &Path, name: &str, request: &LeafRequest) -> CertifiedFile {
    ca.issue(request).unwrap().write(dir, name).unwrap();
    CertifiedFile::new(dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")))
}

pub(crate) type Accepted = server::TlsStream<DuplexStream>;
pub(crate) type Connected = client::TlsStream<DuplexStream>;

/// Shakes hands; what each side says. With TLS 1.3 a client is content before the server has judged its
/// certificate: the server's word counts.
pub(crate) async fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> (io::Result<Accepted>, io::Result<Connected>) {
    let (near, far) = duplex(64 << 10);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio::join!(TlsAcceptor::from(server).accept(near), TlsConnector::from(client).connect(name, far))
}

/// Sends a few bytes both ways.
pub(crate) async fn talk(accepted: &mut Accepted, connected: &mut Connected) -> io::Result<()> {
    let mut buffer = [0; 4];
    connected.write_all(b"ping").await?;
    connected.flush().await?;
    accepted.read_exact(&mut buffer).await?;
    accepted.write_all(&buffer).await?;
    accepted.flush().await?;
    connected.read_exact(&mut buffer).await?;
    assert_eq!(&buffer, b"ping");
    Ok(())
}
