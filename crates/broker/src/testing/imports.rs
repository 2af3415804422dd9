//! From account to account: streams under another name, services and their answers, and nothing else.

use super::*;
use crate::import::{ResponseKind, ServiceTerms};

fn member(rig: &Rig, account: &str) -> Peer {
    let mut who = Who::default();
    who.grant.account = account.into();
    who.features.no_responders = true;
    rig.enter(who)
}

#[test]
fn a_stream_arrives_under_its_name_here_and_only_while_wanted() {
    let rig = Rig::new();
    rig.0.import_stream("A", "orders.*", "B", "from.a.$1").unwrap();
    let (mut a, mut b, mut other) = (member(&rig, "A"), member(&rig, "B"), member(&rig, "C"));
    other.say("SUB > 1\r\n");
    a.say("SUB _INBOX.> 9\r\nPUB orders.1 _INBOX.1 1\r\nx\r\n");
    assert_eq!(a.heard(), "HMSG _INBOX.1 9 40 40\r\nNATS/1.0 503\r\nNats-Subject: orders.1\r\n\r\n\r\n");
    b.say("SUB from.> 1\r\nSUB orders.* 2\r\n");
    for _ in 0..3 {
        a.say("PUB orders.1 1\r\nx\r\nPUB orders.1.2 1\r\nx\r\n");
    }
    assert_eq!(b.heard(), "MSG from.a.1 1 1\r\nx\r\n".repeat(3));
    b.say("UNSUB 1\r\n");
    a.say("PUB orders.1 1\r\nx\r\n");
    b.say("PUB from.a.1 1\r\nx\r\n");
    assert_eq!((b.heard(), other.heard()), (String::new(), String::new()));
}

#[test]
fn each_account_has_its_queue_groups() {
    let rig = Rig::new();
    rig.0.import_stream("A", ">", "B", ">").unwrap();
    let (mut a, mut b1, mut b2, mut publisher) =
        (member(&rig, "A"), member(&rig, "B"), member(&rig, "B"), member(&rig, "A"));
    for peer in [&mut a, &mut b1, &mut b2] {
        peer.say("SUB jobs q 1\r\n");
    }
    for _ in 0..10 {
        publisher.say("PUB jobs 1\r\nx\r\n");
    }
    assert_eq!(a.heard_times("MSG jobs"), 10);
    assert_eq!(b1.heard_times("MSG jobs") + b2.heard_times("MSG jobs"), 10);
}

#[test]
fn a_service_learns_who_asks_and_answers_once() {
    let rig = Rig::new();
    rig.0.import_service("A", "help.*", "B", "ask.*", ServiceTerms::default()).unwrap();
    let (mut service, mut asker) = (member(&rig, "A"), member(&rig, "B"));
    asker.say("SUB _INBOX.> 1\r\nPUB ask.1 _INBOX.1 1\r\nx\r\n");
    assert!(asker.heard().contains("NATS/1.0 503"), "nobody is there yet");
    service.say("SUB help.* 7\r\n");
    // What the asker says of itself does not get through.
    let forged = "NATS/1.0\r\nnats-request-info: {\"acc\":\"Z\"}\r\nA: b\r\n\r\n";
    asker.say(&format!("HPUB ask.1 _INBOX.1 {} {}\r\n{forged}x\r\n", forged.len(), forged.len() + 1));
    let heard = service.heard();
    assert!(heard.starts_with("HMSG help.1 7 _R_."), "{heard}");
    assert!(heard.contains("\r\nA: b\r\nNats-Request-Info: {\"acc\":\"B\"}\r\n\r\nx\r\n"), "{heard}");
    assert!(!heard.contains("\"Z\""), "{heard}");
    let reply = heard.split(' ').nth(3).unwrap().to_owned();
    service.say(&format!("PUB {reply} 1\r\n1\r\nPUB {reply} 1\r\n2\r\n"));
    service.say(&format!("PUB {reply} 1\r\n3\r\n"));
    assert_eq!(asker.heard(), "MSG _INBOX.1 1 1\r\n1\r\n");
}

#[test]
fn a_service_that_answers_often_ends_with_an_empty_answer() {
    let rig = Rig::new();
    let terms = ServiceTerms { responses: ResponseKind::Many, share: true, ..ServiceTerms::default() };
    rig.0.import_service("A", "list", "B", "list", terms).unwrap();
    let (mut service, mut asker) = (member(&rig, "A"), member(&rig, "B"));
    service.say("SUB list 1\r\n");
    asker.say("SUB in 1\r\nPUB list in 0\r\n\r\n");
    let heard = service.heard();
    assert!(heard.contains("\"user\":\"tester\""), "{heard}");
    let reply = heard.split(' ').nth(3).unwrap().to_owned();
    service.say(&format!("PUB {reply} 1\r\n1\r\nPUB {reply} 1\r\n2\r\n"));
    service.say(&format!("PUB {reply} 0\r\n\r\nPUB {reply} 1\r\n3\r\n"));
    assert_eq!(asker.heard(), "MSG in 1 1\r\n1\r\nMSG in 1 1\r\n2\r\nMSG in 1 0\r\n\r\n");
}

#[test]
fn imports_of_imports_and_circles_end() {
    let rig = Rig::new();
    let terms = ServiceTerms::default;
    rig.0.import_service("A", "s", "B", "s", terms()).unwrap();
    rig.0.import_service("B", "s", "C", "s", terms()).unwrap();
    let (mut service, mut asker) = (member(&rig, "A"), member(&rig, "C"));
    service.say("SUB s 1\r\n");
    asker.say("SUB in 1\r\nPUB s in 1\r\nx\r\n");
    let reply = service.heard().split(' ').nth(3).unwrap().to_owned();
    service.say(&format!("PUB {reply} 1\r\n1\r\n"));
    assert_eq!(asker.heard(), "MSG in 1 1\r\n1\r\n");
    rig.0.import_stream("X", ">", "Y", ">").unwrap();
    rig.0.import_stream("Y", ">", "X", ">").unwrap();
    let (mut x, mut y) = (member(&rig, "X"), member(&rig, "Y"));
    y.say("SUB t 1\r\n");
    x.say("PUB t 1\r\nx\r\n");
    assert!(y.heard().starts_with("MSG t 1 1\r\nx\r\n"));
}
