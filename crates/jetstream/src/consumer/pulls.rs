//! Pull requests that wait for messages, in the order they are served.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::config::nullable;

use super::config::{Nanos, PriorityPolicy};

/// The part of a pull request that is about its priority group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Group {
    /// The group it belongs to.
    pub(super) name: String,
    /// Below this many messages to deliver it gets none (overflow); 0 is no bound.
    pub(super) min_pending: i64,
    /// Below this many unacknowledged ones it gets none (overflow); 0 is no bound.
    pub(super) min_ack_pending: i64,
    /// The pin this client holds.
    pub(super) pin: String,
    /// Lower ones are served first (prioritized).
    pub(super) priority: i64,
}

/// A request for messages, as a client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// How many messages.
    pub(super) batch: i64,
    /// How many bytes; 0 is no bound.
    pub(super) max_bytes: i64,
    /// After how long it ends; 0 is never.
    pub(super) expires: Nanos,
    /// Answer at once when there is nothing.
    pub(super) no_wait: bool,
    /// How often to give a sign of life while there is nothing; 0 is never.
    pub(super) heartbeat: Nanos,
    /// Whether the request was an object: only then it can say something of groups.
    pub(super) formal: bool,
    /// Its priority group.
    pub(super) group: Group,
}

/// Clients write `null` for what they leave out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    #[serde(deserialize_with = "nullable")]
    expires: Nanos,
    #[serde(deserialize_with = "nullable")]
    batch: i64,
    #[serde(deserialize_with = "nullable")]
    max_bytes: i64,
    #[serde(deserialize_with = "nullable")]
    no_wait: bool,
    #[serde(deserialize_with = "nullable")]
    idle_heartbeat: Nanos,
    #[serde(deserialize_with = "nullable")]
    group: String,
    #[serde(deserialize_with = "nullable")]
    min_pending: i64,
    #[serde(deserialize_with = "nullable")]
    min_ack_pending: i64,
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    priority: i64,
}

impl Request {
    /// Reads a request: nothing, a number, or an object.
    ///
    /// # Errors
    /// What is wrong with the object.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = text.trim_ascii();
        let mut request = Self {
            batch: 1,
            max_bytes: 0,
            expires: 0,
            no_wait: false,
            heartbeat: 0,
            formal: false,
            group: Group::default(),
        };
        if text.first() != Some(&b'{') {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
            request.batch = number.unwrap_or(1);
            return Ok(request);
        }
        // Some clients send fields that are `null`.
        let wire: Wire = serde_json::from_slice(text)
            .or_else(|_| crate::api::json(text).and_then(serde_json::from_value))
            .map_err(|error| error.to_string())?;
        if wire.idle_heartbeat > 0 && wire.idle_heartbeat.saturating_mul(2) > wire.expires {
            return Err("heartbeat value too large".into());
        }
        Ok(Self {
            batch: wire.batch,
            max_bytes: wire.max_bytes,
            expires: wire.expires,
            no_wait: wire.no_wait,
            heartbeat: wire.idle_heartbeat,
            formal: true,
            group: Group {
                name: wire.group,
                min_pending: wire.min_pending,
                min_ack_pending: wire.min_ack_pending,
                pin: wire.id,
                priority: wire.priority,
            },
        })
    }
}

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    /// Where its messages go.
    pub(super) reply: Box<[u8]>,
    /// Messages it still takes.
    pub(super) left: i64,
    /// Messages it has had.
    pub(super) given: u64,
    /// Bytes it still takes; 0 is no bound.
    pub(super) bytes: i64,
    /// When it ends.
    pub(super) expires: Option<i64>,
    /// How often it wants a sign of life; 0 is never.
    pub(super) heartbeat: Nanos,
    /// When it gets the next one.
    pub(super) beat_at: Option<i64>,
    /// Ends when there is nothing left.
    pub(super) no_wait: bool,
    /// Its priority group; `None` where it said nothing of one.
    pub(super) group: Option<Box<Group>>,
}

impl Pull {
    /// A request that came `now`.
    #[must_use]
    pub(super) fn new(reply: &[u8], request: Request, now: i64) -> Self {
        Self {
            reply: reply.into(),
            left: request.batch,
            given: 0,
            bytes: request.max_bytes,
            expires: (request.expires != 0).then(|| now.saturating_add(request.expires)),
            heartbeat: request.heartbeat,
            beat_at: (request.heartbeat > 0).then(|| now.saturating_add(request.heartbeat)),
            no_wait: request.no_wait,
            group: (request.formal && request.group != Group::default()).then(|| Box::new(request.group)),
        }
    }

