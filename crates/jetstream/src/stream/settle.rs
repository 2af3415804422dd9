//! What the store's commit thread says: acknowledgements that are due, and what was taken back because writing failed.
//!
//! A store that failed goes on after a while, and its positions go on too: that a later position is committed says
//! nothing about one that was taken back. So every failure is kept until it was settled here, and nothing is stored,
//! acknowledged or taken for a duplicate before that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use broker::Letter;
use parking_lot::Mutex;
use store::{Committed, Listener, Stopped};

use super::acks::Due;
use super::ingest::Ingest;
use super::{Stream, headers};
use crate::errors as e;
use crate::hub::Hub;

/// Acknowledgements that the commit thread sends itself: waking who sends them would take longer.
const FEW: usize = 64;

/// What was taken back.
#[derive(Debug)]
struct Failure {
    /// Positions above this one, up to and including the next.
    from: u64,
    upto: u64,
    /// Sequences after this one will be used again.
    last_seq: u64,
    why: String,
}

/// Failures that are not settled.
#[derive(Debug, Default)]
pub(super) struct Failures {
    any: AtomicBool,
    list: Mutex<Vec<Failure>>,
}

impl Failures {
    fn push(&self, failure: Failure) {
        let mut list = self.list.lock();
        list.push(failure);
        self.any.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<Failure> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut list)
    }
}

/// Told by the store's commit thread.
pub(super) struct Watcher(Weak<Stream>);

impl Watcher {
    pub(super) fn of(stream: &Arc<Stream>) -> Self {
        Self(Arc::downgrade(stream))
    }

    fn hand_on(stream: Arc<Stream>, hub: &Hub) {
        if !stream.queued.swap(true, Ordering::AcqRel) {
            drop(hub.committed.push(stream));
        }
    }

    fn stream(&self) -> Option<(Arc<Stream>, Arc<Hub>)> {
        let stream = self.0.upgrade()?;
        let hub = stream.account()?.hub()?;
        Some((stream, hub))
    }
}

impl Listener for Watcher {
    fn committed(&self, _: Committed) {
        let Some((stream, hub)) = self.stream() else { return };
        stream.news.store(true, Ordering::Release);
        if !hub.answers_now(&stream) {
            Self::hand_on(stream, &hub);
        }
    }

    fn failed(&self, why: &Stopped, last: Committed) {
        let Some((stream, hub)) = self.stream() else { return };
        // The commit thread is here: no other failure can have come since.
        if let Some((from, upto)) = stream.log.taken_back() {
            stream.failures.push(Failure { from, upto, last_seq: last.seq, why: why.to_string() });
        }
        Self::hand_on(stream, &hub);
    }
}

impl Stream {
    /// Takes note of what was taken back: who waits for it is refused, its message ids are forgotten.
    pub(super) fn settle(&self, ingest: &mut Ingest) {
        for Failure { from, upto, last_seq, why } in self.failures.take() {
            let refusal = self.acks.refusal(&e::STREAM_STORE_FAILED.with(why));
            ingest.waiting.refuse(from, upto, &refusal.into());
            ingest.republish.take_back(from, upto);
            self.fast_batches_closed(ingest.fast.take_back(from));
            ingest.dedupe.forget_after(last_seq);
            let last = self.log.get(last_seq).ok().flatten();
            let id = last.as_ref().and_then(|last| headers::get(last.headers(), b"Nats-Msg-Id"));
            ingest.dedupe.set_last(id.unwrap_or_default());
        }
    }

    /// Works off what the store has told. Called by the task that sends acknowledgements.
    pub(crate) fn work_off(&self, due: &mut Due, out: &mut broker::Outlet) {
        let _sending = self.sending.lock();
        self.queued.store(false, Ordering::Release);
        self.answer(due, out);
        out.flush();
    }

    /// The same where it is soon done; `false` when it is not, or somebody is at it already. Called by the commit thread.
    pub(crate) fn work_off_few(&self, due: &mut Due, out: &mut broker::Outlet) -> bool {
        let few = || self.ingest.lock().waiting.len() <= FEW;
        if self.queued.load(Ordering::Acquire) || !few() {
            return false;
        }
        let Some(_sending) = self.sending.try_lock() else { return false };
        self.answer(due, out);
        out.flush();
        true
    }

