//! Questions put to the other side, and their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{Call, HandlerPort, Letter, Outlet, Reception, Sent};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long an answer may take. Clients wait for five seconds in all, most of them.
const PATIENCE: Duration = Duration::from_secs(4);

/// When a question nobody has heard is put again.
const AGAIN: Duration = Duration::from_millis(50);

/// Where questions about streams are answered.
pub(super) trait Ask: Sync {
    /// The answer to one request, `None` when none came.
    fn ask(&self, subject: &'static str, request: Value) -> impl Future<Output = Option<Value>> + Send;
}

/// The other side of the links.
pub(super) struct Bus {
    outlet: Mutex<Outlet>,
    inbox: Vec<u8>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
}

/// Takes a question off the list, whatever became of it.
struct Waits<'a>(&'a Bus, u64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().remove(&self.1);
    }
}

impl Bus {
    pub(super) fn new(port: &HandlerPort) -> Self {
        Self {
            outlet: Mutex::new(port.outlet()),
            inbox: port.inbox(),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// What its answers come in under.
    pub(super) fn answers(&self) -> Vec<u8> {
        [&self.inbox[..], b"*"].concat()
    }

    /// Answers have come.
    pub(super) fn answered(&self, call: &Call<'_>) -> Reception {
        let number = call.subject().strip_prefix(&self.inbox[..]);
        let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        let waiting = number.and_then(|number: u64| self.waiting.lock().remove(&number));
        let (Some(waiting), Some(message)) = (waiting, call.messages().next()) else {
            return Reception::Absent;
        };
        // Whoever asked may have given up meanwhile.
        drop(waiting.send(message.payload.to_vec()));
        Reception::Taken
    }

    /// Sends an answer to a client.
    pub(super) fn tell(&self, reply: &[u8], payload: &[u8]) {
        self.send(&Letter { subject: reply, payload, ..Letter::default() });
    }

    fn send(&self, letter: &Letter<'_>) -> bool {
        let mut outlet = self.outlet.lock();
        let sent = outlet.push(letter);
        outlet.flush();
        sent != Sent::Nobody
    }
}

impl Ask for Bus {
    async fn ask(&self, subject: &'static str, request: Value) -> Option<Value> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.waiting.lock().insert(number, tell);
        let _waits = Waits(self, number);
        let reply = [&self.inbox[..], number.to_string().as_bytes()].concat();
        let payload = if request.is_null() { String::new() } else { request.to_string() };
        let letter = Letter {
            subject: subject.as_bytes(),
            reply: &reply,
            payload: payload.as_bytes(),
            ..Letter::default()
        };
        let asked = async {
            // While no link is up nobody hears it.
            while !self.send(&letter) {
                sleep(AGAIN).await;
            }
            told.await
        };
        let answer = timeout(PATIENCE, asked).await.ok()?.ok()?;
        serde_json::from_slice(&answer).ok()
    }
}
