//! Publishing within the rate of an identity: what may be taken in a read batch, and what happens above it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use wire::client::Publish;

use super::client::Flow;
use super::{ClientSession, Pause, Work};
use crate::usage::{Allowance, is_metered};

/// What a connection may still publish in this read batch.
#[derive(Debug)]
pub(super) struct Meter {
    on: bool,
    /// When nothing is left: from when on there is.
    again: Option<Instant>,
    given: Allowance,
    left: Allowance,
    /// Since when it has been held back without catching up.
    held_since: Option<Instant>,
    /// The client has been told in this batch.
    told: bool,
}

impl Default for Meter {
    fn default() -> Self {
        let all = Allowance::UNLIMITED;
        Self { on: false, again: None, given: all, left: all, held_since: None, told: false }
    }
}

impl Meter {
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.left.take(bytes)
    }
}

impl ClientSession {
    /// Asks what the identity may publish now.
    pub(super) fn begin_metering(&mut self, now: Instant) {
        let Some(usage) = self.conn.usage.get() else { return };
        let quotas = self.conn.grant().quotas;
        let meter = &mut self.meter;
        (meter.on, meter.told) = (is_metered(&quotas), false);
        if !meter.on {
            return;
        }
        let nothing = Allowance { messages: 0, bytes: 0 };
        (meter.given, meter.again) = match usage.allow(&quotas, now) {
            Ok(allowance) => (allowance, None),
            Err(again) => (nothing, Some(again)),
        };
        meter.left = meter.given;
    }

    /// Says what was published.
    pub(super) fn end_metering(&mut self, pause: Pause, now: Instant) {
        if !self.meter.on {
            return;
        }
        let Meter { given, left, held_since, told, .. } = &mut self.meter;
        if let Some(usage) = self.conn.usage.get() {
            usage.spend(given.messages - left.messages, given.bytes - left.bytes);
        }
        match pause {
            Pause::Quota(_) => {
                held_since.get_or_insert(now);
                if let Some(usage) = self.conn.usage.get() {
                    usage.held.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ if *told => {}
            _ => *held_since = None,
        }
    }

    /// The identity has published what it may: the connection is not read on until it may again, unless that has
    /// taken too long already. Then the message is refused.
    pub(super) fn over_rate(
        &mut self,
        publish: &Publish<'_>,
        bytes: &[u8],
        work: &mut Work,
        now: Instant,
    ) -> Flow {
        self.finish_run(bytes, work);
        let hold = self.core.limits.quota_hold;
        if self.meter.held_since.is_none_or(|since| now < since + hold) {
            return Flow::Stop(Pause::Quota(self.meter.again.unwrap_or(now)));
        }
        self.core.counters.quota_refused.add(1);
        if let Some(usage) = self.conn.usage.get() {
            usage.refused.fetch_add(1, Ordering::Relaxed);
        }
        let answered = self.answer_refused(publish, work);
        if !answered && !std::mem::replace(&mut self.meter.told, true) {
            self.complain(&wire::text::quota_violation(publish.subject));
        }
        self.meter.told = true;
        self.confirm(work);
        Flow::Next
    }
}
