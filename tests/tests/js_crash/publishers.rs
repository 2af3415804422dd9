//! Publishers that repeat a message, under the same id, until it is acknowledged.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_nats::HeaderMap;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::random;
use crate::server::connect;

const COUNT: usize = 3;
/// Messages of one publisher that wait for their acknowledgement.
const WINDOW: u64 = 24;

pub(crate) struct Publishers {
    url: String,
    ledger: Arc<Ledger>,
    running: Vec<JoinHandle<()>>,
    /// What each comes to next; a successor goes on there.
    next: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
}

impl Publishers {
    pub(crate) fn start(url: String, ledger: Arc<Ledger>) -> Self {
        let next = (0..COUNT).map(|_| Arc::default()).collect();
        let mut publishers = Self { url, ledger, running: Vec::new(), next, stop: Arc::default() };
        publishers.running = (0..COUNT).map(|who| publishers.one(who)).collect();
        publishers
    }

    fn one(&self, who: usize) -> JoinHandle<()> {
        let (url, ledger, next, stop) =
            (self.url.clone(), self.ledger.clone(), self.next[who].clone(), self.stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if publish(&url, who, &ledger, &next, &stop).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        })
    }

    /// Ends one in the middle of what it does; another one takes over.
    pub(crate) fn kill_one(&mut self) {
        let who = usize::try_from(random(COUNT as u64)).unwrap_or(0);
        self.running[who].abort();
        self.running[who] = self.one(who);
    }

    /// Lets them finish what they have begun.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.running {
            drop(task.await);
        }
    }
}

async fn publish(url: &str, who: usize, ledger: &Ledger, next: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let context = connect(url).await?;
    while !stop.load(Ordering::Relaxed) {
        let first = next.load(Ordering::Relaxed);
        let mut waiting = Vec::new();
        for number in first..first + WINDOW {
            let id = format!("{who}-{number}");
            ledger.published(&id);
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id.as_str());
            let payload = id.repeat(1 + usize::try_from(random(20))?);
            let sent = context.publish_with_headers(format!("orders.{who}"), headers, payload.into()).await?;
            waiting.push((id, sent));
        }
        for (id, sent) in waiting {
            let ack = timeout(Duration::from_secs(2), sent.into_future()).await??;
            ledger.acknowledge(&id, ack.sequence);
        }
        // Only when all are safe: what was not acknowledged is sent again.
        next.store(first + WINDOW, Ordering::Relaxed);
    }
    Ok(())
}
