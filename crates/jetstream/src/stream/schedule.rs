//! Messages that are sent later: `Nats-Schedule` and its like.

use std::borrow::Cow;
use std::collections::BTreeMap;

use broker::Message;
use store::Filter;

use super::check::{Checked, Rollup};
use super::headers::{self, Marks};
use super::ingest::Run;
use super::retain::{AT_ONCE, BYTES_AT_ONCE};
use super::zone::Zone;
use super::{Stream, ttl};
use crate::config::SECOND;
use crate::errors::{self as e, ApiError};
use crate::stamp::Stamp;

/// The schedules of a stream: by subject, the message that says it and when it is due.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    by_subject: BTreeMap<Vec<u8>, (u64, i64)>,
}

impl Schedules {
    /// When the next one is due; `i64::MAX` without any.
    pub(crate) fn next(&self) -> i64 {
        self.by_subject.values().map(|(_, due)| *due).min().unwrap_or(i64::MAX)
    }
}

/// The zone a schedule names, if it names one.
fn zone(name: Option<&[u8]>) -> Result<Option<Zone>, ApiError> {
    let known = |name| Zone::named(name).ok_or_else(|| e::MESSAGE_SCHEDULES_TIME_ZONE_INVALID.err());
    name.map(known).transpose()
}

/// When the schedule of a stored message is due next.
fn following(marks: &Marks<'_>, last: Stamp, now: Stamp) -> Option<(i64, bool)> {
    next(marks.schedule?, zone(marks.schedule_zone).ok()?.as_ref(), last, now)
}

/// When a schedule is due next, after `now`, and whether it goes on after that. `None`: it can't be read.
fn next(pattern: &[u8], zone: Option<&Zone>, last: Stamp, now: Stamp) -> Option<(i64, bool)> {
    let pattern = std::str::from_utf8(pattern).ok()?;
    if let Some(at) = pattern.strip_prefix("@at ") {
        return zone.is_none().then(|| Stamp::parse(at).map(|at| (at.0, false)))?;
    }
    if let Some(every) = pattern.strip_prefix("@every ") {
        let every = crate::duration::parse_go(every).filter(|every| *every >= SECOND && zone.is_none())?;
        let rounded = |at: i64| at.saturating_add(SECOND / 2).div_euclid(SECOND) * SECOND;
        let due = rounded(last.0).saturating_add(every);
        return Some((if due < now.0 { rounded(now.0).saturating_add(every) } else { due }, true));
    }
    super::cron::next(pattern, zone, last.0.max(now.0 - SECOND)).map(|due| (due, true))
}

impl Run<'_> {
    /// Checks what a message says of sending later.
    pub(super) fn schedules(
        &self,
        subject: &[u8],
        marks: &Marks<'_>,
        checked: &mut Checked<'_>,
    ) -> Result<(), ApiError> {
        let zone = zone(marks.schedule_zone)?;
        if let Some(pattern) = marks.schedule.filter(|pattern| !pattern.is_empty()) {
            self.scheduled(subject, (pattern, zone.as_ref()), marks, checked)?;
        }
        let invalid = || e::MESSAGE_SCHEDULES_SCHEDULER_INVALID.err();
        match marks.schedule_next.filter(|next| !next.is_empty()) {
            None => {
                if marks.scheduler.is_some_and(|scheduler| !scheduler.is_empty()) {
                    return Err(invalid());
                }
            }
            Some(b"purge") => {
                let scheduler = marks.scheduler.unwrap_or_default();
                if scheduler == subject || !subject::valid_subject(scheduler) {
                    return Err(invalid());
                }
                if !self.config.allow_msg_schedules {
                    return Err(e::MESSAGE_SCHEDULES_DISABLED.err());
                }
                if !self.stream.may_be_schedule(scheduler) {
                    return Err(invalid());
                }
                checked.ends = Some(scheduler.to_vec());
            }
            Some(_) => return Err(invalid()),
        }
        Ok(())
    }

    fn scheduled(
        &self,
        subject: &[u8],
        (pattern, zone): (&[u8], Option<&Zone>),
        marks: &Marks<'_>,
        checked: &mut Checked<'_>,
    ) -> Result<(), ApiError> {
        if !self.config.allow_msg_schedules {
            return Err(e::MESSAGE_SCHEDULES_DISABLED.err());
        }
        let (due, _) = next(pattern, zone, self.now, self.now)
            .ok_or_else(|| e::MESSAGE_SCHEDULES_PATTERN_INVALID.err())?;
        if let Some(text) = marks.schedule_ttl.filter(|text| !text.is_empty()) {
            ttl::parse(text).map_err(|_| e::MESSAGE_SCHEDULES_TTL_INVALID.err())?;
            if !self.config.allow_msg_ttl {
                return Err(e::MESSAGE_TTL_DISABLED.err());
            }
        }
        if marks.schedule_rollup.is_some_and(|rollup| !rollup.is_empty() && rollup != b"sub") {
            return Err(e::MESSAGE_SCHEDULES_ROLLUP_INVALID.err());
        }
        let target = marks.schedule_target.unwrap_or_default();
        if target == subject || !self.is_own(target) {
            return Err(e::MESSAGE_SCHEDULES_TARGET_INVALID.err());
        }
        if let Some(source) = marks.schedule_source.filter(|source| !source.is_empty())
            && (source == target || source == subject || !self.is_own(source))
        {
            return Err(e::MESSAGE_SCHEDULES_SOURCE_INVALID.err());
        }
        // Of each schedule there is one message.
        match marks.rollup {
            None | Some(b"") => {
                let block = headers::set(&checked.headers, b"Nats-Rollup", Some(b"sub"));
                checked.headers = Cow::Owned(block);
                checked.rollup = Rollup::Subject;
            }
            Some(value) if value.eq_ignore_ascii_case(b"sub") => {}
            Some(_) => return Err(e::MESSAGE_SCHEDULES_ROLLUP_INVALID.err()),
        }
        checked.due = Some(due);
        Ok(())
    }

    /// Whether this stream stores messages of a subject.
    fn is_own(&self, subject: &[u8]) -> bool {
        subject::valid_subject(subject)
            && self.config.subjects.iter().any(|own| subject::matches(own.as_bytes(), subject))
    }
}

