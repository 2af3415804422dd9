//! Subscribing and unsubscribing.

use std::borrow::Cow;
use std::sync::Arc;

use super::client::Flow;
use super::{ClientSession, reserved};
use crate::conn::SubTable;
use crate::subscription::{Sub, Subscription};

impl ClientSession {
    pub(super) fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Flow {
        if !subject::valid_pattern(subject) || queue.is_some_and(|queue| queue.len() > u16::MAX as usize) {
            self.complain(wire::text::INVALID_SUBJECT);
            return Flow::Next;
        }
        if reserved::is_reserved(subject) {
            return self.subscribe_reserved(subject, queue, sid);
        }
        let grants = self.conn.grants();
        let grant = self.conn.grant();
        let isolated = self.conn.inbox.as_ref().and_then(|space| space.isolate(subject));
        // A client's own inbox space is its right by itself.
        if isolated.is_none() && !grant.rights.may_subscribe(subject, queue) {
            self.core.counters.subscribe_denied.add(1);
            tracing::debug!(conn = self.conn.id, identity = %grant.identity, subject = %String::from_utf8_lossy(subject), "subscription denied");
            self.complain(&wire::text::subscription_violation(subject, queue));
            return Flow::Next;
        }
        let inside: Cow<'_, [u8]> = isolated.map_or(Cow::Borrowed(subject), Cow::Owned);
        let mut subs = self.conn.subs.lock();
        if subs.get(sid).is_some() {
            drop(subs);
            self.confirm_now();
            return Flow::Next;
        }
        if self.is_full(&subs, grant.quotas.subscriptions) {
            drop(subs);
            self.complain(wire::text::MAX_SUBSCRIPTIONS_EXCEEDED);
            return Flow::Next;
        }
        let sub = Sub(Arc::new(Subscription::new(self.conn.clone(), &inside, queue, sid)));
        subs.insert(sub.clone());
        drop(subs);
        self.conn.account.subscribe(&sub);
        if self.conn.grants() != grants {
            // The rights were replaced between the question and the subscription.
            self.conn.end_forbidden();
        }
        self.generation = self.conn.account.generation();
        self.confirm_now();
        Flow::Next
    }

    /// Whether the connection, or the identity with all of its connections, has as many as it may have.
    pub(super) fn is_full(&self, held: &SubTable, quota: Option<u32>) -> bool {
        let limit = self.core.limits.max_subscriptions;
        (limit != 0 && held.len() >= limit) || quota.is_some_and(|quota| held.used() >= quota as usize)
    }

    pub(super) fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>) {
        let mut subs = self.conn.subs.lock();
        let Some(sub) = subs.get(sid).cloned() else { return };
        match max {
            Some(max) if max > sub.delivered() => {
                sub.set_max(max);
                drop(subs);
                self.conn.account.invalidate();
            }
            _ => {
                subs.remove(sid);
                drop(subs);
                self.conn.account.unsubscribe(std::slice::from_ref(&sub));
            }
        }
        self.generation = self.conn.account.generation();
    }

    pub(super) fn confirm_now(&self) {
        if self.conn.features.verbose {
            self.conn.send_now(|out| out.extend_from_slice(wire::encode::OK));
        }
    }
}
