//! What a leaf that has logged in here may do: it is told, and held to it.

use std::time::Instant;

use identity::{Permission, Rights};
use wire::info::SubjectPermission;

use super::gateway::reply;
use crate::conn::Conn;

/// Subjects that lead where they were asked to, whatever the rights: answers of services, acknowledgements.
const ALWAYS: [&[u8]; 2] = [b"_R_.", b"$JS.ACK."];
/// Interest that links need for themselves: loop detection, and replies that gateways route.
const OWN: [&[u8]; 3] = [b"$LDS.", b"$GR.", b"_GR_."];

/// The bounds of a leaf.
#[derive(Debug)]
pub(crate) struct Held {
    rights: Rights,
    /// What it may send, as patterns; `None` is everything.
    sends: Option<Vec<String>>,
}

impl Held {
    /// `None` where the rights set no bounds.
    pub(crate) fn new(rights: &Rights) -> Option<Self> {
        if rights.publish_unrestricted() && rights.subscribe_unrestricted() {
            return None;
        }
        Some(Self { rights: rights.clone(), sends: rights.publish().allow() })
    }

    /// Whether it may ask for `pattern`. A wildcard may reach beyond its rights: then each message is asked about.
    pub(super) fn may_ask(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        OWN.iter().any(|own| pattern.starts_with(own))
            || !subject::valid_subject(pattern)
            || self.rights.may_deliver(pattern, queue)
    }

    /// Whether it may be given a message.
    pub(crate) fn may_get(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        OWN.iter().any(|own| subject.starts_with(own)) || self.rights.may_deliver(subject, queue)
    }

    /// Whether it may send anything at all that matches `pattern`: else it need not know who wants it.
    pub(super) fn could_send(&self, pattern: &[u8]) -> bool {
        let Some(sends) = &self.sends else { return true };
        let own = || ALWAYS.iter().chain(&OWN).any(|own| pattern.starts_with(own));
        sends.iter().any(|allowed| subject::overlaps(allowed.as_bytes(), pattern)) || own()
    }

    /// Whether it may send on `subject`: by its rights, or because it was asked to answer there.
    pub(super) fn may_send(&self, subject: &[u8], conn: &Conn, now: Instant) -> bool {
        let plain = reply::split(subject).and_then(|routed| subject.get(routed.front..)).unwrap_or(subject);
        if ALWAYS.iter().any(|always| plain.starts_with(always)) || self.rights.may_publish(plain) {
            return true;
        }
        if !self.counts_answers() {
            return false;
        }
        let owed = conn.replies.owed(subject, || true, now).is_some();
        conn.replies.spend(subject);
        owed
    }

    /// Whether answers to what it is given are a right of their own.
    pub(crate) fn counts_answers(&self) -> bool {
        self.rights.responses().is_some()
    }

    /// Takes note of a message it is given, which it may answer.
    pub(crate) fn note(&self, reply: &[u8], conn: &Conn, now: Instant) {
        if !reply.is_empty() {
            let limit = self.rights.responses();
            conn.replies.note(reply, std::sync::Weak::new(), None, limit, now);
        }
    }

    /// What it may ask for, and what it may send, as it is told.
    pub(crate) fn told(rights: &Rights) -> [Option<SubjectPermission>; 2] {
        [lists(rights.subscribe()), lists(rights.publish())]
    }
}

fn lists(permission: &Permission) -> Option<SubjectPermission> {
    if permission.is_everything() {
        return None;
    }
    let allow = permission.allow();
    let nothing = allow.as_ref().is_some_and(Vec::is_empty);
    let mut deny = permission.deny();
    if nothing {
        // An empty list of what is allowed means everything.
        deny.push(">".into());
    }
    Some(SubjectPermission { allow: allow.unwrap_or_default(), deny })
}
