//! A wire between two servers that can be reset.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Result;

/// Passes connections on to a server. Ends with its value.
pub(crate) struct Wire {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    target: SocketAddr,
    ending: AtomicBool,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    sockets: Vec<TcpStream>,
    /// When the first connection since the last reset came in.
    dialled: Option<Instant>,
}

impl Wire {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { target, ending: AtomicBool::new(false), live: Mutex::default() });
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || shared.accept(&listener));
        Ok(Self { address, state, accepting: Some(accepting) })
    }

    /// Where to connect in place of the target.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections; new ones pass.
    pub(crate) fn reset(&self) {
        self.state.reset();
    }

    /// When somebody connected first after the last reset.
    pub(crate) fn dialled(&self) -> Option<Instant> {
        self.state.live().dialled
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.ending.store(true, Ordering::SeqCst);
        // The thread looks up from its listener when somebody comes; where nobody can, it has ended.
        drop(TcpStream::connect(self.address));
        self.state.reset();
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
    }
}

impl State {
    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reset(&self) {
        let live = std::mem::take(&mut *self.live());
        for socket in live.sockets {
            // One that its peer has closed already needs no shutdown.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    fn accept(&self, listener: &TcpListener) {
        while let Ok((incoming, _)) = listener.accept() {
            if self.ending.load(Ordering::SeqCst) {
                return;
            }
            let now = Instant::now();
            // Whoever can't be passed on sees its connection end, and comes again.
            drop(self.pass(&incoming, now));
        }
    }

    fn pass(&self, incoming: &TcpStream, now: Instant) -> io::Result<()> {
        let outgoing = TcpStream::connect(self.target)?;
        let mut live = self.live();
        live.dialled.get_or_insert(now);
        for (from, to) in [(incoming, &outgoing), (&outgoing, incoming)] {
            from.set_nodelay(true)?;
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            live.sockets.push(from.try_clone()?);
            thread::spawn(move || {
                // How it ends does not matter: the other side is told that it has.
                drop(io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Both));
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_reset_ends_connections_and_new_ones_pass() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire::to(echo.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            let mut outer = TcpStream::connect(wire.address()).unwrap();
            let (mut inner, _) = echo.accept().unwrap();
            outer.write_all(b"hello").unwrap();
            let mut seen = [0; 5];
            inner.read_exact(&mut seen).unwrap();
            assert_eq!(&seen, b"hello");
            assert!(wire.dialled().is_some());
            wire.reset();
            assert!(wire.dialled().is_none());
            assert_eq!(outer.read(&mut seen).unwrap_or(0), 0);
        }
    }
}
