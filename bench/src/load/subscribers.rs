//! Threads that receive and count.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::raw::c_int;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, bail};
use socket2::SockRef;

use super::counter::FrameCounter;
use super::progress::Progress;
use crate::client::{Client, Stream};

/// Bytes read and looked at before the rest of the socket's queue is thrown away unread.
const HEAD: usize = 16 * 1024;
/// Most bytes thrown away at once.
const DISCARD: usize = 4 * 1024 * 1024;
/// Up to so many subscribers have a thread each; more are visited in turn by one thread.
const THREADS: usize = 4;
/// Pause of that thread when no subscriber had anything.
const SWEEP_PAUSE: Duration = Duration::from_micros(100);
const PONG: &[u8] = b"PONG\r\n";

/// Subscribed connections whose messages are counted in the background.
pub(crate) struct Subscribers {
    progress: Arc<Progress>,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

struct Subscriber {
    number: usize,
    stream: Stream,
    counter: FrameCounter,
}

impl Subscribers {
    /// Starts counting on `clients`, which have subscribed already; every message arrives there as a
    /// frame of `frame` bytes.
    ///
    /// # Errors
    /// When a client has received something already.
    pub(crate) fn start(clients: Vec<Client>, frame: u64) -> Result<Self> {
        Self::count_with(clients, || FrameCounter::new(frame))
    }

    /// The same for messages that arrive with headers.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_headed(clients: Vec<Client>, frame: u64) -> Result<Self> {
        Self::count_with(clients, || FrameCounter::new(frame).headed())
    }

    fn count_with(clients: Vec<Client>, counter: impl Fn() -> FrameCounter) -> Result<Self> {
        let progress = Arc::new(Progress::new(clients.len()));
        let mut sockets = Vec::new();
        let mut subscribers = Vec::new();
        for (number, client) in clients.into_iter().enumerate() {
            let stream = client.into_stream()?;
            stream.socket().set_read_timeout(None)?;
            sockets.push(stream.socket().try_clone()?);
            subscribers.push(Subscriber { number, stream, counter: counter() });
        }
        let threads = if subscribers.len() <= THREADS {
            subscribers.into_iter().map(|one| spawn(&progress, move |progress| one.run(progress))).collect()
        } else {
            for subscriber in &subscribers {
                subscriber.stream.socket().set_nonblocking(true)?;
            }
            vec![spawn(&progress, move |progress| sweep(subscribers, progress))]
        };
        Ok(Self { progress, sockets, threads })
    }

    /// What has arrived so far.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Number of subscribers.
    pub(crate) fn count(&self) -> u64 {
        self.sockets.len() as u64
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.progress.end();
        for socket in &self.sockets {
            // A socket that is closed already needs no shutdown.
            drop(socket.shutdown(Shutdown::Both));
        }
        for thread in self.threads.drain(..) {
            // A panic was printed when it happened, and no message of that thread was counted since.
            drop(thread.join());
        }
    }
}

fn spawn(progress: &Arc<Progress>, body: impl FnOnce(&Progress) + Send + 'static) -> JoinHandle<()> {
    let progress = Arc::clone(progress);
    thread::spawn(move || body(&progress))
}

/// One thread for many subscribers. Polling keeps the cost of waking readers out of the server's account
/// (a wake-up is charged to the sender).
fn sweep(mut subscribers: Vec<Subscriber>, progress: &Progress) {
    let mut buffers = Buffers::new();
    while !progress.is_ending() {
        let mut idle = true;
        for subscriber in &mut subscribers {
            match subscriber.receive(&mut buffers, progress) {
                Ok(received) => idle &= !received,
                Err(cause) => return progress.fail(subscriber.number, &cause),
            }
        }
        if idle {
            thread::sleep(SWEEP_PAUSE);
        }
    }
}

impl Subscriber {
    fn run(mut self, progress: &Progress) {
        let mut buffers = Buffers::new();
        loop {
            if let Err(cause) = self.receive(&mut buffers, progress) {
                return progress.fail(self.number, &cause);
            }
        }
    }

    /// Receives once; false where a non-blocking socket had nothing.
    fn receive(&mut self, buffers: &mut Buffers, progress: &Progress) -> Result<bool> {
        let count = match self.stream.read(&mut buffers.head) {
            Ok(0) => bail!("closed by the server"),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.counter.inspect(&buffers.head[..count])?;
        if let (HEAD, Stream::Plain(socket)) = (count, &self.stream) {
            self.counter.skip(buffers.discard_from(socket));
        }
        for _ in 0..self.counter.take_pings() {
            self.stream.write_all(PONG)?;
        }
        progress.update(self.number, self.counter.messages());
        Ok(true)
    }
}

struct Buffers {
    head: Vec<u8>,
    /// Never written to: it only says how many bytes may go.
    scrap: Vec<MaybeUninit<u8>>,
}

impl Buffers {
    fn new() -> Self {
        Self { head: vec![0; HEAD], scrap: vec![MaybeUninit::uninit(); DISCARD] }
    }

    /// Lets the kernel drop what is queued on `socket` without copying it; says how much that was.
    /// Errors are left for the next ordinary read to find.
    fn discard_from(&mut self, socket: &TcpStream) -> usize {
        const FLAGS: c_int = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
        SockRef::from(socket).recv_with_flags(&mut self.scrap, FLAGS).unwrap_or(0)
    }
}
