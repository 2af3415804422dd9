//! A TCP proxy that can be cut, silenced, slowed down and restored: the network's bad days.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that a slow wire passes on at a time.
const SLOW_PIECE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Bytes pass.
    Open,
    /// Bytes are held back; connections stay.
    Silent,
    /// So many bytes pass in a second, each way of each connection.
    Slow(u32),
    /// Connections end at once.
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections of an older generation end.
    generation: u64,
    target: SocketAddr,
}

/// Passes connections on to a target. Ends with its value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watching) = watch::channel(State { mode: Mode::Open, generation: 0, target });
        let accepting = tokio::spawn(accept(listener, watching));
        Ok(Self { address, state, accepting })
    }

    /// Where to connect instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and every new one, until [`Proxy::restore`].
    pub fn cut(&self) {
        self.change(|state| {
            state.mode = Mode::Cut;
            state.generation += 1;
        });
    }

    /// Ends all connections; new ones pass.
    pub fn reset(&self) {
        self.change(|state| state.generation += 1);
    }

    /// Holds back every byte, both ways, until [`Proxy::restore`].
    pub fn silence(&self) {
        self.change(|state| state.mode = Mode::Silent);
    }

    /// Lets so many bytes pass in a second, each way of each connection, until [`Proxy::restore`].
    pub fn slow(&self, bytes_per_second: u32) {
        self.change(|state| state.mode = Mode::Slow(bytes_per_second.max(1)));
    }

    /// Lets bytes and new connections pass again.
    pub fn restore(&self) {
        self.change(|state| state.mode = Mode::Open);
    }

    /// Sends new connections elsewhere, for a target that came back on another port.
    pub fn retarget(&self, target: SocketAddr) {
        self.change(|state| state.target = target);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    while let Ok((incoming, _)) = listener.accept().await {
        let now = *state.borrow();
        if now.mode != Mode::Cut {
            tokio::spawn(pass(incoming, state.clone(), now));
        }
    }
}

async fn pass(incoming: TcpStream, state: watch::Receiver<State>, now: State) {
    let Ok(outgoing) = TcpStream::connect(now.target).await else { return };
    for stream in [&incoming, &outgoing] {
        drop(stream.set_nodelay(true));
    }
    let (in_read, in_write) = incoming.into_split();
    let (out_read, out_write) = outgoing.into_split();
    let mut watching = state.clone();
    tokio::select! {
        () = copy(in_read, out_write, state.clone()) => {}
        () = copy(out_read, in_write, state) => {}
        // Either the connection is cut, or the proxy is gone.
        _ = watching.wait_for(|state| state.generation != now.generation) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // A slow wire has a short queue, so that the sender feels it.
        let room = if matches!(state.borrow().mode, Mode::Slow(_)) { SLOW_PIECE } else { buffer.len() };
        let Some(piece) = buffer.get_mut(..room) else { return };
        let Ok(count @ 1..) = from.read(piece).await else { return };
        let Ok(mode) = state.wait_for(|state| state.mode != Mode::Silent).await.map(|state| state.mode)
        else {
            return;
        };
        if let Mode::Slow(rate) = mode {
            let bytes = u32::try_from(count).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs(1) * bytes / rate).await;
        }
        let Some(bytes) = buffer.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::within;

    #[tokio::test]
    async fn a_slow_proxy_passes_bytes_at_its_rate() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(echo.local_addr().unwrap()).await.unwrap();
        proxy.slow(10 * 1024);
        let mut outer = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut inner, _) = echo.accept().await.unwrap();
        let began = tokio::time::Instant::now();
        outer.write_all(&[7; 4096]).await.unwrap();
        let mut seen = [0; 4096];
        within("bytes", inner.read_exact(&mut seen)).await.unwrap().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(380), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_a_restored_proxy_passes_them() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(echo.local_addr().unwrap()).await.unwrap();
        let mut outer = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut inner, _) = echo.accept().await.unwrap();
        outer.write_all(b"hello").await.unwrap();
        let mut seen = [0; 5];
        inner.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"hello");

        proxy.cut();
        assert_eq!(within("the cut", inner.read(&mut seen)).await.unwrap().unwrap_or(0), 0);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(within("the refusal", refused.read(&mut seen)).await.unwrap().unwrap_or(0), 0);

        proxy.restore();
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        again.write_all(b"again").await.unwrap();
        let (mut inner, _) = within("a new connection", echo.accept()).await.unwrap().unwrap();
        within("bytes", inner.read_exact(&mut seen)).await.unwrap().unwrap();
        assert_eq!(&seen, b"again");
    }
}
