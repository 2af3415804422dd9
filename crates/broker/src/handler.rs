//! Code in this process that takes part without a socket: called with whole runs in their publisher's task.
//!
//! A [`Handler`] is subscribed through its [`HandlerPort`] and called synchronously, with everything borrowed from the
//! read batch. It must neither block nor await. What it says back ([`Call::answer`]) goes out when the read batch is
//! done; what it says by itself goes through an [`Outlet`]. What it has taken and not yet worked off it declares with
//! [`HandlerPort::hold`]: publishers are then held as by a reader that is full, and [`HandlerPort::release`] lets
//! them go on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use identity::Grant;

use crate::account::watch::InterestWatch;
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::Core;
use crate::local::LocalError;
use crate::outlet::{Letter, Letters, Outlet};
use crate::route::Items;
use crate::server::Nowhere;
use crate::subscription::{Sub, Subscription};

/// What a handler does with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// The messages were taken.
    Taken,
    /// There is nobody behind this subject: a requester is told so (status 503), unless somebody else took the messages.
    /// From an interceptor: the messages may go on over the links.
    Absent,
}

/// An in-process receiver. Called from many tasks at once.
pub trait Handler: Send + Sync + 'static {
    /// Takes the messages of one subject. Must not block, await, or change subscriptions.
    fn call(&self, call: &mut Call<'_>) -> Reception;

    /// The read batch in which this handler was called is done: wake who has to work on what came.
    fn batch_done(&self) {}
}

/// Messages of one subject, in the order they were published.
pub struct Call<'a> {
    subject: &'a [u8],
    items: &'a Items<'a>,
    origin: &'a Arc<Conn>,
    port: &'a Arc<Conn>,
    letters: &'a mut Letters,
    pub(crate) links_down: bool,
    pub(crate) elsewhere: bool,
}

/// One published message. Everything lies in the publisher's read batch.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where answers are wanted; empty when nowhere.
    pub reply: &'a [u8],
    /// The header block (`NATS/1.0 … CRLF CRLF`); empty without headers.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        subject: &'a [u8],
        items: &'a Items<'a>,
        origin: &'a Arc<Conn>,
        port: &'a Arc<Conn>,
        letters: &'a mut Letters,
    ) -> Self {
        Self { subject, items, origin, port, letters, links_down: false, elsewhere: false }
    }

    /// What the messages were published to.
    #[must_use]
    pub fn subject(&self) -> &'a [u8] {
        self.subject
    }

    /// For an interceptor: whether the links these messages would cross are down.
    #[must_use]
    pub fn links_down(&self) -> bool {
        self.links_down
    }

    /// Whether these messages go over a link or into another account, too, or would if the link were up.
    #[must_use]
    pub fn elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// How many there are; never none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.list.is_empty()
    }

    /// The messages.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'a>> + use<'a> {
        let items = self.items;
        items.list.iter().map(move |item| {
            let (headers, payload) = items.payload(item).split_at(item.header_len as usize);
            Message { reply: items.whole_reply(item), headers, payload }
        })
    }

    /// Who published them.
    #[must_use]
    pub fn origin(&self) -> Origin<'a> {
        Origin(self.origin)
    }

    /// Says something back. It goes out when the read batch is done.
    pub fn answer(&mut self, letter: &Letter<'_>) {
        self.letters.push(self.port, letter);
    }
}

/// What kind of connection a message came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginKind {
    /// A client's.
    Client,
    /// A link's.
    Link,
    /// Code in this process.
    Local,
}

/// A publisher, as a handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a>(&'a Arc<Conn>);

impl<'a> Origin<'a> {
    /// The connection's number, as in `/connz`.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> &'a Arc<str> {
        &self.0.account.name
    }

    /// What kind of connection it is.
    #[must_use]
    pub fn kind(&self) -> OriginKind {
        match self.0.kind {
            Kind::Client => OriginKind::Client,
            Kind::Link(_) => OriginKind::Link,
            Kind::Local | Kind::Gate | Kind::Handler(_) | Kind::Import(_) => OriginKind::Local,
        }
    }

    /// Who it proved to be.
    #[must_use]
    pub fn identity(&self) -> Arc<str> {
        self.0.grant().identity.clone()
    }

    /// What it may do now.
    #[must_use]
    pub fn grant(&self) -> Arc<Grant> {
        arc_swap::Guard::into_inner(self.0.grant())
    }

    /// The name the client gave itself.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.0.about.name.as_deref()
    }

    /// The client library and its version.
    #[must_use]
    pub fn library(&self) -> (Option<&'a str>, Option<&'a str>) {
        (self.0.about.lang.as_deref(), self.0.about.version.as_deref())
    }

    /// Where it connects from.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.about.address
    }

    /// Header lines that say who it verifiably is, for messages that are sent on later (see [`crate::provenance`]);
    /// empty when nobody vouches for it.
    #[must_use]
    pub fn provenance(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        crate::provenance::lines(self.0, &mut lines);
        lines
    }

    /// Its last measured round trip, in microseconds; 0 when none was measured.
    #[must_use]
    pub fn rtt_micros(&self) -> u32 {
        self.0.rtt_micros.load(Ordering::Relaxed)
    }
}

/// What a handler's connection is made of.
pub(crate) struct Seat {
    /// Whoever opened the port keeps the handler.
    handler: Weak<dyn Handler>,
    /// See [`crate::inbox`].
    pub(crate) inboxes: Box<[u8]>,
    /// As an interceptor it takes nothing more for now.
    full: AtomicBool,
}

