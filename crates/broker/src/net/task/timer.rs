//! What happens to a connection because time has passed: PINGs, deadlines, expiry, rest.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use identity::Grant;

use super::Task;
use crate::conn::CloseReason;
use crate::session::{Session, reserved};

/// A connection that has been quiet for so long gives its caches back.
pub(super) const REST_AFTER: Duration = Duration::from_secs(3);
/// A client is asked once so soon, however busy it is: its round trip time is known from then on, and some start-up
/// checks wait for a line after INFO.
pub(super) const FIRST_PING: Duration = Duration::from_secs(2);
/// Links are asked for a sign of life at least so often.
const LINK_PING: Duration = Duration::from_secs(15);
impl Task {
    /// Arms the timer for what is due next, and does what is due.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<CloseReason> {
        let blocked = self.conn().outbox.blocked_since().map(|since| since + self.core.limits.write_deadline);
        let rest = (!self.session.is_rested()).then(|| now + REST_AFTER);
        let grants = self.conn().grants();
        let renewed = (std::mem::replace(&mut self.grants, grants) != grants).then_some(now);
        if renewed.is_some() {
            self.notice_at = notice_at(&self.conn().grant(), self.core.limits.expiry_notice);
        }
        for due in [self.wait.until(), blocked, rest, renewed].into_iter().flatten() {
            if due < self.sleep.deadline().into_std() {
                self.sleep.as_mut().reset(due.into());
            }
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match self.on_time(now) {
                Ok(next) => self.sleep.as_mut().reset(next.into()),
                Err(reason) => return Poll::Ready(reason),
            }
            if self.wait.until().is_some_and(|until| until <= now) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    /// Everything that happens because time has passed; returns when to look again.
    fn on_time(&mut self, now: Instant) -> Result<Instant, CloseReason> {
        let limits = &self.core.limits;
        let mut next = now + limits.ping_interval;
        if let Some(since) = self.conn().outbox.blocked_since() {
            if now >= since + limits.write_deadline {
                return Err(CloseReason::WriteDeadline);
            }
            next = next.min(since + limits.write_deadline);
        }
        if let Some(expires_at) = self.conn().grant().expires_at {
            let left = Duration::from_secs(expires_at).saturating_sub(since_epoch());
            if left.is_zero() {
                let goes_on = self.conn().follower.get().is_some_and(|follower| follower.expired());
                let next = now + Duration::from_millis(1);
                return if goes_on { Ok(next) } else { Err(CloseReason::AuthenticationExpired) };
            }
            let quiet = self.give_notice(expires_at, left);
            // Sleeping clocks and wall clocks drift: look again at least once an hour.
            next = next.min(now + left.min(quiet).min(Duration::from_secs(3600)));
        }
        let idle = now.saturating_duration_since(self.active);
        next = next.min(self.ping_when_due(now)?);
        next = self.watch_silence(now).map_or(next, |look| next.min(look));
        if idle >= REST_AFTER {
            self.session.rest();
        } else if !self.session.is_rested() {
            next = next.min(self.active + REST_AFTER);
        }
        if let Some(until) = self.wait.until().filter(|until| *until > now) {
            next = next.min(until);
        }
        Ok(next.max(now + Duration::from_millis(1)))
    }

    /// Tells the client that its rights end in `left`, when it is time; returns how long until then.
    fn give_notice(&mut self, expires_at: u64, left: Duration) -> Duration {
        let until = Duration::from_secs(self.notice_at).saturating_sub(since_epoch());
        if self.notice_at == 0 || !until.is_zero() {
            return if self.notice_at == 0 { left } else { until };
        }
        self.notice_at = 0;
        reserved::tell_expiring(self.conn(), expires_at, left.as_secs());
        left
    }

    /// Sends a PING when it is time; returns when it is time again. Clients are asked at first and when they are quiet,
    /// links always: their round trip time is a measurement.
    fn ping_when_due(&mut self, now: Instant) -> Result<Instant, CloseReason> {
        let unanswered = self.session.pings().unanswered;
        let limits = &self.core.limits;
        let (since, interval) = match &self.session {
            Session::Client(_) if unanswered == 0 && self.conn().rtt_micros.load(Relaxed) == 0 => {
                (self.pinged, limits.ping_interval.min(FIRST_PING))
            }
            Session::Client(_) => (self.active.max(self.pinged), limits.ping_interval),
            Session::Link(_) | Session::GatewayIn(_) | Session::GatewayOut(_) => {
                (self.pinged, limits.ping_interval.min(LINK_PING))
            }
        };
        if now < since + interval {
            return Ok(since + interval);
        }
        if unanswered >= limits.ping_max {
            return Err(CloseReason::StaleConnection);
        }
        self.pinged = now;
        self.session.pings().sent(now);
        if self.conn().outbox.blocked_since().is_none() {
            self.session.sum_up();
        }
        self.conn().send_ahead(wire::encode::PING);
        Ok(now + interval)
    }
}

impl Task {
    /// Where messages can be kept while a link is silent: asks it in time, and tells when there is no answer. Returns
    /// when to look again.
    fn watch_silence(&mut self, now: Instant) -> Option<Instant> {
        let after = self.session.group()?.silent_after()?;
        let pings = self.session.pings();
        let (waiting, known) = (pings.waiting_since(), pings.silent);
        let due = waiting.map_or(self.active, |since| since.max(self.active)) + after;
        if now < due {
            return Some(due);
        }
        match waiting {
            None => {
                self.session.pings().asked(now);
                self.conn().send_ahead(wire::encode::PING);
            }
            Some(_) if known => {}
            Some(_) => self.is_silent(true),
        }
        Some(now + after)
    }

    /// Takes note that the other end of a link has fallen silent, or is heard of again.
    pub(super) fn is_silent(&mut self, silent: bool) {
        self.session.pings().silent = silent;
        let Some(group) = self.session.group() else { return };
        let conn = self.session.conn();
        if silent {
            self.core.counters.link_silent.add(1);
            tracing::warn!(conn = conn.id, identity = %conn.grant().identity, "a link does not answer");
        } else {
            tracing::info!(conn = conn.id, identity = %conn.grant().identity, "a link answers again");
        }
        group.is_silent(conn, silent);
    }
}

/// When a client is to be told that `grant` ends: `lead` before it does, but not before half of what is left of it is
/// over. 0 when it does not end, or no notice is wanted.
pub(super) fn notice_at(grant: &Grant, lead: Duration) -> u64 {
    match grant.expires_at {
        Some(expires_at) if !lead.is_zero() => {
            let left = expires_at.saturating_sub(since_epoch().as_secs());
            expires_at - lead.as_secs().min(left / 2)
        }
        _ => 0,
    }
}

/// Time since the Unix epoch.
pub(super) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
