//! One list of permission entries, indexed for asking.

use subject::PatternSet;

use super::permission::PermissionError;

/// One entry: a subject pattern and perhaps a queue pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Whether every subject of `pattern` is this entry's.
    pub(super) fn covers(&self, pattern: &[u8]) -> bool {
        subject::covers(self.subject.as_bytes(), pattern)
    }

    /// Whether this deny hits some, but not necessarily all, subjects of patterns that `allow` covers.
    pub(super) fn cuts_into(&self, allow: &Self) -> bool {
        let allowed = allow.subject.as_bytes();
        subject::overlaps(self.subject.as_bytes(), allowed) && !self.covers(allowed)
    }

    fn holds(&self, subject: &[u8]) -> bool {
        subject::matches(self.subject.as_bytes(), subject)
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

/// A list of entries: plain ones in an index, those with a queue pattern (few) as they come.
#[derive(Default)]
pub(super) struct Entries {
    plain: PatternSet,
    queued: Vec<Entry>,
    all: Vec<Entry>,
}

impl Entries {
    pub(super) fn new(all: Vec<Entry>) -> Self {
        let (queued, plain): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|entry| entry.queue.is_some());
        Self { plain: plain.iter().map(|entry| entry.subject.as_bytes()).collect(), queued, all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.all.iter()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        let text = |entry: &Entry| match &entry.queue {
            None => entry.subject.to_string(),
            Some(queue) => format!("{} {queue}", entry.subject),
        };
        self.all.iter().map(text).collect()
    }

    /// Whether an allow list of these entries refuses nothing.
    pub(super) fn is_everything(&self) -> bool {
        self.queued.is_empty() && self.plain.covers(b">")
    }

    /// With both kinds, a group let in by a plain entry can meet a subject that a queue entry reserves for
    /// other groups.
    pub(super) fn mixes_plain_and_queued(&self) -> bool {
        !self.queued.is_empty() && self.queued.len() < self.all.len()
    }

    pub(super) fn allow_subject(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.allow(queue, || self.plain.matches(subject), |e| e.holds(subject))
    }

    pub(super) fn allow_pattern(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.allow(queue, || self.plain.covers(pattern), |e| e.covers(pattern))
    }

    pub(super) fn deny_subject(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.plain.matches(subject) || self.deny_queue(queue, |e| e.holds(subject))
    }

    pub(super) fn deny_pattern(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.plain.covers(pattern) || self.deny_queue(queue, |e| e.covers(pattern))
    }

    fn allow(&self, queue: Option<&[u8]>, plain: impl Fn() -> bool, speaks: impl Fn(&Entry) -> bool) -> bool {
        if let Some(name) = queue {
            let mut reserved = self.queued.iter().filter(|entry| speaks(entry)).peekable();
            if reserved.peek().is_some() {
                return reserved.any(|entry| entry.queue_admits(name));
            }
        }
        plain()
    }

    fn deny_queue(&self, queue: Option<&[u8]>, speaks: impl Fn(&Entry) -> bool) -> bool {
        queue.is_some_and(|name| {
            let mut denies = self.queued.iter();
            denies.any(|entry| speaks(entry) && entry.queue_refuses(name))
        })
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}
