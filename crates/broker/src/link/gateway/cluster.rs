//! Another cluster: where it is, and what connects us.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::RemoteUrl;
use super::reply::ClusterHash;
use crate::conn::Conn;
use crate::link::LinkGroup;
use crate::link::addresses::Addresses;
use crate::link::group::LinkUp;

/// A cluster at the other end of a gateway.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) hash: ClusterHash,
    /// Nobody configured it: it connected by itself, or others told of it.
    pub(crate) implicit: bool,
    pub(crate) addresses: Arc<Addresses>,
    /// Somebody keeps our connection to it up.
    dialled: AtomicBool,
    /// What is put in front of replies to us.
    front: Arc<[u8]>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Our connection to it.
    out: Option<Arc<Conn>>,
    /// It has told all of its interest there.
    told: bool,
    /// Its connections to us.
    entered: usize,
    /// Those of them that know all of our interest.
    inbound: usize,
    up: Option<LinkUp>,
}

impl Cluster {
    /// One that is configured.
    pub(super) fn configured(name: &str, urls: Vec<RemoteUrl>, front: Arc<[u8]>) -> Self {
        Self::new(name, Addresses::new(urls, true), false, front)
    }

    /// One that has made itself known.
    pub(super) fn implicit(name: &str, tls: bool, front: Arc<[u8]>) -> Self {
        Self::new(name, Addresses::unknown(name, tls), true, front)
    }

    fn new(name: &str, addresses: Addresses, implicit: bool, front: Arc<[u8]>) -> Self {
        Self {
            name: name.to_owned(),
            hash: ClusterHash::of(name),
            implicit,
            addresses: Arc::new(addresses),
            dialled: AtomicBool::new(!implicit),
            front,
            state: Mutex::default(),
        }
    }

    /// Whether it is to be dialled now: an address is known, and nobody does it yet.
    pub(super) fn wants_dialling(&self) -> bool {
        self.addresses.len() > 0 && !self.dialled.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn front(&self) -> &[u8] {
        &self.front
    }

    /// Our connection to it, while there is one.
    pub(crate) fn outbound(&self) -> Option<Weak<Conn>> {
        self.state.lock().out.as_ref().map(Arc::downgrade)
    }

    /// Whether somebody there is connected to us.
    pub(crate) fn has_inbound(&self) -> bool {
        self.state.lock().entered > 0
    }

    /// We are connected to it.
    pub(crate) fn connected(&self, conn: &Arc<Conn>) {
        self.state.lock().out = Some(conn.clone());
    }

    /// It has told all of its interest.
    pub(crate) fn told(&self, group: &Arc<LinkGroup>) {
        self.change(group, |state| state.told = true);
    }

    /// Our connection to it has ended.
    pub(crate) fn disconnected(&self, group: &Arc<LinkGroup>) {
        self.change(group, |state| {
            state.told = false;
            state.out = None;
        });
    }

    /// One of its servers has connected.
    pub(crate) fn entered(&self) {
        self.state.lock().entered += 1;
    }

    /// It has gone.
    pub(crate) fn left(&self) {
        let mut state = self.state.lock();
        state.entered = state.entered.saturating_sub(1);
    }

    /// One of its servers knows all of our interest.
    pub(crate) fn inbound_begins(&self, group: &Arc<LinkGroup>) {
        self.change(group, |state| state.inbound += 1);
    }

    /// That server is no longer connected.
    pub(crate) fn inbound_ends(&self, group: &Arc<LinkGroup>) {
        self.change(group, |state| state.inbound = state.inbound.saturating_sub(1));
    }

    /// The link is up while messages can go both ways.
    fn change(&self, group: &Arc<LinkGroup>, change: impl FnOnce(&mut State)) {
        let gone = {
            let mut state = self.state.lock();
            change(&mut state);
            match (&state.out, state.told && state.inbound > 0) {
                (Some(out), true) => {
                    if state.up.is_none() {
                        tracing::info!(conn = out.id, cluster = %self.name, "gateway up");
                        state.up = Some(group.ready(out));
                    }
                    None
                }
                (Some(_), false) => {
                    let why = if state.told {
                        "nobody there connects to us"
                    } else {
                        "it is still telling its interest"
                    };
                    group.note_trouble(format!("cluster {}: connected, but {why}", self.name));
                    state.up.take()
                }
                (None, _) => state.up.take(),
            }
        };
        if gone.is_some() {
            tracing::warn!(cluster = %self.name, "gateway down");
        }
    }
}
