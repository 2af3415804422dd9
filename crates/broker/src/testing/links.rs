//! What crosses a link, and what does not.

use super::*;
use crate::Direction::{Both, Inward, Outward};

#[test]
fn a_reply_no_route_can_bring_back_does_not_cross() {
    let rig = Rig::new();
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("orders.>", Inward, None)]));
    link.say("LS+ orders.>\r\n");
    link.heard();
    let mut partner = rig.client();
    partner.say("PUB orders.1 internal.shutdown 2\r\nhi\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 2\r\nhi\r\n");
    partner.say("HPUB orders.1 internal.shutdown 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert_eq!(link.heard(), "HMSG orders.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    partner.say("PUB orders.1 $JS.ACK.ORDERS.c.1.2.3.4.5 2\r\nhi\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 2\r\nhi\r\n");
}

#[test]
fn a_reply_to_a_queue_group_over_there_is_held_to_the_same_rule() {
    let rig = Rig::new();
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("orders.>", Inward, None)]));
    link.say("LS+ orders.> workers 1\r\n");
    link.heard();
    rig.client().say("PUB orders.1 internal.shutdown 2\r\nhi\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 | workers 2\r\nhi\r\n");
}

#[test]
fn a_reply_a_route_brings_back_crosses_under_its_name_over_there() {
    let rig = Rig::new();
    let routes = [("orders.>", Inward, None), ("ext.answers.*", Outward, Some("answers.{1}"))];
    let mut link = rig.link("bus", Role::Spoke, crossing(&routes));
    link.say("LS+ orders.>\r\n");
    let mut partner = rig.client();
    partner.say("SUB answers.* 1\r\n");
    link.heard();
    partner.say("PUB orders.1 answers.7 2\r\nhi\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 ext.answers.7 2\r\nhi\r\n");
    link.say("LMSG ext.answers.7 2\r\nok\r\n");
    assert_eq!(partner.heard(), "MSG answers.7 1 2\r\nok\r\n");
}

#[test]
fn a_reply_in_an_isolated_inbox_crosses_as_it_is_and_comes_back() {
    let rig = Rig::new();
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("orders.>", Inward, None)]));
    link.say("LS+ orders.>\r\n");
    link.heard();
    let mut partner = rig.enter(Who::isolated());
    partner.say("SUB _INBOX.abc.* 1\r\nPUB orders.1 _INBOX.abc.1 2\r\nhi\r\n");
    let heard = link.heard();
    let reply = heard.split(' ').nth(2).unwrap().to_owned();
    assert!(reply.starts_with("_INBOX.") && reply.ends_with(".abc.1"), "{heard}");
    link.say(&format!("LMSG {reply} 2\r\nok\r\n"));
    assert_eq!(partner.heard(), "MSG _INBOX.abc.1 1 2\r\nok\r\n");
}

#[test]
fn without_routes_replies_are_left_alone() {
    let rig = Rig::new();
    let mut link = rig.link("leaf", Role::Hub, None);
    link.say("LS+ orders.>\r\n");
    link.heard();
    rig.client().say("PUB orders.1 any.thing 2\r\nhi\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 any.thing 2\r\nhi\r\n");
}

#[test]
fn an_answer_goes_back_over_its_link_alone_and_only_once() {
    let rig = Rig::new();
    let routes = [("jobs.>", Both, None)];
    let mut one = rig.link("one", Role::Spoke, crossing(&routes));
    let two = rig.link("two", Role::Spoke, crossing(&routes));
    let mut service = rig.client();
    service.say("SUB jobs.run 1\r\n");
    // The requester listens on a subject that a route names: the answer would cross by itself.
    one.say("LS+ jobs.answer\r\n");
    one.heard();
    two.heard();
    one.say("LMSG jobs.run jobs.answer 2\r\nhi\r\n");
    assert_eq!(service.heard(), "MSG jobs.run 1 jobs.answer 2\r\nhi\r\n");
    service.say("PUB jobs.answer 2\r\nok\r\n");
    assert_eq!(one.heard(), "LMSG jobs.answer 2\r\nok\r\n");
    assert_eq!(two.heard(), "");
    // What no route names goes back too, once it is owed, and to nobody else.
    one.say("LMSG jobs.run internal.box 2\r\nhi\r\n");
    two.heard();
    service.say("PUB internal.box 2\r\nok\r\n");
    assert_eq!((one.heard().as_str(), two.heard().as_str()), ("LMSG internal.box 2\r\nok\r\n", ""));
    service.say("PUB internal.other 2\r\nok\r\n");
    assert_eq!((one.heard(), two.heard()), (String::new(), String::new()));
}

