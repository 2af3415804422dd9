//! The one evaluator of rights: asked on publish, on subscribe and on every delivery.
//!
//! # Meaning
//! A *permission* is an allow list (absent: everything) and a deny list; deny always wins. Entries are
//! subject patterns. Entries for subscribing may carry a second, queue pattern (`"orders.* workers.>"`)
//! and then speak only about members of matching queue groups:
//!
//! - a plain entry speaks about plain subscriptions and members of any queue group;
//! - where an allow entry with a queue pattern speaks about the same subject, a queue group must match one
//!   of those, even though a plain entry allows the subject (the meaning nats-server gives such lists);
//! - a deny entry with a queue pattern adds to the plain ones, it never lifts them.
//!
//! A subscription whose pattern is covered by a deny is refused. One that merely overlaps a deny is let in,
//! and [`Rights::may_deliver`] keeps the denied subjects from it.

mod entries;
mod permission;

#[cfg(test)]
mod advisory_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use permission::{Permission, PermissionError};

/// What a connection may publish and receive. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Rights {
    publish: Permission,
    subscribe: Permission,
    responses: Option<ResponseLimit>,
    /// Precomputed: whether a subscription that was let in can meet a subject it must not see.
    filters_delivery: bool,
}

/// How replies are allowed to the reply subject of a message that was delivered, although `publish` does
/// not allow that subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimit {
    /// Replies allowed per delivered message; `None` is unlimited.
    pub max: Option<u32>,
    /// How long after the delivery a reply is allowed; `None` is unlimited.
    pub ttl: Option<Duration>,
}

impl Default for ResponseLimit {
    /// One reply within two minutes, as nats-server has it.
    fn default() -> Self {
        Self { max: Some(1), ttl: Some(Duration::from_secs(120)) }
    }
}

impl Rights {
    /// Everything may be published and subscribed to.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::new(Permission::everything(), Permission::everything(), None)
    }

    /// Nothing may be published or subscribed to.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Permission::nothing(), Permission::nothing(), None)
    }

    /// Joins the parts. `responses` widens `publish` for replies; it changes nothing when `publish` allows
    /// everything (a caller that wants "replies only" passes a `publish` that allows nothing).
    #[must_use]
    pub fn new(publish: Permission, subscribe: Permission, responses: Option<ResponseLimit>) -> Self {
        let filters_delivery = subscribe.admitted_may_meet_refused();
        Self { publish, subscribe, responses, filters_delivery }
    }

    /// Whether a message may be published to `subject`. Replies under [`Rights::responses`] are the
    /// session's to count.
    #[must_use]
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        self.publish.permits_published(subject, None)
    }

    /// Whether a subscription to `pattern`, in queue group `queue`, may be made. When the answer is yes and
    /// [`Rights::filters_delivery`] too, each delivery has to be asked about.
    #[must_use]
    pub fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe.permits(pattern, queue)
    }

    /// Whether a message on the concrete `subject` may be handed to a subscription in queue group `queue`.
    #[must_use]
    pub fn may_deliver(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe.permits_published(subject, queue)
    }

    /// `false` when [`Rights::may_deliver`] holds for everything [`Rights::may_subscribe`] lets in, so that
    /// delivery need not ask.
    #[must_use]
    pub fn filters_delivery(&self) -> bool {
        self.filters_delivery
    }

    /// Whether every subject may be published to, so that publishing need not ask.
    #[must_use]
    pub fn publish_unrestricted(&self) -> bool {
        self.publish.is_everything()
    }

    /// Whether every pattern may be subscribed to.
    #[must_use]
    pub fn subscribe_unrestricted(&self) -> bool {
        self.subscribe.is_everything()
    }

    /// Whether, and how far, replies to delivered messages are allowed beyond `publish`.
    #[must_use]
    pub fn responses(&self) -> Option<ResponseLimit> {
        self.responses
    }

    /// The permission to publish, for showing it.
    #[must_use]
    pub fn publish(&self) -> &Permission {
        &self.publish
    }

    /// The permission to subscribe, for showing it.
    #[must_use]
    pub fn subscribe(&self) -> &Permission {
        &self.subscribe
    }
}
