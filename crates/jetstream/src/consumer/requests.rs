//! Pull requests: which are taken, and when they end.

use super::Consumer;
use super::config::PriorityPolicy;
use super::config::SECOND;
use super::pulls::{Group, Pull, Request};
use super::status;
use super::world::{Log, Outlet, World};
use crate::duration;

/// Said to requests for a consumer that delivers by itself.
const PUSH_BASED: &str = "Consumer is push based";

/// Requests whose client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// Stay until they are served: to ask about each costs too much for every turn.
    Stay,
    /// Go now.
    Go,
}

impl Consumer {
    /// Takes a request for messages. Without a place to answer it there is none.
    pub fn request<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>, reply: &[u8], text: &[u8]) {
        if reply.is_empty() {
            return;
        }
        let refused = if self.config.is_push() {
            Err((409, PUSH_BASED.to_owned()))
        } else {
            Request::parse(text).map_err(|error| (400, format!("Bad Request - {error}"))).and_then(
                |request| {
                    self.within_limits(&request)?;
                    self.goes_with_groups(&request, world.now)?;
                    Ok(request)
                },
            )
        };
        match refused {
            Err((code, words)) => world.out.status(reply, b"", &status::plain(code, &words)),
            Ok(request) => self.enqueue(world, reply, request),
        }
    }

    fn within_limits(&self, request: &Request) -> Result<(), (u16, String)> {
        let config = &self.config;
        if config.max_batch > 0 && request.batch > config.max_batch {
            return Err((409, format!("Exceeded MaxRequestBatch of {}", config.max_batch)));
        }
        if config.max_expires > 0 && request.expires > config.max_expires {
            let longest = duration::go(config.max_expires);
            return Err((409, format!("Exceeded MaxRequestExpires of {longest}")));
        }
        if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
            return Err((409, format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes)));
        }
        Ok(())
    }

    fn goes_with_groups(&mut self, request: &Request, now: i64) -> Result<(), (u16, String)> {
        let bad = |words: &str| Err((400, format!("Bad Request - {words}")));
        let (group, policy) = (&request.group, self.config.priority_policy);
        if !request.formal {
            return Ok(());
        }
        if (group.min_pending != 0 || group.min_ack_pending != 0) && policy != PriorityPolicy::Overflow {
            return bad("Not a Overflow Priority consumer");
        }
        if !group.pin.is_empty() && policy != PriorityPolicy::PinnedClient {
            return bad("Not a Pinned Client Priority consumer");
        }
        if !(0..=9).contains(&group.priority) {
            return bad("Priority must be between 0 and 9");
        }
        if policy == PriorityPolicy::None {
            return Ok(());
        }
        if group.name.is_empty() {
            return bad("Priority Group missing");
        }
        if !self.config.priority_groups.contains(&group.name) {
            return bad("Invalid Priority Group");
        }
        self.renew_pin(group, now)
    }

    fn renew_pin(&mut self, group: &Group, now: i64) -> Result<(), (u16, String)> {
        let Some(pin) = &mut self.pin else { return Ok(()) };
        if pin.id == group.pin {
            pin.until = now.saturating_add(self.config.pinned_ttl);
        } else if !group.pin.is_empty() {
            return Err((423, "Nats-Pin-Id mismatch".into()));
        }
        Ok(())
    }

    fn enqueue<L: Log, O: Outlet>(&mut self, world: &mut World<'_, L, O>, reply: &[u8], request: Request) {
        let now = world.now;
        let full =
            |pulls: &super::pulls::Pulls, max: i64| i64::try_from(pulls.len()).unwrap_or(i64::MAX) >= max;
        if full(&self.pulls, self.config.max_waiting) && now.saturating_sub(self.looked_at) > SECOND {
            self.look_at_pulls(world.out, now, false, Gone::Go);
        }
        if request.no_wait && !self.no_wait_fits(world, reply, &request) {
            self.used_at = now;
            return;
        }
        if full(&self.pulls, self.config.max_waiting) {
            // A client with heartbeats finds out by their absence; told at once it would ask again at once.
            if request.heartbeat == 0 {
                world.out.status(reply, b"", &status::plain(409, "Exceeded MaxWaiting"));
            }
            return;
        }
        self.used_at = now;
        self.pulls.add(Pull::new(reply, request, now), self.config.priority_policy);
        self.turn = true;
    }

    /// Whether there is something for a request that does not want to wait.
    fn no_wait_fits<L: Log, O: Outlet>(
        &mut self,
        world: &mut World<'_, L, O>,
        reply: &[u8],
        request: &Request,
    ) -> bool {
        self.count_backlog(world.log);
        let queued = self.ledger.pending.iter().filter(|entry| entry.queued).count() as u64;
        let there = self.backlog.count + queued;
        if there == 0 && request.expires == 0 {
            world.out.status(reply, b"", &status::plain(404, "No Messages"));
            return false;
        }
        if there > 0 {
            let wanted = self.look_at_pulls(world.out, world.now, false, Gone::Go);
            if there < wanted {
                world.out.status(reply, b"", &status::plain(408, "Requests Pending"));
                return false;
            }
        }
        true
    }

    /// Ends requests whose time is over, and gives signs of life. `at_end`: there is nothing left, so requests that do
    /// not want to wait end too. Returns how many messages the others want.
    pub(super) fn look_at_pulls(&mut self, out: &mut impl Outlet, now: i64, at_end: bool, gone: Gone) -> u64 {
        self.looked_at = now;
        let last = self.reached();
        let mut wanted = 0;
        self.pulls.retain(|pull| {
            if pull.is_over(now) {
                out.status(&pull.reply, b"", &status::ended(408, "Request Timeout", pull.left, pull.bytes));
                return false;
            }
            if at_end && pull.no_wait && (pull.expires.is_none() || pull.given > 0) {
                out.status(&pull.reply, b"", &status::plain(404, "No Messages"));
                return false;
            }
            if gone == Gone::Go && !out.listens(&pull.reply) {
                return false;
            }
            wanted += u64::try_from(pull.left).unwrap_or(0);
            if pull.beat_at.is_some_and(|at| at <= now) {
                out.status(&pull.reply, b"", &status::heartbeat(last, None));
                pull.beat_at = Some(now.saturating_add(pull.heartbeat));
            }
            true
        });
        wanted
    }
}
