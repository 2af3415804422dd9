//! Connecting: the options all small clients share, and what the server says while they are connected.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::{Client, ConnectOptions, Event};
use clap::Args;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::ClientError;
use crate::output::note;

/// Bounds of the time in which a refusal is waited for.
const PATIENCE_MIN: Duration = Duration::from_millis(50);
const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// How long a gateway may hold a message back (its link may be down) before this counts as a failure.
const FENCE_PATIENCE: Duration = Duration::from_secs(30);

/// Options of every small client.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The server: tls://HOST:PORT, or nats://HOST:PORT without TLS.
    #[arg(short, long, value_name = "URL", default_value = "tls://localhost:4222")]
    pub server: String,
    /// Bearer token to show.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// File with the bearer token; other users of this machine can't see it there.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// CA the server's certificate comes from, PEM; those of the system otherwise.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Begin with TLS before the server says anything (handshake_first).
    #[arg(long)]
    pub tls_first: bool,
}

/// A connection, and the errors the server sends on it.
pub(super) struct Connected {
    pub(super) client: Client,
    errors: mpsc::UnboundedReceiver<String>,
    /// A word for each time the connection was lost.
    losses: mpsc::UnboundedReceiver<()>,
    /// How long connecting took: several round trips and the server's decision.
    took: Duration,
}

impl Connection {
    /// Connects, once.
    pub(super) async fn open(&self) -> Result<Connected, ClientError> {
        identity::tls::install_default_provider();
        let (told, errors) = mpsc::unbounded_channel();
        let (lost, losses) = mpsc::unbounded_channel();
        let mut options = ConnectOptions::new().name("event-gateway").event_callback(move |event| {
            let (told, lost) = (told.clone(), lost.clone());
            async move {
                match event {
                    // Nobody listens any more when the command is about to end.
                    Event::ServerError(error) => drop(told.send(error.to_string())),
                    // Without standard error there is nobody to tell.
                    Event::Disconnected => {
                        if lost.send(()).is_err() {
                            return;
                        }
                        drop(note("connection lost, trying again"));
                    }
                    _ => {}
                }
            }
        });
        if let Some(token) = self.read_token()? {
            options = options.token(token);
        }
        for file in [&self.tls_ca, &self.tls_cert, &self.tls_key].into_iter().flatten() {
            // The client library would not say which file it is about.
            std::fs::File::open(file).map_err(|source| ClientError::File { path: file.clone(), source })?;
        }
        if let Some(ca) = &self.tls_ca {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        if self.tls_first {
            options = options.tls_first();
        }
        let began = Instant::now();
        let client = options.connect(&self.server).await.map_err(|error| ClientError::Connect {
            server: without_credentials(&self.server),
            reason: explain(&error),
        })?;
        Ok(Connected { client, errors, losses, took: began.elapsed() })
    }

    fn read_token(&self) -> Result<Option<String>, ClientError> {
        let Some(path) = &self.token_file else { return Ok(self.token.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClientError::File { path: path.clone(), source })?;
        Ok(Some(text.trim().to_owned()))
    }
}

impl Connected {
    /// Waits until the server has gone through everything sent, and then as long as its refusals may need to get here:
    /// the protocol has no answer for what was taken, and connecting took longer than a refusal does.
    pub(super) async fn settled(&mut self) -> Result<(), ClientError> {
        match tokio::time::timeout(FENCE_PATIENCE, self.fence()).await {
            Ok(passed) => passed?,
            Err(_) => return Err(ClientError::Lost("the server does not go on".to_owned())),
        }
        let patience = self.took.clamp(PATIENCE_MIN, PATIENCE_MAX);
        match tokio::time::timeout(patience, self.refused()).await {
            Ok(error) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Sends itself a message and waits for it, or for its refusal: the server takes one after another. Bytes on
    /// their way say nothing, a gateway whose link is down reads no further and closes the connection in the end.
    async fn fence(&mut self) -> Result<(), ClientError> {
        let lost = |error: &dyn std::fmt::Display| ClientError::Lost(error.to_string());
        let fence = self.client.new_inbox();
        let mut back = self.client.subscribe(fence.clone()).await.map_err(|error| lost(&error))?;
        self.client.publish(fence.clone(), "".into()).await.map_err(|error| lost(&error))?;
        self.client.flush().await.map_err(|error| lost(&error))?;
        tokio::select! {
            biased;
            Some(()) = self.losses.recv() => Err(lost(&"the server closed the connection")),
            Some(error) = self.errors.recv() => {
                if error.contains(&fence) { Ok(()) } else { Err(ClientError::Refused(error)) }
            }
            _ = back.next() => Ok(()),
        }
    }

    /// The next error from the server; never ends without one.
    pub(super) async fn refused(&mut self) -> ClientError {
        match self.errors.recv().await {
            Some(error) => ClientError::Refused(error),
            None => std::future::pending().await,
        }
    }
}

/// `NAME: VALUE` of a header, as the command line has it.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME:VALUE")?;
    if name.trim().is_empty() {
        return Err("expected a name before the colon".to_owned());
    }
    let name = name.trim().parse::<HeaderName>().map_err(|error| error.to_string())?;
    let value = value.trim().parse::<HeaderValue>().map_err(|error| error.to_string())?;
    Ok((name, value))
}

pub(super) fn headers(list: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// The payload given, or standard input when it is `-` or absent.
pub(super) fn payload(given: Option<&str>) -> Result<Vec<u8>, ClientError> {
    match given {
        Some(text) if text != "-" => Ok(text.as_bytes().to_vec()),
        _ => {
            // Nothing else goes on yet that would have to wait.
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// An error with its cause, which the client library leaves out.
fn explain(error: &async_nats::ConnectError) -> String {
    let Some(cause) = std::error::Error::source(error) else { return error.to_string() };
    let cause = cause.to_string();
    let bare = cause.strip_prefix("nats: ").unwrap_or(&cause);
    let kind = error.kind().to_string();
    if kind == bare { kind } else { format!("{kind}: {bare}") }
}

fn without_credentials(server: &str) -> String {
    match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => server.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_repeated() {
        for (server, shown) in [
            ("tls://secret@host:1", "tls://host:1"),
            ("nats://u:p@host", "nats://host"),
            ("secret@host", "host"),
            ("tls://host:1", "tls://host:1"),
        ] {
            assert_eq!(without_credentials(server), shown);
        }
    }

    #[test]
    fn headers_of_the_command_line() {
        let (name, value) = header("Trace-Id: a:b ").unwrap();
        assert_eq!((name.to_string(), value.to_string()), ("Trace-Id".into(), "a:b".into()));
        assert!(header("no colon").is_err() && header(": x").is_err());
    }
}
