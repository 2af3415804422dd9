//! What a client says, and what it does to the broker.

use std::sync::Arc;
use std::time::Instant;

use identity::Grant;
use wire::Step;
use wire::client::Op;

use super::publish::Run;
use super::quota::Meter;
use super::{Patience, Pause, Pings, Progress, Work, reserved};
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::outbox::Load;
use crate::route::RouteCache;

/// A logged-in client.
pub(crate) struct ClientSession {
    pub(crate) conn: Arc<Conn>,
    pub(super) core: Arc<Core>,
    pub(crate) cache: RouteCache,
    pub(super) limits: wire::Limits,
    /// The replacement of rights `limits` was derived from.
    grants: u32,
    pub(crate) pings: Pings,
    /// The account's generation this read batch works with.
    pub(super) generation: u64,
    /// The account's changes of rights that `generation` and `asked` have seen.
    pub(super) rights: u64,
    /// Who is asked what may be published; `None` where everything may.
    pub(super) asked: Option<Arc<Grant>>,
    /// The largest message its rights allow, where that is less than what the parser lets pass.
    pub(super) max_payload: usize,
    /// Too much was queued on this server when the read batch began: nothing is published.
    pub(super) overloaded: bool,
    /// What its identity may still publish, where that is counted.
    pub(super) meter: Meter,
    /// What is said once more of the server, with what the login has brought, after the first PONG.
    pub(crate) welcome: Option<Box<[u8]>>,
    /// Messages of one subject, not yet handed on.
    pub(super) run: Run,
}

/// What an operation means for the loop over them.
pub(super) enum Flow {
    Next,
    /// As [`Flow::Next`], and so many bytes behind the operation are done with, too.
    Past(usize),
    /// Stop before this operation.
    Stop(Pause),
}

impl ClientSession {
    pub(crate) fn new(core: Arc<Core>, conn: Arc<Conn>) -> Self {
        let (limits, max_payload) = limits(&core, &conn);
        Self {
            limits,
            max_payload,
            rights: 0,
            asked: asked(&conn),
            grants: conn.grants(),
            conn,
            core,
            cache: RouteCache::default(),
            pings: Pings::default(),
            generation: 0,
            overloaded: false,
            meter: Meter::default(),
            welcome: None,
            run: Run::default(),
        }
    }

    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Progress {
        self.overloaded = self.core.budget.is_over();
        self.follow_rights();
        self.generation = self.conn.account.generation();
        if self.grants != self.conn.grants() {
            self.grants = self.conn.grants();
            (self.limits, self.max_payload) = limits(&self.core, &self.conn);
        }
        self.begin_metering(now);
        let mut at = 0;
        let pause = loop {
            match wire::client::parse(&bytes[at..], &self.limits) {
                Ok(Step::Frame(op, length)) => {
                    match self.apply(op, bytes, at..at + length, work, patience, now) {
                        Flow::Next => at += length,
                        Flow::Past(more) => at += length + more,
                        Flow::Stop(pause) => break pause,
                    }
                }
                Ok(Step::Incomplete(need)) => break Pause::NeedMore(need),
                Err(error) => {
                    self.finish_run(bytes, work);
                    break self.refuse(&error);
                }
            }
        };
        self.finish_run(bytes, work);
        let (messages, payload) = self.run.take_count();
        self.conn.count_in(messages, payload);
        self.end_metering(pause, now);
        Progress { consumed: at, pause }
    }

    /// Rights that were replaced meanwhile hold from the next run on, not only from the next read batch.
    pub(super) fn follow_rights(&mut self) {
        let rights = self.conn.account.rights();
        if self.rights != rights {
            self.rights = rights;
            self.generation = self.conn.account.generation();
            self.asked = asked(&self.conn);
            // What is of this generation already may have been derived from rights before these.
            self.cache.release();
        }
    }

    fn apply(
        &mut self,
        op: Op<'_>,
        bytes: &[u8],
        frame: std::ops::Range<usize>,
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Flow {
        if let Op::Publish(publish) = &op {
            return self.publish(publish, bytes, frame, work, patience, now);
        }
        self.finish_run(bytes, work);
        match op {
            Op::Publish(_) => {}
            Op::Subscribe { subject, queue, sid } => return self.subscribe(subject, queue, sid),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max),
            Op::Ping => {
                self.say(work, wire::encode::PONG);
                if let Some(line) = self.welcome.take() {
                    self.say(work, &line);
                }
                return Flow::Next;
            }
            Op::Pong => {
                self.pings.answered(&self.conn, now);
                return Flow::Next;
            }
            // Said again by some clients; the login stands.
            Op::Connect(_) => {}
            Op::Info(_) | Op::Ok | Op::Err(_) => return Flow::Next,
        }
        self.confirm(work);
        Flow::Next
    }

    /// `+OK` for clients that want it.
    pub(super) fn confirm(&self, work: &mut Work) {
        if self.conn.features.verbose {
            self.say(work, wire::encode::OK);
        }
    }

    pub(super) fn say(&self, work: &mut Work, line: &[u8]) {
        let appended = self.conn.append(Load::default(), |out| out.extend_from_slice(line));
        work.dirty.note(&self.conn, appended);
    }

    /// `-ERR` for something refused; the connection goes on.
    pub(super) fn complain(&self, text: &str) {
        self.conn.send_now(|out| wire::encode::error_line(out, text));
    }

    fn refuse(&self, error: &wire::ParseError) -> Pause {
        tracing::debug!(conn = self.conn.id, %error, "protocol violation");
        self.complain(error.client_text());
        Pause::Close(match error {
            wire::ParseError::PayloadTooLarge { .. } => CloseReason::MaximumPayload,
            _ => CloseReason::ProtocolViolation,
        })
    }
}

fn asked(conn: &Conn) -> Option<Arc<Grant>> {
    let grant = conn.grant();
    (!grant.rights.publish_unrestricted()).then(|| Arc::clone(&grant))
}

/// What the parser enforces, and the largest message by the rights as of now. A fresh token may always be shown,
/// however little else may be published.
fn limits(core: &Core, conn: &Conn) -> (wire::Limits, usize) {
    let mut limits = core.limits.wire();
    let quota = conn.grant().quotas.payload.map_or(usize::MAX, |payload| payload as usize);
    let largest = limits.max_payload.min(quota);
    limits.max_payload = limits.max_payload.min(largest.max(reserved::MAX_TOKEN));
    limits.max_control_line = limits.max_control_line.max(64);
    (limits, largest)
}
