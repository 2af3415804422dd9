//! One entry of the interest index: who wants which subject, and under which name he gets it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use std::time::Instant;

use smallvec::SmallVec;

use crate::conn::{Conn, Kind};

/// The rule number of interceptors.
const INTERCEPTS: u16 = 1;
/// The rule number of what a handler wants from clients of this server alone.
const STAYS: u16 = 2;

/// A subscription. Kept small: a busy server holds millions (96 bytes, counters of the handle included).
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) conn: Arc<Conn>,
    /// `subject queue tag` without separators; the lengths below cut it.
    /// Short ones lie in place: one step less through memory for every look at the index.
    text: SmallVec<[u8; 32]>,
    subject_len: u32,
    queue_len: u16,
    /// For a link: which of its crossing rules made this entry. For a handler: see [`Self::intercepts`].
    pub(crate) rule: u16,
    /// How many members a queue entry of a link stands for.
    weight: u32,
    /// When it was made, as [`now`] counts.
    pub(crate) born: u32,
    /// Messages to deliver in all before it ends by itself; 0 is no end.
    max: AtomicU64,
    delivered: AtomicU64,
}

impl Subscription {
    /// `tag` is the client's subscription id; for a link, the pattern as the other side knows it.
    pub(crate) fn new(conn: Arc<Conn>, subject: &[u8], queue: Option<&[u8]>, tag: &[u8]) -> Self {
        Self::for_link(conn, subject, queue, tag, 0, 1)
    }

    pub(crate) fn for_link(
        conn: Arc<Conn>,
        subject: &[u8],
        queue: Option<&[u8]>,
        tag: &[u8],
        rule: u16,
        weight: u32,
    ) -> Self {
        let queue = queue.unwrap_or_default();
        let mut text = SmallVec::with_capacity(subject.len() + queue.len() + tag.len());
        [subject, queue, tag].into_iter().for_each(|part| text.extend_from_slice(part));
        Self {
            conn,
            text,
            // Control lines are bounded far below these widths; a longer queue name is refused at parse.
            subject_len: u32::try_from(subject.len()).unwrap_or(u32::MAX),
            queue_len: u16::try_from(queue.len()).unwrap_or(u16::MAX),
            rule,
            weight,
            born: now(),
            max: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// A handler's that is asked before the links (see [`crate::HandlerPort::intercept`]).
    pub(crate) fn interceptor(conn: Arc<Conn>, subject: &[u8], tag: &[u8]) -> Self {
        Self::for_link(conn, subject, None, tag, INTERCEPTS, 1)
    }

    /// Whether this handler takes messages on their way to the links.
    pub(crate) fn intercepts(&self) -> bool {
        self.rule == INTERCEPTS && matches!(self.conn.kind, Kind::Handler(_))
    }

    /// A handler's that links do not hear of (see [`crate::HandlerPort::subscribe_here`]).
    pub(crate) fn staying(conn: Arc<Conn>, subject: &[u8], tag: &[u8]) -> Self {
        Self::for_link(conn, subject, None, tag, STAYS, 1)
    }

    /// Whether this handler is there for this server's own clients only.
    pub(crate) fn stays(&self) -> bool {
        self.rule == STAYS && matches!(self.conn.kind, Kind::Handler(_))
    }

    pub(crate) fn subject(&self) -> &[u8] {
        self.text.get(..self.subject_len as usize).unwrap_or_default()
    }

    pub(crate) fn queue(&self) -> Option<&[u8]> {
        let at = self.subject_len as usize;
        (self.queue_len > 0).then(|| self.text.get(at..at + self.queue_len as usize).unwrap_or_default())
    }

    /// The client's subscription id, or a link's own pattern.
    pub(crate) fn tag(&self) -> &[u8] {
        self.text.get(self.subject_len as usize + self.queue_len as usize..).unwrap_or_default()
    }

    /// Of a link's tag (`pattern queue rule`): the pattern as the other side knows it.
    pub(crate) fn tag_pattern(&self) -> &[u8] {
        self.tag().split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }

    pub(crate) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.max.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, messages: usize) {
        self.delivered.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Claims one delivery of a limited subscription; `Spent` when there is none left.
    pub(crate) fn claim(&self) -> Claim {
        let max = self.max.load(Ordering::Relaxed);
        let before = self.delivered.fetch_add(1, Ordering::Relaxed);
        match max {
            0 => Claim::More,
            _ if before + 1 < max => Claim::More,
            _ if before + 1 == max => Claim::Last,
            _ => Claim::Spent,
        }
    }

    /// Whether a limited subscription has had all it asked for.
    pub(crate) fn is_spent(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        max != 0 && self.delivered() >= max
    }
}

/// Tenths of a second since the process first asked, and one more: 0 is never.
pub(crate) fn now() -> u32 {
    static START: OnceLock<Instant> = OnceLock::new();
    let tenths = START.get_or_init(Instant::now).elapsed().as_millis() / 100;
    u32::try_from(tenths).unwrap_or(u32::MAX).saturating_add(1)
}

/// The answer to [`Subscription::claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Deliver; more may follow.
    More,
    /// Deliver, then drop the subscription.
    Last,
    /// Nothing left to deliver.
    Spent,
}

/// Shared handle, the element of the interest index.
#[derive(Debug, Clone)]
pub(crate) struct Sub(pub(crate) Arc<Subscription>);

impl std::ops::Deref for Sub {
    type Target = Subscription;
    fn deref(&self) -> &Subscription {
        &self.0
    }
}

impl subject::Entry for Sub {
    fn subject(&self) -> &[u8] {
        self.0.subject()
    }

    fn queue(&self) -> Option<&[u8]> {
        self.0.queue()
    }

    fn id(&self) -> u64 {
        Arc::as_ptr(&self.0) as usize as u64
    }

    fn weight(&self) -> u32 {
        self.0.weight
    }
}
