//! Sessions driven by hand: a server without sockets, its peers on memory pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod clients;
mod external;
mod gateways;
mod handlers;
mod imports;
mod intercept;
mod interest;
mod leaves;
mod links;
mod mappings;
mod pressure;
mod quotas;
mod rights;
mod sessions;
mod state_machine;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use identity::{Grant, Permission, ResponseLimit, Rights};
use parking_lot::{Mutex, RwLock};

use crate::conn::{About, Conn, ConnParts, Features, Kind};
use crate::inbox::InboxSpace;
use crate::limits::Limits;
use crate::link::interest::Announced;
use crate::link::session::LinkSession;
use crate::link::{Crossing, Link, LinkGroup, Role, RouteRule};
use crate::outbox::Pipe;
use crate::server::{Server, ServerConfig};
use crate::session::{ClientSession, Patience, Progress, Session, Work};

/// What was written to a peer; takes so many bytes and then no more.
pub(crate) struct Memory {
    room: AtomicUsize,
    taken: Mutex<Vec<u8>>,
}

impl Pipe for Memory {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let take = self.room.load(Ordering::SeqCst).min(bytes.len());
        if take == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.fetch_sub(take, Ordering::SeqCst);
        self.taken.lock().extend_from_slice(&bytes[..take]);
        Ok(take)
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A server without sockets.
pub(crate) struct Rig(pub(crate) Server);

/// One peer of it.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) pipe: Arc<Memory>,
    pub(crate) work: Work,
    rest: Vec<u8>,
}

/// How a client is to log in.
pub(crate) struct Who {
    pub(crate) features: Features,
    pub(crate) grant: Grant,
}

impl Default for Who {
    fn default() -> Self {
        Self { features: Features::default(), grant: Grant::unrestricted("tester") }
    }
}

impl Who {
    pub(crate) fn isolated() -> Self {
        let mut who = Self::default();
        who.grant.isolate_inbox = true;
        who.features.no_responders = true;
        who
    }

    pub(crate) fn with_rights(rights: Rights) -> Self {
        let mut who = Self::default();
        who.grant.rights = rights;
        who
    }
}

