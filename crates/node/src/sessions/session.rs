//! One live session: its facts, and the handle by which its rights are replaced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use broker::{CloseReason, Denied, Follower, NotRenewed, Renewal, SessionHandle};
use daemon::audit::{Event, Kind};
use identity::Grant;
use identity::policy::VerifiedFacts;
use identity::token::Claims;

use super::{Seen, Sessions, Sweep, Ticket};

/// A session let in on verified facts.
pub(super) struct Session {
    sessions: Arc<Sessions>,
    ticket: Ticket,
    handle: OnceLock<SessionHandle>,
    /// Held while they are judged and the rights replaced: one decision at a time, the last one stands.
    facts: Mutex<VerifiedFacts>,
    /// Until when it goes on although its token has ended, in seconds since the Unix epoch; 0 when it does not.
    grace_until: AtomicU64,
}

impl Session {
    pub(super) fn new(sessions: Arc<Sessions>, ticket: Ticket, facts: VerifiedFacts) -> Self {
        Self {
            sessions,
            ticket,
            handle: OnceLock::new(),
            facts: Mutex::new(facts),
            grace_until: AtomicU64::new(0),
        }
    }

    fn facts(&self) -> MutexGuard<'_, VerifiedFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Seen<'_>) -> T) -> Option<T> {
        let session = self.handle.get()?;
        Some(look(&Seen { session, facts: &self.facts() }))
    }

    pub(super) fn close(&self, reason: CloseReason) -> bool {
        self.handle.get().is_some_and(|handle| handle.close(reason))
    }

    /// Judges the facts by what is in force now.
    pub(super) fn reconsider(&self, sweep: &mut Sweep) {
        let (Some(judge), Some(handle)) = (self.sessions.judge(), self.handle.get()) else { return };
        let facts = self.facts();
        let Some(old) = handle.grant() else { return };
        match judge.judge(&facts) {
            Ok(mut grant) => {
                keep_auth_time(&mut grant, &old);
                self.extend(&mut grant);
                sweep.kept += 1;
                let changed = !same_rights(&grant, &old);
                let ended = handle.set_grant(Arc::new(grant));
                sweep.subscriptions += ended;
                if changed {
                    self.note(Kind::RightsChanged, handle, &old.identity, |event| {
                        event.with("ended_subscriptions", ended)
                    });
                }
            }
            Err(denied) => {
                tracing::info!(target: "audit", conn = handle.id(), identity = %old.identity, reason = denied.reason, detail = %denied.detail, "session ended");
                self.note(Kind::SessionClosed, handle, &old.identity, |event| {
                    event.reason(denied.reason).detail(&denied.detail)
                });
                sweep.closed += usize::from(handle.close(close_reason(&denied)));
            }
        }
    }

    fn note(&self, kind: Kind, handle: &SessionHandle, identity: &str, more: impl FnOnce(Event) -> Event) {
        let event = Event::new(kind).identity(identity).with("connection", handle.id());
        let address = handle.address().map(|address| address.to_string());
        self.sessions.note(more(event.with_some("address", address)));
    }

    /// Lets rights last as long as the session was given beyond the end of its token.
    fn extend(&self, grant: &mut Grant) {
        let until = self.grace_until.load(Ordering::Acquire);
        grant.expires_at = grant.expires_at.map(|end| end.max(until));
    }

    /// Begins the time a session is given beyond the end of its token, if it is; once.
    fn begin_grace(&self) -> Option<()> {
        let (judge, handle) = (self.sessions.judge()?, self.handle.get()?);
        let facts = self.facts();
        let grace = judge.grace(&facts).filter(|_| self.grace_until.load(Ordering::Acquire) == 0)?;
        let mut grant = Grant::clone(&*handle.grant()?);
        let until = grant.expires_at?.saturating_add(grace.as_secs());
        let certificate = facts.certificate.as_ref().and_then(|certificate| certificate.not_after);
        let until = certificate.map_or(until, |end| end.min(until));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if until <= now {
            return None;
        }
        self.grace_until.store(until, Ordering::Release);
        self.extend(&mut grant);
        tracing::warn!(target: "audit", conn = handle.id(), identity = %grant.identity, until, "session goes on beyond its token: its issuer can't be reached");
        handle.set_grant(Arc::new(grant));
        Some(())
    }

    /// Goes on with a fresh token, of the same subject as the one before.
    async fn renewed(&self, token: &str) -> Result<(), NotRenewed> {
        let refused = |reason, detail: &str| Err(NotRenewed { reason, detail: detail.to_owned() });
        let (Some(judge), Some(handle)) = (self.sessions.judge(), self.handle.get()) else {
            return refused("not_renewable", "nobody judges this session");
        };
        let known = self.facts().clone();
        if known.claims.is_none() {
            return refused("not_renewable", "the session was not let in on a token");
        }
        let fresh = judge.verify(token, &known).await.map_err(not_renewed)?;
        if !same_subject(known.claims.as_ref(), fresh.claims.as_ref()) {
            return refused("other_subject", "the fresh token is about somebody else");
        }
        let mut facts = self.facts();
        let grant = judge.judge(&fresh).map_err(not_renewed)?;
        let (identity, expires_at) = (Arc::clone(&grant.identity), grant.expires_at);
        *facts = fresh;
        self.grace_until.store(0, Ordering::Release);
        let ended = handle.set_grant(Arc::new(grant));
        tracing::info!(target: "audit", conn = handle.id(), %identity, expires_at, ended_subscriptions = ended, "session renewed");
        self.note(Kind::Renewal, handle, &identity, |event| {
            event.with_some("expires_at", expires_at).with("ended_subscriptions", ended)
        });
        Ok(())
    }
}

