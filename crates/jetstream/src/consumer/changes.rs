//! What happens to a consumer from outside: messages that go, a purge, a new configuration, a reset, its end.

use super::config::{ConsumerConfig, DeliverPolicy};
use super::ledger::Change;
use super::time::Fate;
use super::world::{Advisory, Log, Outlet, World, filter};
use super::{Consumer, Pace, status, threshold};

impl Consumer {
    /// Takes a new configuration, which was checked. `subjects`: what the stream stores.
    pub fn update<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        mut config: ConsumerConfig,
        subjects: &[String],
        largest: u64,
    ) {
        let now = world.now;
        if config.inactive_threshold != self.config.inactive_threshold {
            self.threshold = threshold(&mut config, (world.random)());
            let runs = self.threshold > 0 && !(config.is_push() && self.push.active);
            self.inactive_at = runs.then(|| now.saturating_add(self.threshold));
        }
        if config.deliver_subject != self.config.deliver_subject {
            self.push.active = false;
            self.expire_all(world.out, now);
        }
        if config.ack_wait != self.config.ack_wait || config.backoff != self.config.backoff {
            self.check_at = (!self.ledger.pending.is_empty()).then_some(now);
        }
        if config.rate_limit_bps != self.config.rate_limit_bps {
            let replay_through = self.pace.replay_through;
            self.pace = Pace { replay_through, ..Pace::new(config.rate_limit_bps, largest) };
        }
        if config.pause_until != self.config.pause_until {
            let until = config.pause_until.map(|until| until.0);
            let paused = until.is_some_and(|until| now < until);
            self.resumed = !paused;
            world.out.advise(Advisory::Pause { until, paused });
        }
        let filters = filter(config.filters(), subjects);
        self.config = config;
        if filters != self.filter {
            // What was passed over by the old filter stays passed over.
            self.step(Change::Skipped { next: self.ledger.next });
            self.filter = filters;
            self.backlog.known = false;
        }
        self.turn = true;
    }

    /// The stream stores other subjects now, or keeps messages otherwise.
    pub fn stream_changed(&mut self, subjects: &[String], by_interest: bool) {
        self.by_interest = by_interest;
        self.filter = filter(self.config.filters(), subjects);
        self.backlog.known = false;
        self.turn = true;
    }

    /// Everything that waits is delivered again.
    fn expire_all(&mut self, out: &mut impl Outlet, now: i64) {
        let waiting: Vec<u64> =
            self.ledger.pending.iter().filter(|entry| !entry.queued).map(|entry| entry.sequence).collect();
        for sequence in waiting {
            self.again_or_bury(out, sequence);
        }
        self.push.beat_at = self.beat_after(now);
    }

    /// Begins anew: at a sequence, or with 0 just after the floor. Returns where. `at`: the first message the
    /// configured start time allows.
    ///
    /// # Errors
    /// What the configuration says against it.
    pub fn reset(&mut self, sequence: u64, at: Option<u64>) -> Result<u64, &'static str> {
        let next = if sequence == 0 { self.ledger.floor.stream + 1 } else { sequence };
        if sequence > 0 {
            match self.config.deliver_policy {
                DeliverPolicy::All => {}
                DeliverPolicy::ByStartSequence if sequence < self.config.opt_start_seq => {
                    return Err("below start seq");
                }
                DeliverPolicy::ByStartTime if at.is_some_and(|first| sequence < first) => {
                    return Err("below start time");
                }
                DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => {}
                _ => return Err("not allowed"),
            }
        }
        self.step(Change::Reset { next });
        self.again.clear();
        self.backlog.known = false;
        self.last_delivery = None;
        self.last_ack = None;
        self.check_at = None;
        self.pace.due = None;
        self.turn = true;
        Ok(next)
    }

    /// Ends the pin, for an operator.
    pub fn unpin<O: Outlet>(&mut self, out: &mut O, group: &str) {
        self.pin = None;
        out.advise(Advisory::Unpinned { group: group.to_owned(), reason: "admin" });
        self.turn = true;
    }

    /// The server stops: tells those who wait, so that they ask elsewhere. Nothing else changes.
    pub fn stop_waiting<O: Outlet>(&mut self, out: &mut O) {
        for pull in self.pulls.drain() {
            let words = status::ended(409, "Server Shutdown", pull.left, pull.bytes);
            out.status(&pull.reply, b"", &words);
        }
    }

    /// The consumer is deleted: tells those who wait.
    pub fn end<O: Outlet>(&mut self, out: &mut O) -> Fate {
        for pull in self.pulls.drain() {
            out.status(&pull.reply, b"", &status::plain(409, "Consumer Deleted"));
        }
        self.push.active = false;
        self.turn = false;
        Fate::Goes
    }
}
