//! An allow list and a deny list, and the two questions asked of them: this subject? this whole pattern?

use std::sync::Arc;

use super::entries::{Entries, Entry};

/// An allow list (`None`: everything) and a deny list. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Permission {
    entries: Arc<Entries>,
}

/// An entry of a permission that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// The subject part is not a valid subject pattern.
    #[error("`{0}` is not a valid subject pattern")]
    Subject(String),
    /// The queue part is not a valid pattern, or there are more than two parts.
    #[error("`{0}` is not a valid \"subject queue\" entry")]
    Queue(String),
    /// A queue part where only subjects make sense.
    #[error("`{0}`: a queue group has no meaning in a publish permission")]
    QueueOnPublish(String),
}

impl Permission {
    /// Allows everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { entries: Arc::default() }
    }

    /// Allows nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { entries: Arc::new(Entries::new(Some(Vec::new()), Vec::new())) }
    }

    /// A permission to publish; every entry is one subject pattern. `allow: None` allows everything.
    ///
    /// # Errors
    /// The first entry that is not a subject pattern, or that carries a queue part.
    pub fn for_publish<S: AsRef<str>>(allow: Option<&[S]>, deny: &[S]) -> Result<Self, PermissionError> {
        Self::build(allow, deny, |text| {
            let entry = Entry::parse(text)?;
            match entry.queue {
                None => Ok(entry),
                Some(_) => Err(PermissionError::QueueOnPublish(text.to_owned())),
            }
        })
    }

    /// A permission to subscribe; entries are `"subject"` or `"subject queue"`, both of them patterns.
    /// `allow: None` allows everything.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn for_subscribe<S: AsRef<str>>(allow: Option<&[S]>, deny: &[S]) -> Result<Self, PermissionError> {
        Self::build(allow, deny, Entry::parse)
    }

    fn build<S: AsRef<str>>(
        allow: Option<&[S]>,
        deny: &[S],
        parse: impl Fn(&str) -> Result<Entry, PermissionError>,
    ) -> Result<Self, PermissionError> {
        let parse_all = |texts: &[S]| -> Result<Vec<Entry>, PermissionError> {
            texts.iter().map(|text| parse(text.as_ref())).collect()
        };
        let entries = Entries::new(allow.map(parse_all).transpose()?, parse_all(deny)?);
        Ok(Self { entries: Arc::new(entries) })
    }

    /// The allow entries as they were written; `None` means everything.
    #[must_use]
    pub fn allow(&self) -> Option<Vec<String>> {
        self.entries.allow().map(texts)
    }

    /// The deny entries as they were written.
    #[must_use]
    pub fn deny(&self) -> Vec<String> {
        texts(self.entries.deny())
    }

    /// Whether nothing can be refused.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.entries.is_everything()
    }

    /// Whether a subscription to a pattern is permitted: covered by an allow entry, not covered by a deny.
    pub(super) fn permits(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.entries.permit(pattern, queue)
    }

    /// Whether something may be published to a subject, or delivered from it.
    pub(super) fn permits_published(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.entries.permit_published(subject, queue)
    }

    /// Whether a pattern that is permitted can hold a subject that is not.
    pub(super) fn admitted_may_meet_refused(&self) -> bool {
        self.entries.admitted_may_meet_refused()
    }
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(Entry::text).collect()
}