impl Stream {
    /// Whether the newest message of a subject is a schedule, or there is none.
    fn may_be_schedule(&self, subject: &[u8]) -> bool {
        match self.log.last(&Filter::new([subject])) {
            Ok(Some(message)) => headers::get(message.headers(), b"Nats-Schedule").is_some(),
            _ => true,
        }
    }

    /// Takes note of a stored message: it may begin a schedule, or end one.
    pub(super) fn schedule(&self, subject: &[u8], checked: &Checked<'_>, sequence: u64) {
        if let Some(expires) = checked.expires {
            self.may_expire(expires);
        }
        if checked.due.is_none() && checked.ends.is_none() {
            return;
        }
        if let Some(due) = checked.due {
            self.schedules.lock().by_subject.insert(subject.to_vec(), (sequence, due));
        }
        if let Some(ended) = &checked.ends {
            self.end_schedule(ended);
        }
        self.wake_timers();
    }

    fn end_schedule(&self, subject: &[u8]) {
        let known = self.schedules.lock().by_subject.remove(subject);
        if let Some((sequence, _)) = known
            && self.log.delete(sequence, store::Erase::No).is_ok_and(|gone| gone.is_some())
        {
            self.note_usage();
            self.messages_went();
        }
    }

    pub(super) fn wake_timers(&self) {
        if let Some(hub) = self.account().and_then(|account| account.hub()) {
            hub.timers.notify_one();
        }
    }

    /// Finds the schedules an earlier process has left.
    pub(super) fn find_schedules(&self) {
        let now = self.now();
        let (mut from, last) = (0, self.log.last_seq());
        while from <= last {
            let Ok(scan) = self.log.scan(&Filter::all(), from, last, AT_ONCE, BYTES_AT_ONCE) else { return };
            for message in &scan.messages {
                let marks = Marks::read(message.headers());
                let stored = Stamp(message.time.cast_signed());
                if let Some((due, _)) = following(&marks, stored, now) {
                    let mut schedules = self.schedules.lock();
                    schedules.by_subject.insert(message.subject().to_vec(), (message.seq, due));
                }
            }
            from = scan.next;
        }
    }

    /// Stores what is due.
    pub(super) fn send_scheduled(&self, now: Stamp, out: &mut broker::Outlet) {
        let due: Vec<(Vec<u8>, u64, i64)> = {
            let schedules = self.schedules.lock();
            let due = schedules.by_subject.iter().filter(|(_, (_, due))| *due <= now.0);
            due.map(|(subject, (sequence, at))| (subject.clone(), *sequence, *at)).collect()
        };
        for (subject, sequence, at) in due {
            self.send_one(&subject, sequence, Stamp(at), now, out);
        }
    }

    fn send_one(&self, subject: &[u8], sequence: u64, at: Stamp, now: Stamp, out: &mut broker::Outlet) {
        let Ok(Some(message)) = self.log.get(sequence) else {
            self.schedules.lock().by_subject.remove(subject);
            return;
        };
        let marks = Marks::read(message.headers());
        let Some(((due, repeats), target)) = following(&marks, at, now).zip(marks.schedule_target) else {
            self.schedules.lock().by_subject.remove(subject);
            return;
        };
        let source = marks.schedule_source.filter(|source| !source.is_empty());
        let source = source.and_then(|source| self.log.last(&Filter::new([source])).ok().flatten());
        let content = source.as_ref().unwrap_or(&message);
        let zone = marks.schedule_zone.and_then(Zone::named);
        let shown = zone.map_or_else(|| Stamp(due).to_string(), |zone| zone.shown(Stamp(due)));
        let next = if repeats { shown } else { "purge".to_owned() };
        let block = sent_headers(content.headers(), subject, &next, &marks);
        if repeats {
            self.schedules.lock().by_subject.insert(subject.to_vec(), (sequence, due));
        }
        let sent = Message { reply: b"", headers: &block, payload: content.payload() };
        self.publish_own(target, sent, now, out);
        if !repeats {
            self.end_schedule(subject);
        }
    }
}

/// The headers of the message that is sent, made of those of its schedule.
fn sent_headers(block: &[u8], schedule: &[u8], next: &str, marks: &Marks<'_>) -> Vec<u8> {
    let mut out = b"NATS/1.0\r\n".to_vec();
    let dropped = |line: &[u8]| {
        let prefixes =
            [&b"Nats-Schedule"[..], b"Nats-Expected-", b"Nats-Msg-Id:", b"Nats-TTL:", b"Nats-Rollup:"];
        prefixes.iter().any(|prefix| line.starts_with(prefix))
    };
    for line in block.split_inclusive(|byte| *byte == b'\n').skip(1) {
        if line != b"\r\n" && !dropped(line) {
            out.extend_from_slice(line);
        }
    }
    let optional = |value: Option<&[u8]>| value.filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
    let added = [
        (&b"Nats-Scheduler"[..], Some(schedule.to_vec())),
        (b"Nats-Schedule-Next", Some(next.as_bytes().to_vec())),
        (b"Nats-TTL", optional(marks.schedule_ttl)),
        (b"Nats-Rollup", optional(marks.schedule_rollup)),
    ];
    for (name, value) in added {
        if let Some(value) = value {
            for part in [name, b": ", &value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