impl Seat {
    pub(crate) fn handler(&self) -> Option<Arc<dyn Handler>> {
        self.handler.upgrade()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}

/// A handler's place in an account. Dropping it ends its subscriptions.
pub struct HandlerPort {
    core: Arc<Core>,
    conn: Arc<Conn>,
}

impl std::fmt::Debug for HandlerPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerPort").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl HandlerPort {
    pub(crate) fn open(core: Arc<Core>, account: &str, name: &str, handler: Weak<dyn Handler>) -> Self {
        let mut grant = Grant::unrestricted(name);
        grant.account = account.into();
        let seat = Seat { handler, inboxes: core.inboxes.clone(), full: AtomicBool::new(false) };
        let conn = Arc::new(Conn::new(ConnParts {
            id: core.next_id(),
            kind: Kind::Handler(Box::new(seat)),
            outbox: core.handler_outbox(),
            pipe: Arc::new(Nowhere),
            account: core.account(account),
            grant: Arc::new(grant),
            features: Features::default(),
            inbox: None,
            about: About::of_this_process(name),
            max_pending_replies: 0,
        }));
        core.register(&conn);
        Self { core, conn }
    }

    /// Subscribes the handler to a pattern, in a queue group if one is named. Twice the same is once.
    ///
    /// # Errors
    /// [`LocalError::Subject`]: not a pattern.
    pub fn subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> Result<(), LocalError> {
        if !subject::valid_pattern(pattern) {
            return Err(LocalError::Subject);
        }
        self.add(Subscription::new(self.conn.clone(), pattern, queue, &tag(pattern, queue)));
        Ok(())
    }

    /// Subscribes the handler to what clients of this server publish in this account. Links do not hear of it, and what
    /// comes over them or out of other accounts passes by.
    ///
    /// # Errors
    /// [`LocalError::Subject`]: not a pattern.
    pub fn subscribe_here(&self, pattern: &[u8]) -> Result<(), LocalError> {
        if !subject::valid_pattern(pattern) {
            return Err(LocalError::Subject);
        }
        self.add(Subscription::staying(self.conn.clone(), pattern, &tag(pattern, Some(b"here"))));
        Ok(())
    }

    /// Has the handler called with what clients publish to a pattern and links would carry: what it takes does not
    /// cross, what it leaves ([`Reception::Absent`]) does. Publishers are not held for links that are down, the handler
    /// is called instead. Local subscribers get their copies as always. What comes over links, or from this port, passes.
    ///
    /// # Errors
    /// [`LocalError::Subject`]: not a pattern.
    pub fn intercept(&self, pattern: &[u8]) -> Result<(), LocalError> {
        if !subject::valid_pattern(pattern) {
            return Err(LocalError::Subject);
        }
        self.add(Subscription::interceptor(self.conn.clone(), pattern, &tag(pattern, Some(b"intercept"))));
        Ok(())
    }

    /// As an interceptor takes nothing more for now: publishers are held as for a link that is down, or go on.
    pub fn set_full(&self, full: bool) {
        let Kind::Handler(seat) = &self.conn.kind else { return };
        if seat.full.swap(full, Ordering::AcqRel) != full {
            self.conn.account.invalidate();
            self.core.release_held();
        }
    }

    /// A subject prefix of this port alone, for answers: they come back over any link.
    #[must_use]
    pub fn inbox(&self) -> Vec<u8> {
        [&*self.core.inboxes, crate::inbox::random_token(22).as_bytes(), b"."].concat()
    }

    fn add(&self, sub: Subscription) {
        let sub = Sub(Arc::new(sub));
        if let Some(old) = self.conn.subs.lock().insert(sub.clone()) {
            self.conn.account.replace(&old, &sub);
        } else {
            self.conn.account.subscribe(&sub);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, pattern: &[u8], queue: Option<&[u8]>) {
        let sub = self.conn.subs.lock().remove(&tag(pattern, queue));
        self.conn.account.unsubscribe(sub.as_slice());
    }

    /// Declares that so many bytes were taken and wait to be worked off: above 32 times [`crate::Limits::stall_at`]
    /// publishers are held.
    pub fn hold(&self, bytes: usize) {
        self.conn.outbox.hold(bytes);
    }

    /// Declares bytes worked off: publishers go on when few enough are left.
    pub fn release(&self, bytes: usize) {
        self.conn.outbox.release(bytes);
    }

    /// A way to publish in batches from here.
    #[must_use]
    pub fn outlet(&self) -> Outlet {
        Outlet::new(self.core.clone(), self.conn.clone())
    }

    /// Whether anybody but this handler is subscribed to what is published to `subject`.
    #[must_use]
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        self.conn.account.has_interest(subject, &self.conn)
    }

    /// Whether anybody waits for what is to be sent to `subject` unasked: as [`Self::has_interest`], but of the inboxes of
    /// clients behind a link only those they have subscribed to by name count, not that they have inboxes.
    #[must_use]
    pub fn is_awaited(&self, subject: &[u8]) -> bool {
        self.conn.account.is_awaited(subject, &self.conn)
    }

    /// Calls `changed` after every change of interest that concerns `subject`, until the watch is dropped. It is
    /// called in the task of whoever subscribes, so it must be quick; it asks [`Self::has_interest`] or [`Self::is_awaited`] for
    /// what is so now.
    #[must_use]
    pub fn watch(&self, subject: &[u8], changed: Arc<dyn Fn() + Send + Sync>) -> InterestWatch {
        InterestWatch::new(self.conn.account.clone(), subject, changed)
    }
}

impl Drop for HandlerPort {
    fn drop(&mut self) {
        self.core.retire(&self.conn, CloseReason::ClientClosed);
    }
}

fn tag(pattern: &[u8], queue: Option<&[u8]>) -> Vec<u8> {
    [pattern, b" ", queue.unwrap_or_default()].concat()
}
