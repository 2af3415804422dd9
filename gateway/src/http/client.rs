//! One call after the other: connect or take an idle connection, ask, read no more than is allowed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::endpoint::Endpoint;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 32 << 10;

/// Idle connections kept, and for how long.
const MAX_IDLE: usize = 16;
const IDLE: Duration = Duration::from_secs(20);

/// Redirects followed where any are.
const MAX_REDIRECTS: u32 = 3;

/// Bounds of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// For the whole of a call, connecting included.
    pub timeout: Duration,
    /// Largest body of an answer, in bytes.
    pub max_body: usize,
    /// Follow redirects to the same scheme, host and port.
    pub follow_redirects: bool,
    /// Whether plain `http` to this machine is called.
    pub loopback: bool,
}

/// Why there is no answer. Holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody can be reached there.
    #[error("can't connect: {0}")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed: most often a certificate of another CA.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// The host's name is no server name, or TLS is not configured.
    #[error("no TLS to this host")]
    NoTls,
    /// No complete answer within the time.
    #[error("no complete answer within {0:?}")]
    Slow(Duration),
    /// The answer is larger than allowed; the rest of it was not read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer sends us elsewhere.
    #[error("redirected, which is not followed")]
    Redirected,
    /// No HTTP.
    #[error("protocol: {0}")]
    Protocol(#[from] hyper::Error),
    /// A header or path that can't be sent.
    #[error("the request can't be written: {0}")]
    Request(#[from] hyper::http::Error),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A GET that expects JSON.
    #[must_use]
    pub fn get() -> Self {
        let accept = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        Self { method: Method::GET, headers: accept, body: Bytes::new() }
    }

    /// A POST of `body`, which is of the type `content_type`.
    #[must_use]
    pub fn post(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut call = Self { method: Method::POST, body: body.into(), ..Self::get() };
        call.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        call
    }

    /// Adds `Authorization`. A value that can't be one is left out, and the service will say so.
    #[must_use]
    pub fn authorized(self, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.with(header::AUTHORIZATION, value)
            }
            Err(_) => self,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// An open connection, ended with this value.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    origin: Endpoint,
    used: Instant,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A client with one set of bounds and one TLS configuration, which may be replaced while it runs.
pub struct HttpClient {
    limits: HttpLimits,
    tls: Option<watch::Receiver<Arc<ClientConfig>>>,
    idle: Mutex<Vec<Connection>>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client. Without `tls` it calls nothing but plain `http` to this machine.
    #[must_use]
    pub fn new(limits: HttpLimits, tls: Option<watch::Receiver<Arc<ClientConfig>>>) -> Self {
        Self { limits, tls, idle: Mutex::new(Vec::new()) }
    }

    /// Its bounds.
    #[must_use]
    pub fn limits(&self) -> HttpLimits {
        self.limits
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// [`HttpError`]; an answer with a status of an error is an answer.
    pub async fn call(&self, at: &Endpoint, call: &Call) -> Result<Answer, HttpError> {
        let answer = tokio::time::timeout(self.limits.timeout, self.follow(at, call)).await;
        answer.unwrap_or(Err(HttpError::Slow(self.limits.timeout)))
    }

    async fn follow(&self, at: &Endpoint, call: &Call) -> Result<Answer, HttpError> {
        let mut at = at.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(&at, call).await?;
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| at.join(location, self.limits.loopback).ok());
            let next = next.filter(|next| self.limits.follow_redirects && next.same_origin(&at));
            at = next.filter(|_| call.method == Method::GET).ok_or(HttpError::Redirected)?;
        }
        Err(HttpError::Redirected)
    }

    async fn once(&self, at: &Endpoint, call: &Call) -> Result<Answer, HttpError> {
        if let Some(mut connection) = self.take_idle(at) {
            // It may have been closed by the other end meanwhile; then nothing was done yet, and a new one is made.
            if let Ok(response) = connection.sender.send_request(request(at, call)?).await {
                return self.read(connection, response).await;
            }
        }
        let mut connection = self.connect(at).await?;
        let response = connection.sender.send_request(request(at, call)?).await?;
        self.read(connection, response).await
    }

    async fn connect(&self, at: &Endpoint) -> Result<Connection, HttpError> {
        let stream = TcpStream::connect((at.host(), at.port())).await.map_err(HttpError::Connect)?;
        stream.set_nodelay(true).map_err(HttpError::Connect)?;
        let (sender, driver) = if at.is_https() {
            let config = self.tls.as_ref().ok_or(HttpError::NoTls)?.borrow().clone();
            let name = ServerName::try_from(at.host().to_owned()).map_err(|_| HttpError::NoTls)?;
            let stream = TlsConnector::from(config).connect(name, stream).await.map_err(HttpError::Tls)?;
            handshake(stream).await?
        } else {
            handshake(stream).await?
        };
        Ok(Connection { sender, origin: at.clone(), used: Instant::now(), driver })
    }

    /// Reads the body, up to what is allowed; a connection that has been read to its end may serve again.
    async fn read(
        &self,
        mut connection: Connection,
        response: Response<Incoming>,
    ) -> Result<Answer, HttpError> {
        let (head, mut incoming) = response.into_parts();
        let announced = head.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.limits.max_body as u64) {
            return Err(HttpError::TooLarge(self.limits.max_body));
        }
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if body.len() + data.len() > self.limits.max_body {
                return Err(HttpError::TooLarge(self.limits.max_body));
            }
            body.extend_from_slice(&data);
        }
        connection.used = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        drop(idle);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn take_idle(&self, at: &Endpoint) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.used.elapsed() < IDLE && !connection.sender.is_closed());
        let ready =
            |connection: &Connection| connection.origin.same_origin(at) && connection.sender.is_ready();
        let found = idle.iter().position(ready)?;
        Some(idle.swap_remove(found))
    }
}

async fn handshake<S>(stream: S) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<()>), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "http connection ended");
        }
    });
    Ok((sender, driver))
}

fn request(at: &Endpoint, call: &Call) -> Result<Request<Full<Bytes>>, HttpError> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(at.target())
        .header(header::HOST, at.authority())
        .header(header::USER_AGENT, concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(call.body.clone()))?;
    request.headers_mut().extend(call.headers.clone());
    Ok(request)
}
