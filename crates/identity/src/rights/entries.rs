//! The entries a permission is made of, compiled for asking.

use subject::PatternMarks;

use super::permission::PermissionError;

/// One entry: a subject pattern and perhaps a queue pattern.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) subject: Box<str>,
    pub(super) queue: Option<Box<str>>,
}

impl Entry {
    /// Reads `"subject"` or `"subject queue"`.
    pub(super) fn parse(text: &str) -> Result<Self, PermissionError> {
        let mut parts = text.split_ascii_whitespace();
        let subject = parts.next().unwrap_or_default();
        let queue = parts.next();
        if !subject::valid_pattern(subject.as_bytes()) {
            return Err(PermissionError::Subject(text.to_owned()));
        }
        let queue_valid = queue.is_none_or(|queue| subject::valid_pattern(queue.as_bytes()));
        if !queue_valid || parts.next().is_some() {
            return Err(PermissionError::Queue(text.to_owned()));
        }
        Ok(Self { subject: subject.into(), queue: queue.map(Into::into) })
    }

    /// The entry as it was written.
    pub(super) fn text(&self) -> String {
        match &self.queue {
            None => self.subject.to_string(),
            Some(queue) => format!("{} {queue}", self.subject),
        }
    }

    /// Whether every subject of `pattern` is this entry's.
    pub(super) fn covers(&self, pattern: &[u8]) -> bool {
        subject::covers(self.subject.as_bytes(), pattern)
    }

    /// Whether some subject of `pattern` is this entry's.
    fn meets(&self, pattern: &[u8]) -> bool {
        subject::overlaps(self.subject.as_bytes(), pattern)
    }

    /// Whether this deny hits some, but not necessarily all, subjects of patterns that `allow` covers.
    pub(super) fn cuts_into(&self, allow: &Self) -> bool {
        let allowed = allow.subject.as_bytes();
        subject::overlaps(self.subject.as_bytes(), allowed) && !self.covers(allowed)
    }

    /// Whether an allow's queue part holds the group `name`. A group's name need not be a valid subject: then
    /// only equality counts.
    fn queue_admits(&self, name: &[u8]) -> bool {
        self.queue.as_deref().is_some_and(|pattern| {
            let pattern = pattern.as_bytes();
            pattern == name || (subject::valid_subject(name) && subject::matches(pattern, name))
        })
    }

    /// Whether a deny's queue part holds the group `name`. An odd name does not get around a pattern here.
    fn queue_refuses(&self, name: &[u8]) -> bool {
        self.queue.as_deref().is_some_and(|pattern| {
            let pattern = pattern.as_bytes();
            pattern == name || subject::matches(pattern, name)
        })
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// Mark of a plain allow entry.
const ALLOW: u8 = 1;
/// Mark of a plain deny entry.
const DENY: u8 = 2;

/// An allow list (`None`: everything) and a deny list. Plain entries are compiled together; those with a queue
/// pattern, few, are tried one after the other.
#[derive(Default)]
pub(super) struct Entries {
    allow: Option<Vec<Entry>>,
    deny: Vec<Entry>,
    plain: PatternMarks,
    /// Whether there are entries with a queue pattern at all.
    has_queued: bool,
}

impl Entries {
    pub(super) fn new(allow: Option<Vec<Entry>>, deny: Vec<Entry>) -> Self {
        let allowed = allow.iter().flatten().map(|entry| (entry, ALLOW));
        let all = allowed.chain(deny.iter().map(|entry| (entry, DENY)));
        let plain = all.clone().filter(|(entry, _)| entry.queue.is_none());
        let plain = PatternMarks::new(plain.map(|(entry, mark)| (entry.subject.as_bytes(), mark)));
        let has_queued = all.clone().any(|(entry, _)| entry.queue.is_some());
        Self { allow, deny, plain, has_queued }
    }

    pub(super) fn allow(&self) -> Option<&[Entry]> {
        self.allow.as_deref()
    }

    pub(super) fn deny(&self) -> &[Entry] {
        &self.deny
    }

    /// Whether nothing can be refused.
    pub(super) fn is_everything(&self) -> bool {
        let all_allowed = || !self.has_queued && self.plain.of(b">", ALLOW) & ALLOW != 0;
        self.deny.is_empty() && (self.allow.is_none() || all_allowed())
    }

    /// Whether a subject, or all that a pattern stands for, is permitted, to members of a queue group if there is one.
    pub(super) fn permit(&self, text: &[u8], queue: Option<&[u8]>) -> bool {
        let marks = self.plain.of(text, DENY);
        if marks & DENY != 0 {
            return false;
        }
        let allowed = marks & ALLOW != 0 || self.allow.is_none();
        match queue {
            Some(name) if self.has_queued => {
                self.queue_allowed(text, name).unwrap_or(allowed) && !self.queue_denied(text, name)
            }
            _ => allowed,
        }
    }

    /// The same for something published. A subject may be written with wildcards, and a stream can take it for all that
    /// it stands for: so a deny of any of that counts.
    pub(super) fn permit_published(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let refused = || {
            let mut denied = self.deny.iter().filter(|entry| entry.queue.is_none());
            subject::has_wildcard(subject) && denied.any(|entry| entry.meets(subject))
        };
        self.permit(subject, queue) && (self.deny.is_empty() || !refused())
    }

    /// What allow entries with a queue pattern say; `None` where none speaks about this.
    fn queue_allowed(&self, text: &[u8], name: &[u8]) -> Option<bool> {
        let queued = self.allow.iter().flatten().filter(|entry| entry.queue.is_some());
        let mut reserved = queued.filter(|entry| entry.covers(text)).peekable();
        reserved.peek()?;
        Some(reserved.any(|entry| entry.queue_admits(name)))
    }

    fn queue_denied(&self, text: &[u8], name: &[u8]) -> bool {
        self.deny.iter().any(|entry| entry.covers(text) && entry.queue_refuses(name))
    }

    /// Whether a pattern that is permitted can hold a subject that is not.
    pub(super) fn admitted_may_meet_refused(&self) -> bool {
        let Some(allow) = &self.allow else {
            // Everything is allowed: only a deny that covers all patterns leaves nothing to filter.
            return self.deny.iter().any(|deny| !deny.covers(b">"));
        };
        // With both kinds, a group let in by a plain entry can meet a subject that a queue entry reserves for others.
        let queued = allow.iter().filter(|entry| entry.queue.is_some()).count();
        if queued > 0 && queued < allow.len() {
            return true;
        }
        allow.iter().any(|entry| self.deny.iter().any(|deny| deny.cuts_into(entry)))
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries")
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .finish_non_exhaustive()
    }
}
