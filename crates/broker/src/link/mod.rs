//! A link as the rest of the broker sees it: its role, what may cross it, what was announced on it.

pub(crate) mod addresses;
pub(crate) mod arrivals;
pub(crate) mod compression;
pub(crate) mod crossing;
pub(crate) mod gateway;
pub(crate) mod group;
pub(crate) mod heard;
pub(crate) mod held;
pub(crate) mod interest;
pub(crate) mod ledger;
pub(crate) mod remote;
pub(crate) mod session;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use identity::Rights;
use parking_lot::{Mutex, RwLock};

pub use crossing::{Crossing, CrossingError, Direction, RouteRule};

pub use compression::{Compression, Mode as CompressionMode};

use crate::account::Account;
use crate::conn::Conn;
use crate::conn::Kind;
use crate::subscription::Subscription;
use addresses::Addresses;
use compression::Compressed;
use gateway::Cluster;
pub use group::LinkGroup;
use held::Held;
use interest::Announced;
pub use remote::{LinkLogin, LinkProof, RemoteUrl};
use wire::info::SubjectPermission;

/// Which end of the link we are. The hub passes interest and messages on between its links, the spoke does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The other end is a leaf of ours.
    Hub,
    /// We are a leaf of the other end.
    Spoke,
}

/// Which protocol a link speaks, and which way messages go on it.
#[derive(Debug)]
pub(crate) enum Via {
    /// A leafnode connection: both ways, in one account.
    Leafnode,
    /// A gateway connection we dialled: messages leave on it, interest of the other cluster comes in.
    GatewayOut(Arc<Cluster>),
    /// A gateway connection that was accepted: messages come in, our interest leaves on it.
    GatewayIn(Arc<Cluster>),
}

/// The state of one link that more than its own task needs.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) via: Via,
    pub(crate) role: Role,
    /// The other server's name and id.
    pub(crate) remote_name: String,
    pub(crate) remote_id: String,
    pub(crate) remote_cluster: String,
    /// The configured name of the link, for `/leafz` and metrics.
    pub(crate) name: Arc<str>,
    pub(crate) solicited: bool,
    /// What may cross; `None` lets everything cross that both ends have rights to.
    pub(crate) crossing: Option<Arc<Crossing>>,
    pub(crate) announced: Mutex<Announced>,
    /// The prefix of the inboxes of this server's own clients.
    pub(crate) inboxes: Box<[u8]>,
    /// What may be sent (publish) and announced (subscribe): by our own configuration, and by what the other end
    /// told us. `None` is everything.
    pub(crate) allowed: RwLock<[Option<Rights>; 2]>,
    /// The lists behind the latter as they were told (what may be sent, what may be asked for), for operators.
    pub(crate) told: RwLock<[Option<SubjectPermission>; 2]>,
    /// Messages cross, and our interest is told. A link that stands by has neither.
    pub(crate) active: AtomicBool,
    /// Of a link that was dialled: where else its cluster is to be found.
    pub(crate) addresses: Option<Arc<Addresses>>,
    /// Of a gateway: the name of our own cluster.
    pub(crate) own_cluster: Arc<str>,
    /// What a leaf that has logged in here may do, where that is not everything.
    pub(crate) held: Option<Held>,
    /// Where it is compressed.
    pub(crate) compressed: Option<Arc<Compressed>>,
    /// Our loop detection subject on this link's account.
    pub(crate) loop_subject: Arc<str>,
}

impl Link {
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.crossing.is_some()
    }

    pub(crate) fn is_gateway(&self) -> bool {
        !matches!(self.via, Via::Leafnode)
    }

    /// The cluster at the other end of a gateway connection.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        match &self.via {
            Via::Leafnode => None,
            Via::GatewayOut(cluster) | Via::GatewayIn(cluster) => Some(cluster),
        }
    }

    /// Where answers to what came from `conn` over this link are to be sent.
    pub(crate) fn way_back(&self, conn: &Arc<Conn>) -> Option<Weak<Conn>> {
        match self.cluster() {
            None => Some(Arc::downgrade(conn)),
            Some(cluster) => cluster.outbound(),
        }
    }

    /// Whether what comes from link `from` may go on over this one.
    pub(crate) fn takes_from(&self, from: &Self) -> bool {
        let both_filtered = self.is_filtered() && from.is_filtered();
        // Towards a hub, and between clusters, only what begins here is told.
        let upward = |link: &Self| link.role == Role::Spoke || link.is_gateway();
        !(both_filtered || upward(self) && upward(from))
    }

    /// The reply of a message as the other end may be told it; empty when it is to be told of none.
    ///
    /// Who answers over there publishes to whatever he is given, with his own rights. So a filtered link passes
    /// on only what a route would bring back here, and the inboxes of our own clients, which nobody there listens to.
    pub(crate) fn reply_across<'a>(&self, reply: &'a [u8], account: &Account) -> Cow<'a, [u8]> {
        let Some(crossing) = &self.crossing else {
            return match &self.via {
                // The other cluster may not know of the interest in it yet.
                Via::GatewayOut(cluster) if !reply.is_empty() && account.was_wanted_lately(reply) => {
                    Cow::Owned([cluster.front(), reply].concat())
                }
                _ => Cow::Borrowed(reply),
            };
        };
        if reply.is_empty() || reply.starts_with(&self.inboxes) {
            return Cow::Borrowed(reply);
        }
        let mut there = Vec::new();
        if crossing.receive.iter().any(|rule| rule.revert(reply, &mut there)) {
            return Cow::Owned(there);
        }
        Cow::Borrowed(b"")
    }

    /// The other end's interest in `pattern` as interest in our own subjects, with the rule that makes it so.
    pub(crate) fn local_patterns(&self, pattern: &[u8]) -> Vec<(u16, Vec<u8>)> {
        match &self.crossing {
            None => vec![(0, pattern.to_vec())],
            Some(crossing) => crossing
                .send
                .iter()
                .enumerate()
                .filter_map(|(at, rule)| Some((u16::try_from(at).ok()?, rule.source_interest(pattern)?)))
                .collect(),
        }
    }

    /// Whether a local subscription concerns the other end at all.
    pub(crate) fn wants(&self, sub: &Subscription) -> bool {
        match &sub.conn.kind {
            Kind::Handler(_) => !sub.intercepts() && !sub.stays(),
            Kind::Client | Kind::Local | Kind::Import(_) => true,
            Kind::Link(from) => self.takes_from(from),
            Kind::Gate => false,
        }
    }

    /// Whether the other end lets us send on `subject`.
    pub(crate) fn may_send(&self, subject: &[u8]) -> bool {
        self.allowed.read().iter().flatten().all(|rights| rights.may_publish(subject))
    }

    /// Whether the other end lets us subscribe to `pattern`, and could send us any of it.
    pub(crate) fn may_announce(&self, pattern: &[u8]) -> bool {
        self.held.as_ref().is_none_or(|held| held.could_send(pattern))
            && self.allowed.read().iter().flatten().all(|rights| rights.may_subscribe(pattern, None))
    }
}
