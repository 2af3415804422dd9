//! Links that serve the same routes, and the gate that holds publishers while none of them is up.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Crossing;
use crate::conn::Conn;
use crate::core::Core;
use crate::subscription::{Sub, Subscription};

/// A set of links of which any one will do. Cheap to clone behind an [`Arc`].
pub struct LinkGroup {
    core: Arc<Core>,
    gate: Vec<Sub>,
    up: Mutex<usize>,
    watch: watch::Sender<usize>,
}

impl std::fmt::Debug for LinkGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkGroup").field("up", &*self.up.lock()).finish_non_exhaustive()
    }
}

/// Holding it means that a link is up; dropping it, that it is no more.
#[derive(Debug)]
pub(crate) struct LinkUp(Arc<LinkGroup>);

impl Drop for LinkUp {
    fn drop(&mut self) {
        self.0.lost();
    }
}

impl LinkGroup {
    /// A group whose links carry `crossing`; publishers to its routes are held until a link is up.
    /// `gate` is the pseudo-connection the holding subscriptions belong to.
    pub(crate) fn new(core: Arc<Core>, crossing: Option<&Crossing>, gate: &Arc<Conn>) -> Arc<Self> {
        let patterns = crossing.map(|crossing| crossing.send_patterns.as_slice()).unwrap_or_default();
        let gate: Vec<Sub> = patterns
            .iter()
            .map(|pattern| Sub(Arc::new(Subscription::new(gate.clone(), pattern.as_bytes(), None, b""))))
            .collect();
        for sub in &gate {
            sub.conn.account.subscribe(sub);
        }
        Arc::new(Self { core, gate, up: Mutex::new(0), watch: watch::Sender::new(0) })
    }

    /// How many links are up, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.watch.subscribe()
    }

    /// A link has exchanged all interest.
    pub(crate) fn ready(self: &Arc<Self>) -> LinkUp {
        let mut up = self.up.lock();
        *up += 1;
        if *up == 1 {
            if let Some(first) = self.gate.first() {
                first.conn.account.unsubscribe(&self.gate);
            }
            self.core.release_held();
        }
        self.watch.send_replace(*up);
        LinkUp(self.clone())
    }

    fn lost(&self) {
        let mut up = self.up.lock();
        *up -= 1;
        if *up == 0 {
            for sub in &self.gate {
                sub.conn.account.subscribe(sub);
            }
        }
        self.watch.send_replace(*up);
    }
}
