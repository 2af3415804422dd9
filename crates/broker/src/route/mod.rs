//! Where the messages of one subject go: decided once, used for every message until interest or rights change.

mod build;
mod cache;
mod deliver;
pub(crate) mod frame;
mod item;

use std::ops::Range;
use std::sync::Arc;

use crate::account::Account;
use crate::conn::Conn;
use crate::import::Import;
use crate::subscription::Sub;

pub(crate) use build::Query;
pub(crate) use cache::RouteCache;
pub(crate) use deliver::{Dirty, deliver};
pub(crate) use item::{Item, Items};

/// What is to become of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Verdict {
    /// It goes to the targets, if there are any.
    #[default]
    Deliver,
    /// The publisher has no right to the subject.
    Denied,
    /// A link the subject crosses is down: the publisher waits.
    Hold,
}

/// The targets of one subject, for one origin.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) verdict: Verdict,
    /// The account's generation this was derived from.
    pub(crate) generation: u64,
    /// Prefixes and names the targets refer to.
    arena: Vec<u8>,
    /// Everyone who gets a copy.
    plain: Vec<Target>,
    /// One of each gets a copy; members lie in `members`.
    queues: Vec<Range<usize>>,
    members: Vec<Target>,
    links: Vec<LinkTarget>,
    /// Who is asked before the links; what it takes does not go over them.
    interceptor: Option<Target>,
    /// The links are down: what the interceptor does not take goes nowhere.
    gated: bool,
    choices: Vec<Choice>,
    passages: Vec<Passage>,
    /// While it is derived anew: the plain subscriptions it had, the first one last.
    before: Vec<Sub>,
}

/// A way into another account that messages of this subject take.
#[derive(Debug)]
struct Passage {
    import: Arc<Import>,
    /// The account whose index it stands in, and the one it leads to.
    from: Arc<Account>,
    into: Arc<Account>,
    /// For answers: what they were published to.
    subject: Range<usize>,
    /// Where the messages go on from there.
    route: Box<Route>,
}

/// One subscription as a target.
#[derive(Debug)]
struct Target {
    sub: Sub,
    /// `HMSG subject sid ` in the arena; without its first byte it is the prefix of a plain message (see [`How`]).
    prefix: Range<usize>,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Prefix and tail, copied.
    Block,
    /// Something has to be looked at per message (limits, replies, headers the peer can't read).
    Singly,
    /// Prefix of a link: the first letter differs with and without headers.
    Framed,
    /// Called; the prefix is the bare subject.
    Handler,
}

/// A link that gets messages of this subject, at most once each.
#[derive(Debug)]
struct LinkTarget {
    conn: Arc<Conn>,
    /// The subject as the other side calls it, in the arena.
    subject: Range<usize>,
    /// For a gateway: `account ` in the arena.
    account: Range<usize>,
    plain: bool,
    /// Who is at the other end may answer, whatever else it may send.
    answers: bool,
    /// Header lines that say who the messages come from, in the arena; empty where the route wants none.
    stamp: Range<usize>,
    /// Names of the queue groups that are served over this link alone, space separated, in the arena.
    queues: Range<usize>,
}

/// A queue group that several links could serve: chosen per message, by weight.
#[derive(Debug)]
struct Choice {
    name: Range<usize>,
    /// Index into `links`, and weight.
    candidates: Vec<(usize, u32)>,
}

impl How {
    /// How a message is to be handed over, given what else is to be seen to.
    fn of(self, items: &Items<'_>) -> Self {
        if self == Self::Block && items.singly { Self::Singly } else { self }
    }
}

impl Route {
    /// Whether nobody at all is to get it.
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty()
            && self.queues.is_empty()
            && self.links.is_empty()
            && self.passages.is_empty()
            && self.interceptor.is_none()
    }

    /// Whether messages go over a link or into another account, or would if the link were up.
    pub(crate) fn leads_elsewhere(&self) -> bool {
        self.gated || !self.links.is_empty() || !self.passages.is_empty()
    }

    /// Whether code in this process is asked.
    pub(crate) fn is_handled(&self) -> bool {
        self.plain.iter().any(|target| target.how == How::Handler)
    }

    /// Whether messages go over this link under the name they have here.
    pub(crate) fn reaches(&self, link: &Arc<Conn>, subject: &[u8]) -> bool {
        self.links.iter().any(|target| {
            target.plain && Arc::ptr_eq(&target.conn, link) && self.text(&target.subject) == subject
        })
    }

    fn clear(&mut self) {
        self.verdict = Verdict::Deliver;
        self.arena.clear();
        self.before.clear();
        self.before.extend(self.plain.drain(..).rev().map(|target| target.sub));
        self.queues.clear();
        self.members.clear();
        self.links.clear();
        self.interceptor = None;
        self.gated = false;
        self.choices.clear();
        self.passages.clear();
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }
}
