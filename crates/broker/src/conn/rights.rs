//! The rights of a connection while it lives: replaced, taken away, and what follows for its subscriptions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use identity::{Grant, Rights};

use super::{CloseReason, Conn};
use crate::follow::{Follower, SessionHandle};
use crate::outbox::Load;
use crate::session::reserved;
use crate::subscription::Sub;

/// What is asked of rights for every message, of those a connection began with: while they are not replaced, they need
/// not be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    filters_delivery: bool,
    answers: bool,
}

impl First {
    pub(super) fn of(rights: &Rights) -> Self {
        Self { filters_delivery: rights.filters_delivery(), answers: rights.responses().is_some() }
    }
}

impl Conn {
    /// The rights as of now.
    pub(crate) fn grant(&self) -> arc_swap::Guard<Arc<Grant>> {
        self.grant.load()
    }

    /// How often the rights were replaced.
    pub(crate) fn grants(&self) -> u32 {
        self.grants.load(Ordering::Acquire)
    }

    /// Whether a subscription that was let in may meet what it must not be given: let in by earlier rights, it may.
    pub(crate) fn filters_delivery(&self) -> bool {
        self.first.filters_delivery || self.grants() > 0
    }

    /// Whether it may answer what it is given, wherever it may publish.
    pub(crate) fn answers_by_right(&self) -> bool {
        if self.grants() == 0 { self.first.answers } else { self.grant().rights.responses().is_some() }
    }

    /// Hands the connection to who decides about its rights from now on.
    pub(crate) fn follow(self: &Arc<Self>, follower: Arc<dyn Follower>) {
        let follower = self.follower.get_or_init(|| follower);
        Arc::clone(follower).opened(SessionHandle::new(self));
    }

    /// Replaces the rights: every cached routing decision is taken anew, and what they no longer allow ends.
    /// Returns how many subscriptions did.
    pub(crate) fn set_grant(&self, grant: Arc<Grant>) -> usize {
        self.store_grant(grant);
        let ended = self.end_forbidden();
        self.outbox.wake_owner();
        ended
    }

    /// Counts this connection for its identity, where its quotas ask for it. `false` when the identity has as many
    /// connections as it may have without this one.
    pub(crate) fn count_use(&self, grant: &Grant) -> bool {
        if self.usage.get().is_none()
            && let Some(usage) = self.account.usages.of(grant, Instant::now())
        {
            let mut subs = self.subs.lock();
            if self.usage.set(usage.clone()).is_ok() {
                usage.connect();
                subs.count_for(&usage);
            }
        }
        let most = grant.quotas.connections.unwrap_or(u32::MAX);
        self.usage.get().is_none_or(|usage| usage.connections() <= most)
    }

    fn store_grant(&self, grant: Arc<Grant>) {
        // Fewer connections than there are: those that are there stay.
        self.count_use(&grant);
        self.grant.store(grant);
        self.grants.fetch_add(1, Ordering::Release);
        self.account.rights_changed();
    }

    /// Ends the connection and takes everything from it at once, not only when its task gets to it.
    /// `false` when it was about to end anyway.
    pub(crate) fn cut_off(&self, reason: CloseReason) -> bool {
        let mut nothing = Grant::clone(&self.grant());
        nothing.rights = Rights::none();
        self.store_grant(Arc::new(nothing));
        let subs = self.subs.lock().take_all();
        self.account.unsubscribe(&subs);
        self.request_close(reason)
    }

    /// Ends subscriptions the rights do not allow, and says so.
    pub(crate) fn end_forbidden(&self) -> usize {
        let ended: Vec<Sub> = {
            let mut subs = self.subs.lock();
            let grant = self.grant();
            let forbidden: Vec<Sub> =
                subs.iter().filter(|sub| !self.may_keep(&grant, sub)).cloned().collect();
            forbidden.iter().for_each(|sub| drop(subs.remove(sub.tag())));
            forbidden
        };
        self.account.unsubscribe(&ended);
        for sub in ended.iter().filter(|_| self.is_client()) {
            let text = wire::text::subscription_violation(sub.subject(), sub.queue());
            self.send_now(|out| wire::encode::error_line(out, &text));
        }
        ended.len()
    }

    fn may_keep(&self, grant: &Grant, sub: &Sub) -> bool {
        let own_inbox = self.inbox.as_ref().is_some_and(|space| sub.subject().starts_with(space.own()));
        own_inbox
            || reserved::is_reserved(sub.subject())
            || grant.rights.may_subscribe(sub.subject(), sub.queue())
    }

    /// Sends a message from the server itself to this client: on its own subscriptions to `subject`, as the client
    /// knows it. `false` when it has none.
    pub(crate) fn tell(&self, subject: &[u8], payload: &[u8]) -> bool {
        let isolated = self.inbox.as_ref().and_then(|space| space.isolate(subject));
        let inside = isolated.as_deref().unwrap_or(subject);
        let heard = |sub: &&Sub| {
            let named = !reserved::is_reserved(inside) || reserved::is_reserved(sub.subject());
            named && !sub.is_spent() && subject::matches(sub.subject(), inside)
        };
        let subs: Vec<Sub> = self.subs.lock().iter().filter(heard).cloned().collect();
        for sub in &subs {
            sub.count(1);
            let load = Load { messages: 1, payload: payload.len() };
            let appended = self.append(load, |out| {
                wire::encode::message_prefix(out, subject, sub.tag());
                wire::encode::message_tail(out, b"", None, payload);
            });
            if appended == crate::outbox::Appended::Flush {
                self.flush();
            }
        }
        !subs.is_empty()
    }
}
