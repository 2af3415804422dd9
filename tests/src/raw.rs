//! A client that speaks raw protocol: it sends any bytes, also wrong ones, and reads line by line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::wait::within;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub struct Raw {
    stream: BufReader<Box<dyn Stream>>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

/// A message as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// Subject.
    pub subject: String,
    /// Subscription id, as the subscriber chose it.
    pub sid: String,
    /// Reply subject.
    pub reply: Option<String>,
    /// The header block, `NATS/1.0` line included; empty without headers.
    pub headers: String,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Raw {
    /// Opens a plain connection and reads nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(tcp(address).await?))
    }

    /// The same from an address of this machine, such as 127.0.0.2.
    ///
    /// # Errors
    /// When nobody listens, or the address is not ours.
    pub async fn connect_from(local: IpAddr, address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(local, 0))?;
        Ok(Self::over(within("a connection", socket.connect(address)).await??))
    }

    /// Reads INFO in clear, then does the TLS handshake: what NATS clients do. Gives the INFO too.
    ///
    /// # Errors
    /// When there is no INFO, or the handshake fails.
    pub async fn tls(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Result<(Self, Value)> {
        let (stream, info) = info_then_tls(address, config, name).await?;
        Ok((Self::over(stream), info))
    }

    /// Does the TLS handshake before anything is read.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn tls_first(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Result<Self> {
        Ok(Self::over(tls_at_once(address, config, name).await?))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Connects in clear, reads INFO and logs in with the given CONNECT options.
    ///
    /// # Errors
    /// When the server does not answer the login's PING with PONG.
    pub async fn logged_in(address: SocketAddr, options: &str) -> Result<Self> {
        let mut raw = Self::connect(address).await?;
        raw.info().await?;
        raw.login(options).await?;
        Ok(raw)
    }

    /// Sends CONNECT and PING, and expects PONG.
    ///
    /// # Errors
    /// When anything else is answered.
    pub async fn login(&mut self, options: &str) -> Result<()> {
        self.send(format!("CONNECT {options}\r\n")).await?;
        self.fence().await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        within("space to send", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await??;
        Ok(())
    }

    /// Reads a line, without its end. A PING is passed over: a server may send one at any time.
    ///
    /// # Errors
    /// When the connection ends or the deadline passes.
    pub async fn line(&mut self) -> Result<String> {
        loop {
            let line = self.any_line().await?;
            if line != "PING" {
                return Ok(line);
            }
        }
    }

    async fn any_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        within("a line", self.stream.read_until(b'\n', &mut line)).await??;
        ensure!(line.ends_with(b"\r\n"), "the connection ended after {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        Ok(String::from_utf8(line)?)
    }

    /// Reads a line and expects exactly `wanted`.
    ///
    /// # Errors
    /// When another line comes.
    pub async fn expect(&mut self, wanted: &str) -> Result<()> {
        let line = if wanted == "PING" { self.any_line().await } else { self.line().await };
        let line = line.with_context(|| format!("waiting for {wanted:?}"))?;
        ensure!(line == wanted, "expected {wanted:?}, got {line:?}");
        Ok(())
    }

    /// Reads a line and expects `wanted`, ignoring case, at its start. Gives the line.
    ///
    /// # Errors
    /// When another line comes.
    pub async fn expect_start(&mut self, wanted: &str) -> Result<String> {
        let line = self.line().await.with_context(|| format!("waiting for {wanted:?}"))?;
        let start = line.get(..wanted.len()).unwrap_or(&line);
        ensure!(start.eq_ignore_ascii_case(wanted), "expected {wanted:?}…, got {line:?}");
        Ok(line)
    }

    /// Reads the INFO line.
    ///
    /// # Errors
    /// When another line comes.
    pub async fn info(&mut self) -> Result<Value> {
        let line = self.line().await.context("waiting for INFO")?;
        let json = line.strip_prefix("INFO ").with_context(|| format!("not INFO: {line:.200}"))?;
        Ok(serde_json::from_str(json)?)
    }

    /// Sends PING and expects PONG next: everything sent before has been worked on, and nothing else was answered
    /// but INFO, which a server may send at any time.
    ///
    /// # Errors
    /// When anything else comes first.
    pub async fn fence(&mut self) -> Result<()> {
        self.send("PING\r\n").await?;
        let mut line = self.line().await?;
        while line.starts_with("INFO ") {
            line = self.line().await?;
        }
        ensure!(line == "PONG", "expected PONG, got {line:?}");
        Ok(())
    }

    /// Reads a MSG or HMSG with its payload.
    ///
    /// # Errors
    /// When another line comes, or the frame is malformed.
    pub async fn message(&mut self) -> Result<RawMessage> {
        let line = self.line().await.context("waiting for a message")?;
        let words: Vec<&str> = line.split(' ').collect();
        let with_headers = match words.first() {
            Some(&"MSG") => false,
            Some(&"HMSG") => true,
            _ => bail!("not a message: {line:.200}"),
        };
        let sizes = if with_headers { 2 } else { 1 };
        ensure!((3 + sizes..=4 + sizes).contains(&words.len()), "wrong number of fields: {line}");
        let size = |from_end: usize| {
            Ok::<usize, anyhow::Error>(words.iter().rev().nth(from_end).context("")?.parse()?)
        };
        let total = size(0)?;
        let head = if with_headers { size(1)? } else { 0 };
        let mut bytes = vec![0; total + 2];
        within("a payload", self.stream.read_exact(&mut bytes)).await??;
        ensure!(bytes.ends_with(b"\r\n"), "no CRLF after the payload");
        bytes.truncate(total);
        let payload = bytes.split_off(head);
        let word = |at: usize| words.get(at).map(|word| (*word).to_owned()).unwrap_or_default();
        let reply = (words.len() == 4 + sizes).then(|| word(3));
        Ok(RawMessage { subject: word(1), sid: word(2), reply, headers: String::from_utf8(bytes)?, payload })
    }

    /// Reads until the server closes; gives what it said before that, PINGs left out.
    ///
    /// # Errors
    /// When it does not close before the deadline.
    pub async fn closed(&mut self) -> Result<String> {
        let mut rest = Vec::new();
        // A reset instead of an orderly end is a close too.
        drop(within("the close", self.stream.read_to_end(&mut rest)).await?);
        Ok(String::from_utf8_lossy(&rest).replace("PING\r\n", ""))
    }
}

async fn tcp(address: SocketAddr) -> Result<TcpStream> {
    let stream =
        within("a connection", TcpStream::connect(address)).await?.with_context(|| address.to_string())?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(stream: TcpStream, config: Arc<ClientConfig>, name: &str) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned())?;
    Ok(within("the TLS handshake", TlsConnector::from(config).connect(name, stream)).await??)
}

/// Does the TLS handshake before anything is read.
pub(crate) async fn tls_at_once(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<TlsStream<TcpStream>> {
    handshake(tcp(address).await?, config, name).await
}

/// Reads INFO in clear, then does the TLS handshake.
pub(crate) async fn info_then_tls(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<(TlsStream<TcpStream>, Value)> {
    let mut stream = tcp(address).await?;
    // Byte by byte, so that nothing beyond the line is read.
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(within("INFO", stream.read_u8()).await??);
    }
    let info = String::from_utf8(line)?;
    let info = serde_json::from_str(info.strip_prefix("INFO ").context("not an INFO line")?)?;
    Ok((handshake(stream, config, name).await?, info))
}
