//! Code in this process: called with runs, answering, publishing, held back.

use std::sync::Weak;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::Direction::Both;
use crate::handler::{Call, Handler, HandlerPort, OriginKind, Reception};
use crate::outlet::{Letter, Sent};

/// Notes what it was called with, and answers with how many messages came.
#[derive(Default)]
struct Notes {
    heard: Mutex<Vec<String>>,
    batches: AtomicUsize,
    absent: AtomicBool,
}

impl Handler for Notes {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        if self.absent.load(Ordering::SeqCst) {
            return Reception::Absent;
        }
        assert_eq!(call.origin().kind(), OriginKind::Client);
        let texts: Vec<String> = call
            .messages()
            .map(|message| {
                format!(
                    "{}|{}",
                    String::from_utf8_lossy(message.headers),
                    String::from_utf8_lossy(message.payload)
                )
            })
            .collect();
        let subject = String::from_utf8_lossy(call.subject()).into_owned();
        self.heard.lock().push(format!("{subject}:{}", texts.join(",")));
        let count = call.len().to_string();
        for message in call.messages().filter(|message| !message.reply.is_empty()) {
            call.answer(&Letter { subject: message.reply, payload: count.as_bytes(), ..Letter::default() });
        }
        Reception::Taken
    }

    fn batch_done(&self) {
        self.batches.fetch_add(1, Ordering::SeqCst);
    }
}

fn open(rig: &Rig, patterns: &[&str]) -> (Arc<Notes>, HandlerPort) {
    let notes = Arc::new(Notes::default());
    let weak: Weak<Notes> = Arc::downgrade(&notes);
    let port = rig.0.handler("$G", "notes", weak);
    for pattern in patterns {
        port.subscribe(pattern.as_bytes(), None).unwrap();
    }
    (notes, port)
}

#[test]
fn a_handler_is_called_with_runs_and_answers_at_the_end_of_the_batch() {
    let rig = Rig::new();
    let (notes, _port) = open(&rig, &["orders.>"]);
    let mut client = rig.client();
    client.say("SUB in.* 1\r\n");
    client.say(
        "PUB orders.a in.1 1\r\nx\r\nHPUB orders.a in.2 14 15\r\nNATS/1.0\r\nA:\r\n\r\ny\r\nPUB orders.b 1\r\nz\r\n"
            .replace("14 15", "16 17")
            .as_str(),
    );
    assert_eq!(*notes.heard.lock(), ["orders.a:|x,NATS/1.0\r\nA:\r\n\r\n|y", "orders.b:|z"]);
    assert_eq!(notes.batches.load(Ordering::SeqCst), 1);
    assert_eq!(client.heard(), "MSG in.1 1 1\r\n2\r\nMSG in.2 1 1\r\n2\r\n");
}

#[test]
fn an_isolated_client_gets_its_answers_and_is_told_when_nobody_is_there() {
    let rig = Rig::new();
    let (notes, port) = open(&rig, &["orders.>"]);
    let mut client = rig.enter(Who::isolated());
    client.say("SUB _INBOX.x.* 1\r\nPUB orders.a _INBOX.x.7 1\r\nx\r\n");
    assert_eq!(client.heard(), "MSG _INBOX.x.7 1 1\r\n1\r\n");
    notes.absent.store(true, Ordering::SeqCst);
    client.say("PUB orders.a _INBOX.x.8 1\r\nx\r\n");
    assert!(client.heard().contains("503"));
    notes.absent.store(false, Ordering::SeqCst);
    drop(port);
    client.say("PUB orders.a _INBOX.x.9 1\r\nx\r\n");
    assert!(client.heard().contains("503"));
}

#[test]
fn an_outlet_shows_another_subject_and_knows_who_is_there() {
    let rig = Rig::new();
    let (_notes, port) = open(&rig, &[]);
    let (mut direct, mut isolated) = (rig.client(), rig.enter(Who::isolated()));
    direct.say("SUB in.> 1\r\n");
    isolated.say("SUB _INBOX.x.* 2\r\n");
    let mut outlet = port.outlet();
    let letter = Letter {
        subject: b"in.1",
        shown: b"orders.new",
        reply: b"$JS.ACK.1",
        headers: b"NATS/1.0\r\n\r\n",
        payload: b"hi",
    };
    assert_eq!(outlet.push(&letter), Sent::Ok);
    assert_eq!(outlet.push(&Letter { shown: b"", headers: b"", ..letter }), Sent::Ok);
    assert_eq!(outlet.push(&Letter { subject: b"nobody", ..letter }), Sent::Nobody);
    let inside = isolated.conn().inbox.as_ref().unwrap().isolate(b"_INBOX.x.1").unwrap();
    assert_eq!(outlet.push(&Letter { subject: &inside, ..letter }), Sent::Ok);
    outlet.flush();
    let frame = "HMSG orders.new 1 $JS.ACK.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    assert_eq!(direct.heard(), format!("{frame}MSG in.1 1 $JS.ACK.1 2\r\nhi\r\n"));
    assert_eq!(isolated.heard(), frame.replace(" 1 $", " 2 $"));
}

#[test]
fn the_shown_subject_crosses_links() {
    let rig = Rig::new();
    let (_notes, port) = open(&rig, &[]);
    let mut link = rig.link("leaf", Role::Hub, None);
    link.say("LS+ in.1\r\n");
    link.heard();
    let mut outlet = port.outlet();
    let letter = Letter { subject: b"in.1", shown: b"orders.new", reply: b"$JS.ACK.1", ..Letter::default() };
    assert_eq!(outlet.push(&letter), Sent::Ok);
    outlet.flush();
    assert_eq!(link.heard(), "LMSG in.1 $JS.ACK.1@orders.new 0\r\n\r\n");
    let mut client = rig.client();
    client.say("SUB in.2 9\r\n");
    link.say("LMSG in.2 $JS.ACK.1@orders.new 2\r\nhi\r\n");
    assert_eq!(client.heard(), "MSG orders.new 9 $JS.ACK.1 2\r\nhi\r\n");
}

