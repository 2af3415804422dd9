//! Refusals under attack: written one by one up to a rate, counted by reason above it.

use std::collections::{BTreeMap, HashSet};

use super::event::{Event, Kind};

/// Reasons counted apart; further ones go together under `other`.
const MAX_REASONS: usize = 64;

/// Source addresses remembered for one count.
const MAX_ADDRESSES: usize = 1_000;

/// Decides which refusals are written one by one. `now` is in milliseconds of any steady clock.
#[derive(Debug, Default)]
pub(super) struct Denials {
    per_second: u32,
    second: u64,
    written: u32,
    counted: BTreeMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    count: u64,
    addresses: HashSet<String>,
    last_identity: String,
}

impl Denials {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, ..Self::default() }
    }

    /// Whether `event` is to be written; otherwise it has been counted.
    pub(super) fn admits(&mut self, event: &Event, now: u64) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let second = now / 1_000;
        if second != self.second {
            (self.second, self.written) = (second, 0);
        }
        if self.written < self.per_second {
            self.written += 1;
            return true;
        }
        self.count(event);
        false
    }

    fn count(&mut self, event: &Event) {
        let reason = event.text("reason");
        let known = self.counted.contains_key(reason) || self.counted.len() < MAX_REASONS;
        let counted = self.counted.entry(if known { reason } else { "other" }.to_owned()).or_default();
        counted.count += 1;
        // The port says nothing here.
        let address = event.text("address");
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        if counted.addresses.len() < MAX_ADDRESSES && !counted.addresses.contains(host) {
            counted.addresses.insert(host.to_owned());
        }
        if !event.text("identity").is_empty() {
            event.text("identity").clone_into(&mut counted.last_identity);
        }
    }

    /// What has been counted, one event per reason; counting begins anew.
    pub(super) fn take(&mut self) -> Vec<Event> {
        let event = |(reason, counted): (String, Counted)| {
            Event::new(Kind::DenialsCounted)
                .reason(&reason)
                .with("count", counted.count)
                .with("addresses", counted.addresses.len())
                .with("last_identity", counted.last_identity)
        };
        std::mem::take(&mut self.counted).into_iter().map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(reason: &str, address: &str) -> Event {
        Event::new(Kind::Denied).reason(reason).with("address", address)
    }

    #[test]
    fn above_the_rate_refusals_are_counted_and_none_is_lost() {
        let mut denials = Denials::new(2);
        let mut written = 0;
        for index in 0..10 {
            written += u64::from(denials.admits(&denied("expired", &format!("10.0.0.{index}:1")), 500));
        }
        assert_eq!(written, 2);
        assert!(denials.admits(&denied("expired", "10.0.0.1:1"), 1_000), "a new second");
        let counted = denials.take();
        assert_eq!(counted.len(), 1);
        assert_eq!((&counted[0].members["count"], &counted[0].members["addresses"]), (&8.into(), &8.into()));
        assert!(denials.take().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut denials = Denials::new(1);
        denials.admits(&denied("x", "a"), 0);
        for index in 0..5_000 {
            denials.admits(&denied(&format!("reason-{index}"), &format!("h{index}:1")), 0);
        }
        assert_eq!(denials.counted.len(), MAX_REASONS + 1);
        let total: u64 = denials.take().iter().filter_map(|event| event.members["count"].as_u64()).sum();
        assert_eq!(total, 5_000);
    }
}
