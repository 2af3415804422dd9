//! What happens when more is published than can be taken.

use super::*;
use crate::Direction::Inward;
use crate::conn::CloseReason;
use crate::session::Pause;

/// As patient as a session is after the longest hold.
const OVER: Patience = Patience { link_over: true, overload_over: true };

fn one_message_at_a_time() -> Rig {
    Rig::with(Limits { max_queued_messages: 1, ..Limits::default() })
}

/// A reader that takes nothing, for whom more is queued than the server allows.
fn clogged(rig: &Rig) -> Peer {
    let mut reader = rig.client();
    reader.say("SUB a 1\r\n");
    reader.takes(0);
    rig.client().say("PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n");
    reader
}

#[test]
fn a_publisher_is_held_by_overload_and_released_by_the_reader() {
    let rig = one_message_at_a_time();
    let reader = clogged(&rig);
    let mut publisher = rig.client();
    assert_eq!(publisher.say("PUB a 1\r\n3\r\n").pause, Pause::Overload);
    let woken = Arc::new(Woken::default());
    assert!(!rig.0.core.budget.has_room_or_wait(&woken.clone().into()));
    reader.takes(usize::MAX / 2);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(matches!(publisher.say("").pause, Pause::NeedMore(_)));
    assert_eq!(reader.heard_times("MSG a 1 1\r\n"), 3);
}

#[test]
fn a_publisher_held_too_long_is_refused_in_words_and_nothing_is_queued() {
    let rig = one_message_at_a_time();
    let reader = clogged(&rig);
    let mut publisher = rig.client();
    let progress = publisher.say_patiently("PUB a 1\r\n3\r\n", OVER);
    assert_eq!(progress.pause, Pause::Close(CloseReason::Overloaded));
    assert!(publisher.heard().contains("-ERR 'Stale Connection"), "clients reconnect on these words");
    let mut requester = rig.enter(Who::isolated());
    requester.say("SUB _INBOX.a 7\r\n");
    let progress = requester.say_patiently("PUB a _INBOX.a 1\r\n3\r\n", OVER);
    assert!(matches!(progress.pause, Pause::NeedMore(_)));
    assert!(requester.heard().starts_with("HMSG _INBOX.a 7 33 33\r\nNATS/1.0 503"));
    reader.takes(usize::MAX / 2);
    assert_eq!(reader.heard_times("MSG a"), 2);
}

#[test]
fn overload_holds_publishing_and_nothing_else() {
    let rig = one_message_at_a_time();
    let _reader = clogged(&rig);
    let mut other = rig.client();
    assert!(matches!(other.say("SUB b 1\r\nPING\r\n").pause, Pause::NeedMore(_)));
    assert_eq!(other.heard(), "PONG\r\n");
}

#[test]
fn a_link_is_held_by_overload_too() {
    let rig = one_message_at_a_time();
    let mut link = rig.link("bus", Role::Hub, None);
    let reader = clogged(&rig);
    assert_eq!(link.say("PING\r\nLMSG a 1\r\n3\r\n").pause, Pause::Overload);
    assert!(link.heard().ends_with("PONG\r\n"));
    reader.takes(usize::MAX / 2);
    assert!(matches!(link.say("").pause, Pause::NeedMore(_)));
    assert_eq!(reader.heard_times("MSG a"), 3);
}

#[test]
fn a_held_request_is_never_lost_without_a_word() {
    let rig = Rig::new();
    let _gate = rig.group(crossing(&[("orders.>", Inward, None)]).as_ref());
    // Nobody could be told 503: nobody subscribed to the reply, or headers are not understood.
    let mut publisher = rig.enter(Who::isolated());
    let progress = publisher.say_patiently("PUB orders.1 elsewhere 1\r\nx\r\n", OVER);
    assert_eq!(progress.pause, Pause::Close(CloseReason::LinkUnavailable));
    let mut plain = rig.client();
    plain.say("SUB box 1\r\n");
    let progress = plain.say_patiently("PUB orders.1 box 1\r\nx\r\n", OVER);
    assert_eq!(progress.pause, Pause::Close(CloseReason::LinkUnavailable));
    assert!(!plain.heard().contains("HMSG"));
}

#[test]
fn readers_that_need_a_look_at_each_message_hold_publishers_too() {
    let rig = Rig::new();
    let mut who = Who::default();
    who.features.headers = false;
    let mut reader = rig.enter(who);
    reader.say("SUB a 1\r\n");
    reader.takes(0);
    let mut publisher = rig.client();
    let payload = "x".repeat(10_000);
    for _ in 0..40 {
        publisher.say(&format!("PUB a 10000\r\n{payload}\r\n"));
    }
    assert_eq!(publisher.work.dirty.full.len(), 1);
}

#[test]
fn a_slow_reader_is_cut_and_another_one_gets_everything() {
    let rig = Rig::with(Limits { max_pending: 50_000, ..Limits::default() });
    let (mut slow, mut quick) = (rig.client(), rig.client());
    slow.say("SUB a 1\r\n");
    quick.say("SUB a 2\r\n");
    slow.takes(0);
    let mut publisher = rig.client();
    let payload = "x".repeat(1_000);
    for _ in 0..100 {
        publisher.say(&format!("PUB a 1000\r\n{payload}\r\n"));
    }
    assert_eq!(quick.heard_times("MSG a 2"), 100);
    assert_eq!(slow.conn().outbox.broken(), Some(crate::outbox::Broken::SlowConsumer));
    assert_eq!(rig.0.core.budget.queued(), (0, 0));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_link_that_is_down_holds_no_answers_to_isolated_inboxes() {
    let rig = Rig::new();
    let _gate = rig.group(crossing(&[(">", Inward, None)]).as_ref());
    let mut asker = rig.enter(Who::isolated());
    asker.say("SUB _INBOX.a 1\r\n");
    let inbox = asker.conn().inbox.as_ref().unwrap().isolate(b"_INBOX.a").unwrap();
    let mut service = rig.client();
    let answer = format!("PUB {} 2\r\nok\r\n", String::from_utf8(inbox).unwrap());
    assert!(matches!(service.say(&answer).pause, Pause::NeedMore(_)));
    assert_eq!(asker.heard(), "MSG _INBOX.a 1 2\r\nok\r\n");
    assert_eq!(service.say("PUB other 1\r\nx\r\n").pause, Pause::LinkDown);
}

#[test]
fn a_panic_in_one_session_takes_nothing_from_the_next() {
    let rig = Rig::new();
    let (mut reader, mut publisher) = (rig.client(), rig.client());
    reader.say("SUB a 1\r\n");
    // What a session leaves in the scratch space when it panics between a message and the flush.
    let appended =
        reader.conn().append(crate::outbox::Load::default(), |out| out.extend_from_slice(b"PING\r\n"));
    publisher.work.dirty.note(reader.conn(), appended);
    publisher.work.items.push(crate::route::Item {
        at: 1_000_000,
        len: 10,
        header_len: 0,
        payload_len: 1,
        shown_at: 0,
        shown_len: 0,
        reply_len: 0,
        has_headers: false,
        front: 0,
        rewritten: false,
    });
    publisher.work.begin();
    publisher.say("PUB a 1\r\nx\r\n");
    assert_eq!(reader.heard(), "PING\r\nMSG a 1 1\r\nx\r\n");
}