#[test]
fn over_a_link_too_a_requester_is_told_that_nobody_is_there() {
    let rig = Rig::new();
    let (notes, _port) = open(&rig, &["orders.>"]);
    let mut link = rig.link("leaf", Role::Hub, None);
    link.heard();
    notes.absent.store(true, Ordering::SeqCst);
    link.say("LMSG orders.1 in.1 2\r\nhi\r\nLMSG orders.2 2\r\nhi\r\n");
    assert_eq!(link.heard(), "HMSG in.1 40 40\r\nNATS/1.0 503\r\nNats-Subject: orders.1\r\n\r\n\r\n");
}

#[test]
fn interest_is_told_when_it_changes() {
    let rig = Rig::new();
    let (_notes, port) = open(&rig, &["in.>"]);
    assert!(!port.has_interest(b"in.1"));
    let changes = Arc::new(AtomicUsize::new(0));
    let counted = changes.clone();
    let count = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let watch = port.watch(b"in.1", Arc::new(count));
    let mut client = rig.client();
    client.say("SUB in.* q 1\r\nSUB out 2\r\n");
    assert!(port.has_interest(b"in.1"));
    assert_eq!(changes.load(Ordering::SeqCst), 1);
    client.say("UNSUB 1\r\nSUB in.1 3\r\n");
    assert_eq!(changes.load(Ordering::SeqCst), 3);
    drop(watch);
    client.say("UNSUB 3\r\n");
    assert!(!port.has_interest(b"in.1"));
    assert_eq!(changes.load(Ordering::SeqCst), 3);
}

#[test]
fn what_a_handler_holds_holds_its_publishers() {
    let rig = Rig::with(Limits { stall_at: 100, ..Limits::default() });
    let (_notes, port) = open(&rig, &["orders"]);
    let mut client = rig.client();
    port.hold(3201);
    client.say("PUB orders 1\r\nx\r\n");
    let full = &client.work.dirty.full;
    assert_eq!(full.len(), 1);
    assert!(!full[0].outbox.has_room_or_wait(std::task::Waker::noop()));
    port.release(3201);
    assert!(full[0].outbox.has_room_or_wait(std::task::Waker::noop()));
}

/// Answers each message with a list of long ones, to its reply and in between to another subject.
struct Generous;

impl Handler for Generous {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        for message in call.messages() {
            for number in 0..6_u8 {
                let long = [b'0' + number; 100_000];
                call.answer(&Letter { subject: message.reply, payload: &long, ..Letter::default() });
                if number == 4 {
                    let headers = b"NATS/1.0\r\n\r\n";
                    call.answer(&Letter {
                        subject: b"in.other",
                        shown: b"shown",
                        headers,
                        ..Letter::default()
                    });
                }
            }
        }
        Reception::Taken
    }
}

#[test]
fn answers_of_any_length_arrive_in_order() {
    let rig = Rig::new();
    let generous: Arc<dyn Handler> = Arc::new(Generous);
    let port = rig.0.handler("$G", "generous", Arc::downgrade(&generous));
    port.subscribe(b"lists", None).unwrap();
    let mut client = rig.client();
    client.say("SUB in.* 1\r\nPUB lists in.a 0\r\n\r\nPUB lists in.b 0\r\n\r\n");
    let mut expected = String::new();
    for to in ["in.a", "in.b"] {
        for number in 0..6 {
            expected += &format!("MSG {to} 1 100000\r\n{}\r\n", number.to_string().repeat(100_000));
            if number == 4 {
                expected += "HMSG shown 1 12 12\r\nNATS/1.0\r\n\r\n\r\n";
            }
        }
    }
    assert!(client.heard() == expected, "something else arrived");
}

/// Takes what goes nowhere else.
#[derive(Default)]
struct LastResort(AtomicUsize);

impl Handler for LastResort {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        if call.elsewhere() {
            return Reception::Absent;
        }
        self.0.fetch_add(call.len(), Ordering::SeqCst);
        Reception::Taken
    }
}

#[test]
fn what_is_there_for_clients_of_this_server_alone_is_no_business_of_links() {
    let rig = Rig::new();
    let handler = Arc::new(LastResort::default());
    let weak: Weak<LastResort> = Arc::downgrade(&handler);
    let port = rig.0.handler("$G", "here", weak);
    port.subscribe_here(b"orders.>").unwrap();
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("orders.>", Both, None)]));
    assert!(!link.heard().contains("LS+ orders"), "there is nothing the other end should know of");
    let taken = || handler.0.load(Ordering::SeqCst);
    let mut client = rig.client();
    client.say("PUB orders.1 1\r\nx\r\n");
    assert_eq!(taken(), 1);
    link.say("LMSG orders.1 1\r\nx\r\n");
    assert_eq!(taken(), 1, "it came over a link");
    link.say("LS+ orders.>\r\n");
    link.heard();
    client.say("PUB orders.1 1\r\ny\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 1\r\ny\r\n");
    assert_eq!(taken(), 1, "the other end has somebody");
    link.say("LS- orders.>\r\n");
    client.say("PUB orders.1 1\r\nz\r\n");
    assert_eq!(taken(), 2);
}
