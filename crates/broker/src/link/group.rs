//! Links that serve the same routes, and the gate that holds publishers while none of them is up.
//!
//! In an *exclusive* group, links to several nodes of one cluster, one link is active and the others stand by: they
//! know the other end's interest and have told nothing of ours, so that nothing crosses twice. When the active one
//! goes, the next takes its place before publishers notice more than a pause.
//!
//! A link that leaves a PING without an answer is *silent* long before it counts as down: who has somewhere else to put
//! messages asks for that to be watched (see [`LinkGroup::watch_silence`]).

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
    exclusive: bool,
    state: Mutex<State>,
    watch: watch::Sender<usize>,
    silent_after: OnceLock<Duration>,
    silence: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Links that are up, the active one first where only one is.
    up: Vec<Arc<Conn>>,
    /// Servers at the other ends, by id, from the moment they have said who they are.
    nodes: Vec<String>,
    /// Those of `up` that owe an answer.
    silent: Vec<u64>,
    /// Why the last attempt came to nothing, or the last link ended.
    trouble: Option<String>,
}

impl std::fmt::Debug for LinkGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkGroup").field("up", &self.state.lock().up.len()).finish_non_exhaustive()
    }
}

/// Holding it means that a link is up; dropping it, that it is no more.
#[derive(Debug)]
pub(crate) struct LinkUp(Arc<LinkGroup>, u64);

impl Drop for LinkUp {
    fn drop(&mut self) {
        self.0.lost(self.1);
    }
}

/// Holding it means that a node of the cluster is linked to, or about to be; no second link goes there.
#[derive(Debug)]
pub(crate) struct NodeClaim(Arc<LinkGroup>, String);

impl Drop for NodeClaim {
    fn drop(&mut self) {
        self.0.state.lock().nodes.retain(|node| *node != self.1);
    }
}

impl LinkGroup {
    /// A group whose links carry `crossing`; publishers to its routes are held until a link is up.
    /// `gate` is the pseudo-connection the holding subscriptions belong to.
    pub(crate) fn new(
        core: Arc<Core>,
        crossing: Option<&Crossing>,
        exclusive: bool,
        gate: &Arc<Conn>,
    ) -> Arc<Self> {
        let patterns = crossing.map(|crossing| crossing.send_patterns.as_slice()).unwrap_or_default();
        let gate: Vec<Sub> = patterns
            .iter()
            .map(|pattern| Sub(Arc::new(Subscription::new(gate.clone(), pattern.as_bytes(), None, b""))))
            .collect();
        for sub in &gate {
            sub.conn.account.subscribe(sub);
        }
        Arc::new(Self {
            core,
            gate,
            exclusive,
            state: Mutex::default(),
            watch: watch::Sender::new(0),
            silent_after: OnceLock::new(),
            silence: watch::Sender::new(false),
        })
    }

    /// Whether what is sent now may be heard by nobody: a link that carries has been asked for a sign of life, and has
    /// given none for `after`. Links that give none by themselves are asked as often.
    pub fn watch_silence(&self, after: Duration) -> watch::Receiver<bool> {
        self.silent_after.get_or_init(|| after);
        self.silence.subscribe()
    }

    pub(crate) fn silent_after(&self) -> Option<Duration> {
        self.silent_after.get().copied()
    }

    /// A link has left a PING without an answer, or has been heard of again.
    pub(crate) fn is_silent(&self, conn: &Conn, silent: bool) {
        let mut state = self.state.lock();
        state.silent.retain(|id| *id != conn.id);
        if silent {
            state.silent.push(conn.id);
        }
        self.tell_silence(&state);
    }

    fn tell_silence(&self, state: &State) {
        // Of links that stand by for one another, one carries.
        let carrying = if self.exclusive { 1 } else { state.up.len() };
        let silent = state.up.iter().take(carrying).any(|conn| state.silent.contains(&conn.id));
        self.silence.send_if_modified(|known| std::mem::replace(known, silent) != silent);
    }

    /// How many links are up, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.watch.subscribe()
    }

    /// Whether one link carries everything and the others stand by.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Why there is no link, as far as is known: what became of the last one. `None` while one is up.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        state.trouble.clone().filter(|_| state.up.is_empty())
    }

    /// Notes why a link was not made, or ended.
    pub(crate) fn note_trouble(&self, trouble: String) {
        self.state.lock().trouble = Some(trouble);
    }

    /// Takes a node of the cluster for a link; `None` when another link has it.
    pub(crate) fn claim(self: &Arc<Self>, node: &str) -> Option<NodeClaim> {
        let mut state = self.state.lock();
        if state.nodes.iter().any(|known| known == node) {
            return None;
        }
        state.nodes.push(node.to_owned());
        Some(NodeClaim(self.clone(), node.to_owned()))
    }

    /// A link has exchanged all interest, or, in an exclusive group, knows the other end's.
    pub(crate) fn ready(self: &Arc<Self>, conn: &Arc<Conn>) -> LinkUp {
        let mut state = self.state.lock();
        state.up.push(conn.clone());
        state.trouble = None;
        if state.up.len() == 1 {
            if self.exclusive {
                activate(conn);
            }
            self.open();
        }
        self.tell_silence(&state);
        self.watch.send_replace(state.up.len());
        LinkUp(self.clone(), conn.id)
    }

    fn lost(&self, id: u64) {
        let mut state = self.state.lock();
        let Some(at) = state.up.iter().position(|conn| conn.id == id) else { return };
        state.up.remove(at);
        match state.up.first() {
            None => self.close(),
            Some(next) if at == 0 && self.exclusive => {
                tracing::info!(conn = next.id, "a standby link takes over");
                activate(next);
            }
            Some(_) => {}
        }
        self.watch.send_replace(state.up.len());
        state.silent.retain(|silent| *silent != id);
        self.tell_silence(&state);
    }

    fn open(&self) {
        if let Some(first) = self.gate.first() {
            first.conn.account.unsubscribe(&self.gate);
        }
        self.core.release_held();
    }

    fn close(&self) {
        for sub in &self.gate {
            sub.conn.account.subscribe(sub);
        }
    }
}

/// Makes a standby link the one that carries: tells the other end our interest.
fn activate(conn: &Arc<Conn>) {
    let Some(link) = conn.link() else { return };
    link.active.store(true, Ordering::Release);
    conn.send_now(|out| link.announce_inboxes(&conn.account.name, out));
    conn.account.attach_link(conn);
    conn.send_now(|out| link.sum_up(out));
}