    /// Whether its time is over.
    #[must_use]
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// The pin it holds; empty when none.
    #[must_use]
    pub(super) fn pin(&self) -> &str {
        self.group.as_ref().map_or("", |group| &group.pin)
    }

    fn priority(&self) -> i64 {
        self.group.as_ref().map_or(i64::MAX, |group| group.priority)
    }
}

/// The requests of a consumer that wait.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    queue: VecDeque<Pull>,
}

impl Pulls {
    /// How many wait.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a request behind all others, with priorities behind those of its own.
    pub(super) fn add(&mut self, pull: Pull, policy: PriorityPolicy) {
        if policy != PriorityPolicy::Prioritized {
            self.queue.push_back(pull);
            return;
        }
        let at = self.queue.partition_point(|known| known.priority() <= pull.priority());
        self.queue.insert(at, pull);
    }

    /// The one to be served next.
    pub(super) fn head(&mut self) -> Option<&mut Pull> {
        self.queue.front_mut()
    }

    /// Takes the next one out.
    pub(super) fn pop(&mut self) -> Option<Pull> {
        self.queue.pop_front()
    }

    /// The next one has to wait until all others had their turn.
    pub(super) fn rotate(&mut self) {
        if let Some(pull) = self.queue.pop_front() {
            self.queue.push_back(pull);
        }
    }

    /// The next one has had a message: it goes when it has had all, else it waits for its next turn.
    /// Says whether it went.
    pub(super) fn served(&mut self, now: i64, policy: PriorityPolicy) -> bool {
        let Some(mut pull) = self.queue.pop_front() else { return false };
        pull.left -= 1;
        pull.given += 1;
        if pull.left <= 0 {
            return true;
        }
        if pull.heartbeat > 0 {
            pull.beat_at = Some(now.saturating_add(pull.heartbeat));
        }
        if self.queue.is_empty() {
            self.queue.push_front(pull)
        } else {
            self.add(pull, policy)
        }
        false
    }

    /// Looks at every request, and drops those `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Pull) -> bool) {
        self.queue.retain_mut(keep);
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pull> {
        self.queue.drain(..)
    }

    /// In the order they are served.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pull> {
        self.queue.iter()
    }

    /// When the next one ends or wants a sign of life.
    #[must_use]
    pub(super) fn wake_at(&self) -> Option<i64> {
        self.queue.iter().flat_map(|pull| [pull.expires, pull.beat_at]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        assert_eq!(Request::parse(b"").map(|request| request.batch), Ok(1));
        assert_eq!(Request::parse(b" 25 ").map(|request| request.batch), Ok(25));
        let formal =
            Request::parse(br#"{"batch":5,"expires":1000,"idle_heartbeat":500,"id":"x","future":1}"#);
        assert_eq!(
            formal.map(|request| (request.batch, request.heartbeat, request.group.pin)),
            Ok((5, 500, "x".into()))
        );
        let large = Request::parse(br#"{"expires":1000,"idle_heartbeat":501}"#);
        assert_eq!(large, Err("heartbeat value too large".into()));
        assert!(Request::parse(b"{").is_err());
    }

    #[test]
    fn lower_priorities_come_first_and_equals_in_order() {
        let mut pulls = Pulls::default();
        for (name, priority) in [("a", 2), ("b", 1), ("c", 2), ("d", 1)] {
            let group = Group { name: "g".into(), priority, ..Group::default() };
            let request = Request { formal: true, group, ..Request::parse(b"5").unwrap() };
            pulls.add(Pull::new(name.as_bytes(), request, 0), PriorityPolicy::Prioritized);
        }
        let mut served = String::new();
        for _ in 0..4 {
            served.push_str(std::str::from_utf8(&pulls.head().unwrap().reply).unwrap());
            pulls.served(0, PriorityPolicy::Prioritized);
        }
        assert_eq!(served, "bdbd");
    }

    #[test]
    fn without_priorities_requests_take_turns() {
        let mut pulls = Pulls::default();
        for name in ["a", "b"] {
            pulls.add(Pull::new(name.as_bytes(), Request::parse(b"2").unwrap(), 0), PriorityPolicy::None);
        }
        let mut served = String::new();
        while let Some(pull) = pulls.head() {
            served.push_str(std::str::from_utf8(&pull.reply).unwrap());
            pulls.served(0, PriorityPolicy::None);
        }
        assert_eq!(served, "abab");
    }
}