/// Rights to publish and subscribe to these patterns.
pub(crate) fn rights(
    publish: &[&str],
    subscribe: (&[&str], &[&str]),
    responses: Option<ResponseLimit>,
) -> Rights {
    let deny: &[&str] = &[];
    Rights::new(
        Permission::for_publish(Some(publish), deny).unwrap(),
        Permission::for_subscribe(Some(subscribe.0), subscribe.1).unwrap(),
        responses,
    )
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self(Server::new(ServerConfig { name: "rig".into(), cluster: None, limits }))
    }

    pub(crate) fn client(&self) -> Peer {
        self.enter(Who::default())
    }

    pub(crate) fn enter(&self, who: Who) -> Peer {
        let core = &self.0.core;
        let inbox = who.grant.isolate_inbox.then(|| Box::new(InboxSpace::new(&core.inboxes)));
        let (conn, pipe) = self.conn(Kind::Client, who.grant, who.features, inbox);
        core.clients.fetch_add(1, Ordering::Relaxed);
        Peer::new(Session::Client(Box::new(ClientSession::new(core.clone(), conn))), pipe)
    }

    fn conn(
        &self,
        kind: Kind,
        grant: Grant,
        features: Features,
        inbox: Option<Box<InboxSpace>>,
    ) -> (Arc<Conn>, Arc<Memory>) {
        let core = &self.0.core;
        let pipe = Arc::new(Memory { room: AtomicUsize::new(usize::MAX / 2), taken: Mutex::default() });
        let conn = Arc::new(Conn::new(ConnParts {
            id: core.next_id(),
            outbox: core.outbox(matches!(kind, Kind::Link(_))),
            kind,
            pipe: pipe.clone(),
            account: core.account(&grant.account),
            grant: Arc::new(grant),
            features,
            inbox,
            about: About {
                address: None,
                name: None,
                lang: None,
                version: None,
                tls_version: None,
                tls_cipher: None,
                websocket: false,
                start: SystemTime::now(),
            },
            max_pending_replies: core.limits.max_pending_replies,
        }));
        core.register(&conn);
        (conn, pipe)
    }

    pub(crate) fn group(&self, crossing: Option<&Arc<Crossing>>) -> Arc<LinkGroup> {
        self.0.link_group("$G", crossing.map(|crossing| &**crossing))
    }

    /// A link to a server of that name, attached and up; what was said for that is forgotten.
    pub(crate) fn link(&self, name: &str, role: Role, crossing: Option<Arc<Crossing>>) -> Peer {
        let group = self.group(crossing.as_ref());
        self.link_of(name, role, crossing, group)
    }

    pub(crate) fn link_of(
        &self,
        name: &str,
        role: Role,
        crossing: Option<Arc<Crossing>>,
        group: Arc<LinkGroup>,
    ) -> Peer {
        self.link_with(name, role, crossing, group, false)
    }

    /// With `compared`, the other end is one of ours.
    pub(crate) fn link_with(
        &self,
        name: &str,
        role: Role,
        crossing: Option<Arc<Crossing>>,
        group: Arc<LinkGroup>,
        compared: bool,
    ) -> Peer {
        self.link_by(name, role, crossing, group, (compared, Grant::unrestricted(name)))
    }

    /// A leaf with rights of its own.
    pub(crate) fn leaf(&self, name: &str, rights: Rights) -> Peer {
        let grant = Grant { rights, ..Grant::unrestricted(name) };
        self.link_by(name, Role::Hub, None, self.group(None), (false, grant))
    }

    fn link_by(
        &self,
        name: &str,
        role: Role,
        crossing: Option<Arc<Crossing>>,
        group: Arc<LinkGroup>,
        (compared, grant): (bool, Grant),
    ) -> Peer {
        let core = &self.0.core;
        let link = Arc::new(Link {
            via: crate::link::Via::Leafnode,
            role,
            remote_name: name.into(),
            remote_id: name.into(),
            remote_cluster: name.into(),
            name: name.into(),
            solicited: false,
            crossing,
            announced: Mutex::new(Announced::new(&core.inboxes, compared)),
            inboxes: core.inboxes.clone(),
            allowed: RwLock::new([None, None]),
            told: RwLock::default(),
            active: AtomicBool::new(!group.is_exclusive()),
            addresses: None,
            own_cluster: "".into(),
            held: crate::link::held::Held::new(&grant.rights),
            compressed: None,
            loop_subject: core.account("$G").loop_subject.clone(),
        });
        let (conn, pipe) = self.conn(Kind::Link(link.clone()), grant, Features::default(), None);
        let mut session = LinkSession::new(core.clone(), conn, link, group, None);
        session.attach(Instant::now());
        let mut peer = Peer::new(Session::Link(Box::new(session)), pipe);
        peer.say("PONG\r\n");
        peer
    }
}

impl Peer {
    fn new(session: Session, pipe: Arc<Memory>) -> Self {
        Self { session, pipe, work: Work::default(), rest: Vec::new() }
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        self.session.conn()
    }

    /// Says something and lets the server do everything that follows from it.
    pub(crate) fn say(&mut self, text: &str) -> Progress {
        self.say_patiently(text, Patience::default())
    }

    pub(crate) fn say_patiently(&mut self, text: &str, patience: Patience) -> Progress {
        self.rest.extend_from_slice(text.as_bytes());
        let progress = self.session.read(&self.rest, &mut self.work, patience, Instant::now());
        self.work.dirty.flush();
        self.rest.drain(..progress.consumed);
        progress
    }

    /// What was said to this peer since the last time.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.pipe.taken.lock())).unwrap()
    }

    /// The socket takes so many bytes from now on.
    pub(crate) fn takes(&self, bytes: usize) {
        self.pipe.room.store(bytes, Ordering::SeqCst);
        self.conn().unblock();
    }

    /// How often `word` was heard.
    pub(crate) fn heard_times(&self, word: &str) -> usize {
        self.heard().matches(word).count()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.session.going();
    }
}

pub(crate) fn crossing(routes: &[(&str, crate::Direction, Option<&str>)]) -> Option<Arc<Crossing>> {
    let rules: Vec<RouteRule> = routes
        .iter()
        .map(|(subject, direction, to)| RouteRule {
            subject: (*subject).into(),
            direction: *direction,
            to: to.map(Into::into),
            stamp: false,
        })
        .collect();
    Some(Arc::new(Crossing::compile(&rules).unwrap()))
}