    fn answer(&self, due: &mut Due, out: &mut broker::Outlet) {
        // First how far: what was taken back below was told before, as the store goes on only after that.
        let durable = self.log.durable();
        {
            let mut ingest = self.ingest.lock();
            self.settle(&mut ingest);
            ingest.waiting.take(durable, due);
            ingest.republish.take(durable, out);
            self.hold(&mut ingest);
        }
        let mut ack = Vec::with_capacity(128);
        for (reply, sequence, extra) in due.iter().filter(|(reply, ..)| !reply.is_empty()) {
            ack.clear();
            self.acks.write(&mut ack, sequence, extra);
            out.push(&Letter { subject: reply, payload: &ack, ..Letter::default() });
        }
        self.port.release(due.held());
        self.tell_consumers();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use broker::{Message, Server, ServerConfig};
    use identity::Grant;
    use store::disk::{Fault, SimDisk};
    use store::{Store, StoreOptions};

    use super::*;
    use crate::Settings;
    use crate::config::{Storage, StreamConfig};
    use crate::hub::Hub;
    use crate::stream::NewStream;

    struct Silent;

    impl super::super::ingest::Answers for Silent {
        fn send(&mut self, letter: &Letter<'_>) {
            panic!("answered at once: {}", String::from_utf8_lossy(letter.payload));
        }
    }

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl super::super::ingest::Answers for Heard {
        fn send(&mut self, letter: &Letter<'_>) {
            self.0.push(String::from_utf8_lossy(letter.payload).into_owned());
        }
    }

    struct Rig {
        disk: SimDisk,
        hub: Arc<Hub>,
        stream: Arc<Stream>,
        client: broker::LocalClient,
    }

    /// A stream on a disk that can fail, and nobody who works off what its store tells.
    fn rig() -> Rig {
        let disk = SimDisk::new(1);
        let options = StoreOptions { retry_after: Duration::from_millis(1), ..StoreOptions::default() };
        let store = Store::open_on(Arc::new(disk.clone()), Path::new("/store"), options).unwrap();
        let server = Server::new(ServerConfig::default());
        let mut client = server.local_client("tester", Arc::new(Grant::unrestricted("tester")));
        client.subscribe("in.>", None).unwrap();
        let hub = Hub::new(server, store, Settings::default());
        let account = hub.open_account(identity::DEFAULT_ACCOUNT).unwrap();
        let mut config = StreamConfig { name: "S".into(), storage: Storage::File, ..StreamConfig::default() };
        config.subjects = vec!["s".into()];
        config.max_msg_size = -1;
        config.duplicate_window = 60_000_000_000;
        config.allow_batched = true;
        let new = NewStream { config, created: crate::stamp::Stamp(0) };
        let stream = Stream::create(&hub, &account, new).unwrap();
        Rig { disk, hub, stream, client }
    }

    impl Rig {
        fn publish(&self, reply: &str, id: &str) {
            let headers = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n");
            let message = Message { reply: reply.as_bytes(), headers: headers.as_bytes(), payload: b"x" };
            self.stream.publish(b"s", &[message], self.stream.now(), &mut Silent);
            // As when the publisher's read batch ends: only then is anything written.
            broker::Handler::batch_done(&*self.stream);
        }

        /// Lets writing fail with what waits, and go on again; nothing of it is worked off.
        fn fail_and_go_on(&self) {
            let failures = self.stream.failures.list.lock().len();
            self.until(|stream| stream.failures.list.lock().len() > failures);
            self.disk.heal();
            self.until(|stream| stream.log.stopped().is_none());
        }

        fn until(&self, done: impl Fn(&Stream) -> bool) {
            let begun = std::time::Instant::now();
            while !done(&self.stream) {
                assert!(begun.elapsed() < Duration::from_secs(10), "it never happens");
                std::thread::yield_now();
            }
        }

        /// What those who published are told in the end, in order.
        async fn answers(&mut self, count: usize) -> Vec<String> {
            self.until(|stream| stream.log.durable() >= stream.ingest.lock().waiting.last_position());
            let account = self.stream.account().unwrap();
            let mut outlet = account.port.outlet();
            self.stream.work_off(&mut Due::default(), &mut outlet);
            outlet.flush();
            let mut answers = Vec::new();
            for _ in 0..count {
                let next = tokio::time::timeout(Duration::from_secs(10), self.client.next()).await;
                let answer = next.expect("an answer").unwrap();
                let said: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
                let what = if said["error"].is_null() { said["seq"].to_string() } else { "refused".into() };
                answers.push(format!("{} {what}", String::from_utf8_lossy(&answer.subject)));
            }
            answers
        }
    }

    #[tokio::test]
    async fn what_failed_is_refused_when_the_store_went_on_before_anybody_looked() {
        let mut rig = rig();
        for fault in [Fault::Sync, Fault::Write] {
            rig.disk.inject(fault);
            rig.publish("in.lost", "a");
            rig.fail_and_go_on();
        }
        // The id of the lost one is free, and it is stored now.
        rig.publish("in.kept", "a");
        assert_eq!(rig.answers(3).await, ["in.lost refused", "in.lost refused", "in.kept 1"]);
        assert_eq!(rig.stream.log.last_seq(), 1);
        drop(rig.hub);
    }

    #[tokio::test]
    async fn a_fast_batch_that_lost_messages_is_unknown_from_then_on() {
        let mut rig = rig();
        let say = |rig: &Rig, sequence: u64, operation: u8| {
            let reply = format!("in.b.1.fail.{sequence}.{operation}.$FI");
            let message = Message { reply: reply.as_bytes(), headers: b"", payload: b"x" };
            let mut heard = Heard::default();
            rig.stream.publish(b"s", &[message], rig.stream.now(), &mut heard);
            broker::Handler::batch_done(&*rig.stream);
            heard.0
        };
        assert_eq!(say(&rig, 1, 0), [r#"{"type":"ack","seq":0,"msgs":1}"#]);
        assert_eq!(rig.answers(1).await, ["in.b.1.fail.1.0.$FI 1"]);
        rig.disk.inject(Fault::Sync);
        assert_eq!(say(&rig, 2, 1), [""; 0]);
        rig.fail_and_go_on();
        // What it is told is not that the message is stored, and it can't go on as if it were.
        let unknown = say(&rig, 3, 1);
        assert!(unknown.len() == 1 && unknown[0].contains("10208"), "{unknown:?}");
        assert_eq!(rig.answers(1).await, ["in.b.1.fail.2.1.$FI refused"]);
        assert_eq!(rig.stream.log.last_seq(), 1);
        drop(rig.hub);
    }
}