impl Follower for Session {
    fn opened(self: Arc<Self>, session: SessionHandle) {
        let id = session.id();
        if self.handle.set(session).is_err() {
            return;
        }
        self.sessions.table().insert(id, Arc::clone(&self));
        if self.sessions.ticket() != self.ticket {
            self.reconsider(&mut Sweep::default());
        }
    }

    fn closed(&self) {
        if let Some(handle) = self.handle.get() {
            self.sessions.table().remove(&handle.id());
        }
    }

    fn expired(&self) -> bool {
        let goes_on = self.begin_grace().is_some();
        if let Some(handle) = self.handle.get().filter(|_| !goes_on) {
            let grant = handle.grant();
            let identity = grant.as_ref().map(|grant| Arc::clone(&grant.identity)).unwrap_or_default();
            let end = grant.and_then(|grant| grant.expires_at);
            self.note(Kind::SessionClosed, handle, &identity, |event| {
                event.reason("expired").detail("what it was let in on has ended").with_some("expires_at", end)
            });
        }
        goes_on
    }

    fn renew(self: Arc<Self>, token: Box<str>) -> Renewal {
        Box::pin(async move {
            let outcome = self.renewed(&token).await;
            if let (Err(refused), Some(handle)) = (&outcome, self.handle.get()) {
                let identity = handle.grant().map(|grant| Arc::clone(&grant.identity)).unwrap_or_default();
                self.note(Kind::RenewalDenied, handle, &identity, |event| {
                    event.reason(refused.reason).detail(&refused.detail)
                });
            }
            outcome
        })
    }
}

/// Both name the same subject of the same issuer.
fn same_subject(known: Option<&Claims>, fresh: Option<&Claims>) -> bool {
    let (Some(known), Some(fresh)) = (known, fresh) else { return false };
    known.sub().is_some() && known.sub() == fresh.sub() && known.iss() == fresh.iss()
}

/// Whether two grants come to the same, but for when they were made.
fn same_rights(new: &Grant, old: &Grant) -> bool {
    let lists = |grant: &Grant| {
        let (publish, subscribe) = (grant.rights.publish(), grant.rights.subscribe());
        (publish.allow(), publish.deny(), subscribe.allow(), subscribe.deny(), grant.rights.responses())
    };
    (&new.roles, new.quotas, new.expires_at) == (&old.roles, old.quotas, old.expires_at)
        && lists(new) == lists(old)
}

/// When a policy changes, who somebody is has not been verified anew.
fn keep_auth_time(grant: &mut Grant, old: &Grant) {
    if let (Some(new), Some(old)) = (&mut grant.provenance, &old.provenance) {
        new.auth_time = old.auth_time;
    }
}

fn close_reason(denied: &Denied) -> CloseReason {
    if denied.reason == "revoked" { CloseReason::Revoked } else { CloseReason::RightsWithdrawn }
}

fn not_renewed(denied: Denied) -> NotRenewed {
    NotRenewed { reason: denied.reason, detail: denied.detail }
}
