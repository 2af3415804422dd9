//! Live sessions with the facts they were let in on, so that what is decided later holds for them, too.
//!
//! Every session let in through [`Sessions::admit`] keeps its verified facts. When a policy, a key, a revocation list
//! or a role changes, [`Sessions::reconsider`] has all of them judged again: rights are swapped, or the session ends.
//! A session that was being let in meanwhile is judged again as soon as it begins, so that none slips through.

mod certificates;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use broker::{Admission, CloseReason, Denied, SessionHandle};
use daemon::audit::{Audit, Event};
use identity::Grant;
use identity::policy::VerifiedFacts;

pub use self::certificates::CertificateGuard;
use self::session::Session;

/// Says what facts are worth, now.
pub trait Judge: Send + Sync + 'static {
    /// Decides about facts verified earlier. Waits for nothing.
    ///
    /// # Errors
    /// They are worth nothing any more. The reason `revoked` is told to the client as such.
    fn judge(&self, facts: &VerifiedFacts) -> Result<Grant, Denied>;

    /// How long a session whose token has ended may go on, because nobody can give its client a fresh one now.
    fn grace(&self, facts: &VerifiedFacts) -> Option<Duration> {
        let _ = facts;
        None
    }

    /// Verifies a fresh token shown on a session that was let in on `known`; the answer holds all facts the session
    /// has from then on.
    fn verify<'a>(&'a self, token: &'a str, known: &'a VerifiedFacts) -> Verification<'a>;
}

/// What [`Judge::verify`] answers with.
pub type Verification<'a> = Pin<Box<dyn Future<Output = Result<VerifiedFacts, Denied>> + Send + 'a>>;

/// The moment a login was begun, as [`Sessions::reconsider`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of the sessions that were judged again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Sessions that go on, with the rights of now.
    pub kept: usize,
    /// Subscriptions of theirs that ended.
    pub subscriptions: usize,
    /// Sessions that were ended.
    pub closed: usize,
    /// How long it took.
    pub took: Duration,
}

/// One live session, for whoever looks for it.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its connection.
    pub session: &'a SessionHandle,
    /// What it was let in on.
    pub facts: &'a VerifiedFacts,
}

/// All live sessions that were let in on verified facts.
#[derive(Default)]
pub struct Sessions {
    judge: OnceLock<Weak<dyn Judge>>,
    audit: OnceLock<Audit>,
    table: Mutex<HashMap<u64, Arc<Session>>>,
    /// Counts what all sessions have been judged for.
    epoch: AtomicU64,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("live", &self.len()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// No sessions yet, and nobody who judges them.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Names who judges; the first one stands. It is not kept alive.
    pub fn judged_by<J: Judge>(&self, judge: &Arc<J>) {
        let weak = Arc::downgrade(judge);
        self.judge.get_or_init(|| weak);
    }

    /// Names where it is written down what becomes of sessions; the first one stands.
    pub fn audited_by(&self, audit: &Audit) {
        self.audit.get_or_init(|| audit.clone());
    }

    fn note(&self, event: Event) {
        if let Some(audit) = self.audit.get() {
            audit.note(event);
        }
    }

    /// To be taken before a login is looked at.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket(self.epoch.load(Ordering::SeqCst))
    }

    /// Lets somebody in whose facts were judged after `ticket` was taken.
    #[must_use]
    pub fn admit(self: &Arc<Self>, ticket: Ticket, facts: VerifiedFacts, grant: Arc<Grant>) -> Admission {
        let session = Session::new(Arc::clone(self), ticket, facts);
        Admission { grant, follower: Some(Arc::new(session)) }
    }

    /// Has every live session judged again; to be called after what the judge goes by has been replaced. When it
    /// returns, no session has a right that the judge does not give it.
    pub fn reconsider(&self) -> Sweep {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let start = Instant::now();
        let mut sweep = Sweep::default();
        for session in self.snapshot() {
            session.reconsider(&mut sweep);
        }
        sweep.took = start.elapsed();
        sweep
    }

    /// Ends every session `which` picks; returns how many.
    pub fn close_where(&self, reason: CloseReason, mut which: impl FnMut(&Seen<'_>) -> bool) -> usize {
        let mut closed = 0;
        for session in self.snapshot() {
            let picked = session.look(&mut which) == Some(true);
            closed += usize::from(picked && session.close(reason));
        }
        closed
    }

    /// Looks at every live session, in no order.
    pub fn for_each(&self, mut look: impl FnMut(&Seen<'_>)) {
        for session in self.snapshot() {
            session.look(&mut look);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    fn judge(&self) -> Option<Arc<dyn Judge>> {
        self.judge.get()?.upgrade()
    }

    fn snapshot(&self) -> Vec<Arc<Session>> {
        self.table().values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
