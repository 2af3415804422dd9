//! What a published message may ask for, and what is made of it before it is stored.

use std::borrow::Cow;

use super::acks::Extra;
use super::batch::Staged;
use super::headers::{self, Marks};
use super::ingest::Run;
use super::ttl::{self, Ttl};
use crate::config::SECOND;
use crate::errors::{self as e, ApiError};

/// What a message replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollup {
    /// Nothing.
    None,
    /// Everything of its subject.
    Subject,
    /// Everything in the stream.
    All,
}

/// A message as it is to be stored.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) headers: Cow<'a, [u8]>,
    pub(crate) payload: Cow<'a, [u8]>,
    /// ns since 1970.
    pub(crate) expires: Option<u64>,
    pub(crate) rollup: Rollup,
    pub(crate) extra: Extra,
    /// When a scheduled message is to be sent, ns since 1970.
    pub(crate) due: Option<i64>,
    /// The schedule that ends with this message.
    pub(crate) ends: Option<Vec<u8>>,
    /// Why it can not be stored: said last, and not of a message that nobody wants.
    pub(crate) not_stored: Option<ApiError>,
}

impl Run<'_> {
    /// Checks everything a message asks for but its id. `staged`: messages of the same batch before it.
    pub(super) fn check<'m>(
        &mut self,
        subject: &[u8],
        block: &'m [u8],
        payload: &'m [u8],
        marks: &Marks<'_>,
        staged: Option<&Staged>,
    ) -> Result<Checked<'m>, ApiError> {
        let mut checked = Checked {
            headers: Cow::Borrowed(block),
            payload: Cow::Borrowed(payload),
            expires: None,
            rollup: Rollup::None,
            extra: Extra::None,
            due: None,
            ends: None,
            not_stored: None,
        };
        if marks.client_info.is_some() {
            checked.headers = Cow::Owned(headers::set(block, b"Nats-Request-Info", None));
        }
        // First of all, as nats-server does: what is too big is refused for that, whatever else it asks.
        self.fits(block.len(), payload.len())?;
        self.may_count(marks, payload)?;
        if marks.expected_stream.is_some_and(|name| !name.is_empty() && *name != *self.config.name.as_bytes())
        {
            return Err(e::STREAM_NOT_MATCH.err());
        }
        let ttl = marks.ttl.map(ttl::parse);
        if matches!(ttl, Some(Ok(Some(_)))) && !self.config.allow_msg_ttl {
            return Err(e::MESSAGE_TTL_DISABLED.err());
        }
        self.expects_sequences(subject, marks, staged)?;
        if !self.trusted {
            self.schedules(subject, marks, &mut checked)?;
            if marks.stream_source.is_some_and(|source| !source.is_empty()) {
                return Err(e::MESSAGE_SOURCE_HDR_NOT_ALLOWED.err());
            }
        }
        checked.rollup = self.rolls_up(marks, checked.rollup)?;
        if self.config.allow_msg_counter {
            self.count(subject, marks, &mut checked, staged)?;
        }
        self.fits(checked.headers.len(), checked.payload.len())?;
        match ttl {
            Some(Ok(ttl)) => self.lives(ttl, &mut checked),
            Some(Err(error)) => checked.not_stored = Some(error),
            None => {}
        }
        Ok(checked)
    }

    fn may_count(&self, marks: &Marks<'_>, payload: &[u8]) -> Result<(), ApiError> {
        let Some(incr) = marks.incr.filter(|incr| !incr.is_empty()) else {
            return if self.config.allow_msg_counter { Err(e::MESSAGE_INCR_MISSING.err()) } else { Ok(()) };
        };
        if super::decimal::Decimal::parse(incr).is_none() {
            return Err(e::MESSAGE_INCR_INVALID.err());
        }
        if !self.config.allow_msg_counter {
            return Err(e::MESSAGE_INCR_DISABLED.err());
        }
        if !payload.is_empty() {
            return Err(e::MESSAGE_INCR_PAYLOAD.err());
        }
        let mixed = [
            marks.rollup,
            marks.expected_stream,
            marks.expected_last_msg_id,
            marks.expected_last_subject_seq_subject,
            marks.expected_last_seq,
            marks.expected_last_subject_seq,
        ];
        if mixed.iter().flatten().any(|value| !value.is_empty()) {
            return Err(e::MESSAGE_INCR_INVALID.err());
        }
        Ok(())
    }

    fn expects_sequences(
        &self,
        subject: &[u8],
        marks: &Marks<'_>,
        staged: Option<&Staged>,
    ) -> Result<(), ApiError> {
        let about = marks.expected_last_subject_seq_subject.filter(|subject| !subject.is_empty());
        if let Some(text) = marks.expected_last_subject_seq.filter(|text| !text.is_empty()) {
            let expected = headers::number(text).unwrap_or(u64::MAX);
            let about = about.unwrap_or(subject);
            if let Some(staged) = staged {
                staged.may_expect(about, expected)?;
            }
            let last = self.last_of(about);
            if last != expected {
                return Err(e::STREAM_WRONG_LAST_SEQUENCE.with(last));
            }
        } else if about.is_some() {
            return Err(e::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.err());
        }
        if let Some(text) = marks.expected_last_seq.filter(|text| !text.is_empty()) {
            let before = staged.map_or(0, Staged::len) as u64;
            let last = self.stream.log.last_seq() + before;
            if headers::number(text) != Some(last) {
                return Err(e::STREAM_WRONG_LAST_SEQUENCE.with(last));
            }
            // Within a batch only its first message can say anything about what is stored.
            if before > 0 {
                return Err(e::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.err());
            }
        }
        Ok(())
    }

    /// Sequence of the newest message of a subject, or of those a pattern matches; 0 when there is none.
    fn last_of(&self, about: &[u8]) -> u64 {
        let found = if subject::has_wildcard(about) {
            self.stream.log.last_seq_among(&store::Filter::new([about]))
        } else {
            self.stream.log.last_seq_of(about)
        };
        found.unwrap_or(0)
    }

    /// Checks `Nats-Expected-Last-Msg-Id`.
    pub(super) fn expects_last_id(&mut self, marks: &Marks<'_>) -> Result<(), ApiError> {
        let Some(expected) = marks.expected_last_msg_id.filter(|id| !id.is_empty()) else { return Ok(()) };
        self.stream.load_ids(self.ingest, self.config, self.now);
        let last = self.ingest.dedupe.last();
        if last == expected {
            return Ok(());
        }
        Err(e::STREAM_WRONG_LAST_MSG_ID.with(String::from_utf8_lossy(last)))
    }

    fn rolls_up(&self, marks: &Marks<'_>, implied: Rollup) -> Result<Rollup, ApiError> {
        let Some(value) = marks.rollup.filter(|value| !value.is_empty()) else { return Ok(implied) };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(e::STREAM_ROLLUP_FAILED.with("rollup not permitted"));
        }
        if value.eq_ignore_ascii_case(b"sub") {
            Ok(Rollup::Subject)
        } else if value.eq_ignore_ascii_case(b"all") {
            Ok(Rollup::All)
        } else {
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            Err(e::STREAM_ROLLUP_FAILED.with(format_args!("rollup value invalid: {value:?}")))
        }
    }

    /// When the message goes. With delete markers a message lives at least as long as a marker would, so that none is
    /// overtaken by an older one.
    fn lives(&self, ttl: Option<Ttl>, checked: &mut Checked<'_>) {
        let Some(Ttl::Seconds(mut seconds)) = ttl else { return };
        let least = u64::try_from(self.config.subject_delete_marker_ttl / SECOND).unwrap_or(0);
        if seconds < least && self.config.max_msgs_per_subject != 1 {
            seconds = least;
            let value = seconds.to_string();
            checked.headers = Cow::Owned(headers::set(&checked.headers, b"Nats-TTL", Some(value.as_bytes())));
        }
        let nanos = seconds.saturating_mul(SECOND.unsigned_abs());
        checked.expires = Some(self.now.0.unsigned_abs().saturating_add(nanos));
    }
}
