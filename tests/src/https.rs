//! An HTTPS server of a few lines, for whatever the gateway asks of others: what it answers is a test's to say, and to
//! change while it runs.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use certs_dev::LeafRequest;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::pki::Pki;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Method and path.
    pub line: String,
    /// Header lines, in lower case names as sent.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with JSON.
    Json(Value),
    /// Another status, with header lines (each ended by CRLF) and no body.
    Status(u16, String),
    /// The same as the other one, later.
    After(Duration, Box<Self>),
    /// 200 with so many bytes of JSON that never end well.
    Flood(usize),
}

type Answer = dyn Fn(&HttpRequest) -> Reply + Send + Sync;

struct Shared {
    answer: Mutex<Arc<Answer>>,
    down: AtomicBool,
    requests: AtomicUsize,
    /// Bytes of bodies written.
    written: AtomicUsize,
}

/// A running server.
pub struct HttpsServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl fmt::Debug for HttpsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HttpsServer {
    /// Starts a server with a certificate for `localhost` of the internal CA. With `mutual`, clients have to show one.
    ///
    /// # Errors
    /// When there is no port or no certificate.
    pub async fn start(
        pki: &Pki,
        mutual: bool,
        answer: impl Fn(&HttpRequest) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let acceptor = acceptor(pki, mutual)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer: Mutex::new(Arc::new(answer)),
            down: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(acceptor.clone(), stream, Arc::clone(&serving)));
            }
        });
        Ok(Self { address, shared, task })
    }

    /// `https://localhost:PORT` with a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: impl Fn(&HttpRequest) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    /// Whether connections are cut, open ones included.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies were written.
    pub fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }
}

fn acceptor(pki: &Pki, mutual: bool) -> Result<TlsAcceptor> {
    pki.issue("https", &LeafRequest::server("localhost"))?;
    let chain = CertificateDer::pem_file_iter(pki.path("https.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(pki.path("https.key"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.path("internal-ca.crt"))?)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    Ok(TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key)?)))
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) {
    if shared.down.load(Ordering::SeqCst) {
        return;
    }
    // A client that does not like our certificate, or goes away: no matter here.
    if let Ok(stream) = acceptor.accept(stream).await {
        drop(serve(stream, &shared).await);
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream).await?;
        if shared.down.load(Ordering::SeqCst) {
            return Ok(());
        }
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let answer = Arc::clone(&shared.answer.lock().unwrap_or_else(PoisonError::into_inner));
        write(&mut stream, answer(&request), shared).await?;
    }
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Result<HttpRequest> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).await?;
        anyhow::ensure!(read > 0, "closed");
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let (line, head) = head.split_once("\r\n").context("no request line")?;
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    Ok(HttpRequest { line, head: head.to_owned(), body: String::from_utf8(body)? })
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), reply: Reply, shared: &Shared) -> Result<()> {
    let reply = match reply {
        Reply::After(delay, reply) => {
            tokio::time::sleep(delay).await;
            *reply
        }
        reply => reply,
    };
    match reply {
        Reply::Json(value) => {
            let body = value.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await?;
            shared.written.fetch_add(body.len(), Ordering::SeqCst);
        }
        Reply::Status(status, head) => {
            let text = format!("HTTP/1.1 {status} Status\r\n{head}content-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
        }
        Reply::Flood(bytes) => {
            // Without a length, so that only counting what comes can stop it.
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("4000\r\n{}\r\n", "[".repeat(0x4000));
            for _ in 0..bytes / 0x4000 {
                stream.write_all(chunk.as_bytes()).await?;
                shared.written.fetch_add(0x4000, Ordering::SeqCst);
            }
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Reply::After(..) => {}
    }
    stream.flush().await?;
    Ok(())
}
