//! Which buffered message is to be sent next, and what an answer to one means. No clock, no I/O.
//!
//! Messages leave in order, several at a time. An answer that says "stored" ends a message, one that says "never"
//! puts it aside. Anything else, silence included, means that nothing behind it may be taken for stored either:
//! everything not yet answered for is sent again from there, after a pause. The receiver knows what it has by the
//! message's id, so a message sent twice is stored once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// First and longest pause before what failed is sent again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What came back for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is stored, or was before.
    Stored,
    /// It will never be taken; why.
    Never(String),
    /// Not now; why.
    NotNow(String),
}

/// What is to be done about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The message is done with.
    Done,
    /// The message is to be put aside.
    Refused(String),
    /// Sent again, after a pause.
    Again(String),
    /// An answer to nothing that waits for one.
    Stale,
}

/// The sending side of the buffer.
#[derive(Debug)]
pub(super) struct Forward {
    window: usize,
    timeout: Duration,
    /// Counts the starts over: an older refusal is no news.
    epoch: u64,
    /// Sequence after the last one sent.
    next: u64,
    /// Sent and not answered: when each was sent.
    waiting: BTreeMap<u64, Instant>,
    pause: Duration,
    paused_until: Option<Instant>,
}

impl Forward {
    /// At most `window` messages wait for their answer at a time, each for at most `timeout`.
    pub(super) fn new(window: usize, timeout: Duration) -> Self {
        Self {
            window: window.max(1),
            timeout,
            epoch: 0,
            next: 0,
            waiting: BTreeMap::new(),
            pause: PAUSE.0,
            paused_until: None,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// From which sequence on, and how many, may be sent now.
    pub(super) fn ready(&self, now: Instant) -> Option<(u64, usize)> {
        let paused = self.paused_until.is_some_and(|until| now < until);
        let room = self.window - self.waiting.len().min(self.window);
        (!paused && room > 0).then_some((self.next, room))
    }

    /// A message was sent.
    pub(super) fn sent(&mut self, seq: u64, now: Instant) {
        self.waiting.insert(seq, now);
        self.next = seq + 1;
    }

    /// Nobody was there to send it to.
    pub(super) fn unsent(&mut self, now: Instant) {
        self.start_over(now);
    }

    /// An answer came for a message sent in this epoch or an earlier one.
    pub(super) fn answered(&mut self, seq: u64, epoch: u64, answer: Answer, now: Instant) -> Outcome {
        match answer {
            // Whenever it was sent: it is there.
            Answer::Stored => {
                self.waiting.remove(&seq);
                self.pause = PAUSE.0;
                Outcome::Done
            }
            _ if epoch != self.epoch || !self.waiting.contains_key(&seq) => Outcome::Stale,
            Answer::Never(why) => {
                self.waiting.remove(&seq);
                Outcome::Refused(why)
            }
            Answer::NotNow(why) => {
                self.start_over(now);
                Outcome::Again(why)
            }
        }
    }

    /// Starts over when an answer is overdue; says whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let overdue =
            self.waiting.values().next().is_some_and(|sent| now.duration_since(*sent) >= self.timeout);
        if overdue {
            self.start_over(now);
        }
        overdue
    }

    /// What is on its way has its time from now on.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        self.waiting.values_mut().for_each(|sent| *sent = now);
    }

    /// The link broke or came back: what was on its way may be lost. There is no reason to wait.
    pub(super) fn reset(&mut self) {
        self.epoch += 1;
        self.next = 0;
        self.waiting.clear();
        self.paused_until = None;
        self.pause = PAUSE.0;
    }

    /// When to look again, if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let overdue = self.waiting.values().next().map(|sent| *sent + self.timeout);
        match (self.paused_until, overdue) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn start_over(&mut self, now: Instant) {
        let pause = self.pause;
        self.reset();
        self.paused_until = Some(now + pause);
        self.pause = (pause * 2).min(PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_now() -> Answer {
        Answer::NotNow("503".into())
    }

    #[test]
    fn so_many_at_a_time_and_more_as_answers_come() {
        let now = Instant::now();
        let mut forward = Forward::new(2, Duration::from_secs(5));
        assert_eq!(forward.ready(now), Some((0, 2)));
        forward.sent(1, now);
        forward.sent(2, now);
        assert_eq!(forward.ready(now), None);
        assert_eq!(forward.answered(1, 0, Answer::Stored, now), Outcome::Done);
        assert_eq!(forward.ready(now), Some((3, 1)));
    }

    #[test]
    fn a_failure_sends_everything_behind_it_again_after_a_growing_pause() {
        let mut now = Instant::now();
        let mut forward = Forward::new(8, Duration::from_secs(5));
        (1..=3).for_each(|seq| forward.sent(seq, now));
        assert_eq!(forward.answered(1, 0, not_now(), now), Outcome::Again("503".into()));
        // What the receiver says to the others now is old, unless it has them.
        assert_eq!(forward.answered(2, 0, not_now(), now), Outcome::Stale);
        assert_eq!(forward.ready(now), None);
        now += PAUSE.0;
        assert_eq!(forward.ready(now), Some((0, 8)));
        forward.sent(1, now);
        assert_eq!(forward.answered(1, forward.epoch(), not_now(), now), Outcome::Again("503".into()));
        assert_eq!(forward.ready(now + PAUSE.0), None);
        assert_eq!(forward.wake_at(), Some(now + PAUSE.0 * 2));
        // One that got through after all is a sign of hope.
        assert_eq!(forward.answered(3, 0, Answer::Stored, now), Outcome::Done);
        assert_eq!(forward.pause, PAUSE.0);
    }

    #[test]
    fn silence_is_a_failure() {
        let now = Instant::now();
        let mut forward = Forward::new(8, Duration::from_secs(5));
        forward.sent(1, now);
        assert!(!forward.expire(now + Duration::from_secs(4)));
        // Unless the link was known to be silent.
        let now = now + Duration::from_secs(30);
        forward.wait_anew(now);
        assert!(!forward.expire(now + Duration::from_secs(4)));
        assert_eq!(forward.wake_at(), Some(now + Duration::from_secs(5)));
        assert!(forward.expire(now + Duration::from_secs(5)));
        assert!(!forward.expire(now + Duration::from_secs(9)));
    }

    #[test]
    fn what_is_never_taken_holds_up_nothing() {
        let now = Instant::now();
        let mut forward = Forward::new(8, Duration::from_secs(5));
        forward.sent(1, now);
        forward.sent(2, now);
        let refused = forward.answered(1, 0, Answer::Never("too large".into()), now);
        assert_eq!(refused, Outcome::Refused("too large".into()));
        assert_eq!(forward.answered(2, 0, Answer::Stored, now), Outcome::Done);
        assert_eq!(forward.ready(now), Some((3, 8)));
    }
}
