//! Removing: single messages, purges, what has expired, what a new limit no longer allows.

use std::sync::Arc;

use super::{Erasure, Log, Stream};
use crate::error::Stopped;
use crate::filter::Filter;
use crate::index::{Matcher, Place};
use crate::record::{Draft, ERASE, Kind};
use crate::removal::Removals;

/// Messages removed for their age or expiry in one call.
const EXPIRE_AT_ONCE: usize = 4096;

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether the bytes of a deleted message are overwritten on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Erase {
    /// They stay until their segment is compacted.
    #[default]
    No,
    /// They are overwritten once the deletion is committed.
    Yes,
}

/// What a purge removes. The default is everything.
#[derive(Clone, Debug, Default)]
pub struct Purge {
    /// Of this choice.
    pub filter: Filter,
    /// Only below this sequence, which itself stays.
    pub below: Option<u64>,
    /// All but this many of the newest of the choice.
    pub keep: u64,
}

/// How much an operation removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Bytes, as [`State::bytes`](super::State::bytes) counts them.
    pub bytes: u64,
    /// Committed when [`Committed::position`](super::Committed) reaches this.
    pub position: u64,
}

/// What had expired.
#[derive(Clone, Debug, Default)]
pub struct Expired {
    /// What went.
    pub removed: Removals,
    /// When to call again, ns since 1970; `now` or earlier when there is more to remove. `None` while nothing can
    /// expire.
    pub next: Option<u64>,
    /// Committed when [`Committed::position`](super::Committed) reaches this.
    pub position: u64,
}

impl Stream {
    /// Deletes one message. `None` when it is not there.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn delete(&self, seq: u64, erase: Erase) -> Result<Option<Purged>, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        let Some(place) = log.index.find(seq) else { return Ok(None) };
        let erasure = if erase == Erase::Yes { log.erasure(place) } else { None };
        let mut removals = Removals::default();
        log.index.kill(place, &mut removals);
        let Some(erasure) = erasure else { return self.removed(&mut log, &removals).map(Some) };
        let target = erasure.target().encode();
        let record = Draft::control(Kind::Removal, ERASE, seq, &target);
        log.push(self.0.home.as_ref(), &record).map_err(|_| self.0.not_encrypted())?;
        log.erasures.push(erasure);
        log.erasures_asked += 1;
        let position = self.0.changed(&mut log);
        Ok(Some(Purged { messages: 1, bytes: removals.bytes(), position }))
    }

    /// Deletes several messages in one go, those that are there, as a work queue does with what was acknowledged.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn delete_many(&self, seqs: &[u64]) -> Result<Removals, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        let mut removals = Removals::default();
        for seq in seqs {
            if let Some(place) = log.index.find(*seq) {
                log.index.kill(place, &mut removals);
            }
        }
        self.removed(&mut log, &removals)?;
        Ok(removals)
    }

    /// Removes messages of a choice.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn purge(&self, purge: &Purge) -> Result<Purged, Stopped> {
        let mut log = self.0.log.write();
        log.writable()?;
        let last = log.index.last_seq;
        let upto = purge.below.map_or(last, |below| below.saturating_sub(1).min(last));
        let matcher = log.index.matcher(&purge.filter);
        let mut places = log.matching(&matcher, upto);
        drop(matcher);
        if purge.keep > 0 {
            let total = log.index.count(0, &purge.filter);
            places.truncate(usize::try_from(total.saturating_sub(purge.keep)).unwrap_or(usize::MAX));
        }
        let mut removals = Removals::default();
        for place in places {
            log.index.kill(place, &mut removals);
        }
        self.removed(&mut log, &removals)
    }

    /// Removes what is older than `max_age` or past its own expiry at `now` (ns since 1970), a bounded number of
    /// messages.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub fn expire(&self, now: u64) -> Result<Expired, Stopped> {
        let too_old = self.first_too_young(now);
        let mut log = self.0.log.write();
        log.writable()?;
        let mut removals = Removals::default();
        if let Some(end) = too_old {
            while log.index.first_seq < end && removals.len() < EXPIRE_AT_ONCE {
                let Some(place) = log.index.find(log.index.first_seq) else { break };
                log.index.kill(place, &mut removals);
            }
        }
        for seq in log.index.take_expired(now, EXPIRE_AT_ONCE) {
            if let Some(place) = log.index.find(seq) {
                log.index.kill(place, &mut removals);
            }
        }
        let position = self.removed(&mut log, &removals)?.position;
        let (deadline, max_age) = (log.index.next_deadline(), log.index.limits.max_age);
        drop(log);
        let state = self.state();
        let age =
            max_age.filter(|_| state.messages > 0).map(|max| state.first_time.saturating_add(nanos(max)));
        let next = [deadline, age].into_iter().flatten().min();
        Ok(Expired { removed: removals, next, position })
    }

    /// The first sequence that `max_age` lets stay at `now`; `None` when all may.
    fn first_too_young(&self, now: u64) -> Option<u64> {
        let max_age = nanos(self.options().limits.max_age?);
        let state = self.state();
        let oldest = now.checked_sub(max_age)?;
        (state.messages > 0 && state.first_time <= oldest).then(|| self.seq_at(oldest.saturating_add(1)))
    }

    /// Notes that messages went.
    pub(crate) fn removed(&self, log: &mut Log, removals: &Removals) -> Result<Purged, Stopped> {
        let mut position = log.position;
        if !removals.is_empty() {
            log.push_removals(self.0.home.as_ref(), removals).map_err(|_| self.0.not_encrypted())?;
            position = self.0.changed(log);
        }
        Ok(Purged { messages: removals.len() as u64, bytes: removals.bytes(), position })
    }
}

impl Log {
    /// What overwrites the message at a place, if it is in a file.
    pub(crate) fn erasure(&self, (at, position): Place) -> Option<Erasure> {
        let segment = self.index.segments.get(at)?;
        let (offset, length) = (u64::from(segment.index.offset(position)), segment.index.length(position));
        let file = Arc::clone(segment.data.file()?);
        Some(Erasure { file, offset, length, seq: segment.index.seq(position) })
    }

    /// Where the messages of a choice stand, up to a sequence.
    fn matching(&self, matcher: &Matcher<'_>, upto: u64) -> Vec<Place> {
        let mut places = Vec::new();
        let mut from = self.index.first_seq;
        while from <= upto {
            let found = self.index.next_matching(from, upto, matcher, usize::MAX);
            places.extend(found.place);
            from = found.next;
        }
        places
    }
}
