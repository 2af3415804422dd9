//! Counters: streams whose messages say how much to add, and hold the sum.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::acks::Extra;
use super::batch::Staged;
use super::check::Checked;
use super::decimal::Decimal;
use super::headers::{self, Marks};
use super::ingest::Run;
use crate::errors::{ApiError, MESSAGE_COUNTER_BROKEN};

pub(crate) const SOURCES: &[u8] = b"Nats-Counter-Sources";
const INCR: &[u8] = b"Nats-Incr";

/// What a counter's message holds.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    val: String,
}

/// What was counted elsewhere: by stream and subject.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

/// A counter as it stands.
#[derive(Debug, Default, Clone)]
pub(crate) struct Standing {
    value: Decimal,
    sources: Sources,
}

impl Standing {
    /// Reads it from a stored message.
    pub(crate) fn read(block: &[u8], payload: &[u8]) -> Result<Self, ApiError> {
        let broken = || MESSAGE_COUNTER_BROKEN.err();
        let value: Value = serde_json::from_slice(payload).map_err(|_| broken())?;
        let value = Decimal::parse(value.val.as_bytes()).ok_or_else(broken)?;
        let sources = match headers::get(block, SOURCES) {
            Some(json) => serde_json::from_slice(json).map_err(|_| broken())?,
            None => Sources::new(),
        };
        Ok(Self { value, sources })
    }
}

impl Run<'_> {
    /// Replaces a message that says how much to add by one that holds the sum.
    pub(super) fn count(
        &self,
        subject: &[u8],
        marks: &Marks<'_>,
        checked: &mut Checked<'_>,
        staged: Option<&Staged>,
    ) -> Result<(), ApiError> {
        let Some(incr) = marks.incr.and_then(Decimal::parse) else { return Ok(()) };
        let mut standing = match staged.and_then(|staged| staged.counter(subject)) {
            Some(standing) => standing,
            None => self.stream.standing(subject)?,
        };
        standing.value = standing.value.plus(&incr);
        write(&standing, checked)
    }
}

impl super::Stream {
    /// The counter of a subject as it is stored.
    pub(crate) fn standing(&self, subject: &[u8]) -> Result<Standing, ApiError> {
        let last = self.log.last_seq_of(subject).map(|seq| self.log.get(seq)).transpose();
        match last.map_err(|_| MESSAGE_COUNTER_BROKEN.err())?.flatten() {
            Some(message) => Standing::read(message.headers(), message.payload()),
            None => Ok(Standing::default()),
        }
    }

    /// What a message from another counter stream becomes here: the difference to what was counted from there before
    /// is added. `origin` are that stream's name and the subject there.
    pub(crate) fn count_source<'m>(
        &self,
        subject: &[u8],
        origin: (&str, &str),
        block: &'m [u8],
        payload: &'m [u8],
    ) -> Result<Checked<'m>, ApiError> {
        let there = Standing::read(b"", payload)?.value;
        let mut standing = self.standing(subject)?;
        let known = standing.sources.entry(origin.0.to_owned()).or_default();
        let before = known.insert(origin.1.to_owned(), there.to_string()).unwrap_or_default();
        let before = Decimal::parse(before.as_bytes()).unwrap_or_default();
        let difference = there.minus(&before);
        standing.value = standing.value.plus(&difference);
        let block = headers::set(block, INCR, Some(difference.to_string().as_bytes()));
        let mut checked = Checked {
            headers: Cow::Owned(block),
            payload: Cow::Borrowed(payload),
            expires: None,
            rollup: super::check::Rollup::None,
            extra: Extra::None,
            due: None,
            ends: None,
            not_stored: None,
        };
        write(&standing, &mut checked)?;
        Ok(checked)
    }
}

fn write(standing: &Standing, checked: &mut Checked<'_>) -> Result<(), ApiError> {
    let val = standing.value.to_string();
    if !standing.sources.is_empty() {
        let json = serde_json::to_vec(&standing.sources).map_err(|_| MESSAGE_COUNTER_BROKEN.err())?;
        checked.headers = Cow::Owned(headers::set(&checked.headers, SOURCES, Some(&json)));
    }
    checked.extra = Extra::Counter(val.clone());
    checked.payload = Cow::Owned(serde_json::to_vec(&Value { val }).unwrap_or_default());
    Ok(())
}
