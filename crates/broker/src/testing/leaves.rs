//! Leaves with rights of their own are held to them, in both directions.

use identity::ResponseLimit;

use super::{Rig, rights};

#[test]
fn a_leaf_is_told_only_interest_it_may_meet_and_given_only_what_it_may_hear() {
    let rig = Rig::new();
    let mut inside = rig.client();
    inside.say("SUB in.> 1\r\nSUB elsewhere.* 2\r\nSUB secret.a 3\r\n");
    let allowed = rights(&["in.orders.>"], (&["out.>", "jobs.x q1"], &["out.secret.>"]), None);
    let mut leaf = rig.leaf("leaf", allowed);
    let told = leaf.heard();
    assert!(told.contains("LS+ in.>\r\n"), "some of it may come: {told}");
    assert!(!told.contains("LS+ elsewhere") && !told.contains("secret"), "{told}");
    leaf.say("LS+ out.>\r\nLS+ > everything 1\r\nLS+ jobs.x q1 1\r\n");
    let mut publisher = rig.client();
    publisher.say("PUB out.a 1\r\n1\r\nPUB out.secret.a 1\r\n2\r\nPUB other 1\r\n3\r\nPUB jobs.x 1\r\n4\r\n");
    let got = leaf.heard();
    assert!(got.contains("LMSG out.a") && got.contains("LMSG jobs.x"), "{got}");
    assert!(!got.contains("secret") && !got.contains("other"), "{got}");
    leaf.say("LMSG in.orders.1 2\r\nhi\r\n");
    assert_eq!(inside.heard(), "MSG in.orders.1 1 2\r\nhi\r\n");
}

#[test]
fn a_leaf_that_sends_or_asks_for_what_it_may_not_is_ended() {
    for (line, text) in [
        ("LMSG secret.a 2\r\nhi\r\n", "Permissions Violation for Publish to \"secret.a\""),
        ("LS+ secret.a\r\n", "Permissions Violation for Subscription to \"secret.a\""),
    ] {
        let rig = Rig::new();
        let mut inside = rig.client();
        inside.say("SUB > 1\r\n");
        let mut leaf = rig.leaf("leaf", rights(&["in.>"], (&["out.>"], &[]), None));
        let progress = leaf.say(line);
        assert!(matches!(progress.pause, crate::session::Pause::Close(_)), "{line}");
        assert!(leaf.heard().contains(text));
        assert_eq!(inside.heard(), "");
    }
}

#[test]
fn a_leaf_may_answer_what_it_was_asked_as_often_as_it_may() {
    let rig = Rig::new();
    let mut asking = rig.client();
    asking.say("SUB _INBOX.a.* 1\r\n");
    let once = ResponseLimit { max: Some(1), ttl: None };
    let mut leaf = rig.leaf("leaf", rights(&["in.>"], (&["service"], &[]), Some(once)));
    leaf.say("LS+ service\r\n");
    asking.say("PUB service _INBOX.a.1 1\r\n?\r\n");
    assert!(leaf.heard().contains("LMSG service _INBOX.a.1 1\r\n?\r\n"));
    leaf.say("LMSG _INBOX.a.1 1\r\n!\r\n");
    assert_eq!(asking.heard(), "MSG _INBOX.a.1 1 1\r\n!\r\n");
    // Ways that lead back by themselves are free; a second answer is not.
    leaf.say("LMSG _R_.x 1\r\n!\r\nLMSG $JS.ACK.s.c.1.1.1.1.0 1\r\n!\r\n");
    let progress = leaf.say("LMSG _INBOX.a.1 1\r\n!\r\n");
    assert!(matches!(progress.pause, crate::session::Pause::Close(_)));
    assert_eq!(asking.heard(), "");
    // Also when both come at once.
    let mut leaf = rig.leaf("other", rights(&["in.>"], (&["service"], &[]), Some(once)));
    leaf.say("LS+ service\r\n");
    asking.say("PUB service _INBOX.a.2 1\r\n?\r\n");
    let progress = leaf.say("LMSG _INBOX.a.2 1\r\n!\r\nLMSG _INBOX.a.2 1\r\n!\r\n");
    assert!(matches!(progress.pause, crate::session::Pause::Close(_)));
    assert_eq!(asking.heard(), "MSG _INBOX.a.2 1 1\r\n!\r\n");
}