#[test]
fn an_answer_carries_no_reply_of_its_own_across() {
    let rig = Rig::new();
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("jobs.>", Outward, None)]));
    let mut service = rig.client();
    service.say("SUB jobs.run 1\r\n");
    link.say("LMSG jobs.run _INBOX.boss 2\r\nhi\r\n");
    link.heard();
    service.say("PUB _INBOX.boss internal.shutdown 2\r\nok\r\n");
    assert_eq!(link.heard(), "LMSG _INBOX.boss 2\r\nok\r\n");
}

/// What two ends of ours say to each other: a link whose other end is another rig's.
struct Between {
    here: Peer,
    there: Peer,
}

impl Between {
    fn new(one: &Rig, two: &Rig) -> Self {
        let here = one.link_with("two", Role::Hub, None, one.group(None), true);
        let there = two.link_with("one", Role::Spoke, None, two.group(None), true);
        Self { here, there }
    }

    /// Passes on what each has said until nothing more is said; `lose` drops lines on the way there.
    fn talk(&mut self, mut lose: impl FnMut(&str) -> bool) {
        loop {
            let (to_there, to_here) = (self.here.heard(), self.there.heard());
            if to_there.is_empty() && to_here.is_empty() {
                return;
            }
            let kept: String = to_there.split_inclusive("\r\n").filter(|line| !lose(line)).collect();
            self.there.say(&kept);
            self.here.say(&to_here);
        }
    }
}

#[test]
fn interest_that_was_lost_on_the_way_is_found_missing_and_told_anew() {
    let (one, two) = (Rig::new(), Rig::new());
    let mut subscriber = one.client();
    subscriber.say("SUB orders.1 1\r\nSUB orders.2 q 2\r\nSUB orders.3 3\r\n");
    let mut link = Between::new(&one, &two);
    let mut lost = 0;
    link.talk(|line| {
        let lose = line.starts_with("LS+ orders.2") && lost == 0;
        lost += usize::from(lose);
        lose
    });
    assert_eq!(lost, 1);
    let counters = two.0.counters();
    assert_eq!(counters.interest_differed.get(), 1, "found once");
    let mut publisher = two.client();
    publisher.say("PUB orders.2 2\r\nhi\r\n");
    link.talk(|_| false);
    assert_eq!(subscriber.heard(), "MSG orders.2 2 2\r\nhi\r\n");
    // What is there too much is found as well: the end of an interest that got lost.
    subscriber.say("UNSUB 1\r\n");
    link.talk(|line| line.starts_with("LS- orders.1"));
    if let Session::Link(session) = &link.here.session {
        session.sum_up();
    }
    link.talk(|_| false);
    assert_eq!(counters.interest_differed.get(), 2);
    publisher.say("PUB orders.1 2\r\nno\r\nPUB orders.3 2\r\nok\r\n");
    assert_eq!(link.there.heard_times("LMSG orders.1"), 0);
    // And when nothing is lost, nothing differs.
    subscriber.say("SUB orders.4 4\r\nSUB orders.2 q 5\r\nUNSUB 3\r\n");
    if let Session::Link(session) = &link.here.session {
        session.sum_up();
    }
    link.talk(|_| false);
    assert_eq!(counters.interest_differed.get(), 2);
}

#[test]
fn messages_with_the_same_line_are_all_taken_counted_and_kept_in_order() {
    let rig = Rig::new();
    let routes = [("orders.*", Inward, None), ("news.*", Outward, Some("told.{1}"))];
    let mut link = rig.link("bus", Role::Spoke, crossing(&routes));
    link.say("LS+ orders.*\r\n");
    let mut partner = rig.client();
    partner.say("SUB told.* 1\r\n");
    link.heard();
    let pairs = [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("a", 5), ("a", 6)];
    let lines = |verb: &str, line: &str| -> String {
        pairs.iter().map(|(name, n)| format!("{verb} {line}.{name} 2\r\n0{n}\r\n")).collect()
    };
    partner.say(&lines("PUB", "orders"));
    assert_eq!(link.heard(), lines("LMSG", "orders"));
    link.say(&(lines("LMSG", "news") + &lines("LMSG", "secret")));
    let told: String = pairs.iter().map(|(name, n)| format!("MSG told.{name} 1 2\r\n0{n}\r\n")).collect();
    assert_eq!(partner.heard(), told);
    let counted = |peer: &Peer| {
        let conn = peer.conn();
        [&conn.in_messages, &conn.in_bytes].map(|count| count.load(Ordering::Relaxed))
    };
    assert_eq!((counted(&partner), counted(&link)), ([6, 12], [6, 12]));
    assert_eq!(rig.0.core.counters.link_filtered.get(), 6);
}
