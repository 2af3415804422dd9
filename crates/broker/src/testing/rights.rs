//! Nothing is delivered or published that the grant does not allow, whenever the grant was given.

use super::*;
use crate::Direction::Inward;

#[test]
fn a_subscription_does_not_outlive_the_right_to_it() {
    let rig = Rig::new();
    let mut publisher = rig.client();
    let mut reader = rig.client();
    reader.say("SUB a.* 1\r\nSUB b.* 2\r\nSUB > 3\r\n");
    publisher.say("PUB b.1 1\r\nx\r\nPUB b.1 1\r\nx\r\nPUB b.1 1\r\nx\r\n");
    assert_eq!(reader.heard_times("MSG b.1"), 6);
    let mut less = Grant::unrestricted("tester");
    less.rights = rights(&[">"], (&["a.>"], &[]), None);
    reader.conn().set_grant(Arc::new(less));
    let told = reader.heard();
    assert!(told.contains("Permissions Violation for Subscription to \"b.*\""), "{told}");
    publisher.say("PUB b.1 1\r\nx\r\nPUB a.1 1\r\nx\r\n");
    assert_eq!(reader.heard(), "MSG a.1 1 1\r\nx\r\n");
    assert_eq!(reader.conn().subs.lock().len(), 1);
}

#[test]
fn rights_to_publish_change_at_once_cached_or_not() {
    let rig = Rig::new();
    let mut reader = rig.client();
    reader.say("SUB a 1\r\n");
    let mut publisher = rig.client();
    for _ in 0..4 {
        publisher.say("PUB a 1\r\nx\r\nPUB b 1\r\nx\r\n");
    }
    assert_eq!(reader.heard_times("MSG a"), 4);
    let mut less = Grant::unrestricted("tester");
    less.rights = rights(&["b"], (&[">"], &[]), None);
    publisher.conn().set_grant(Arc::new(less));
    publisher.say("PUB b 1\r\nx\r\nPUB a 1\r\nx\r\n");
    assert_eq!(reader.heard(), "");
    assert!(publisher.heard().contains("Permissions Violation for Publish to \"a\""));
}

#[test]
fn a_smaller_payload_quota_counts_from_the_next_message_on() {
    let rig = Rig::new();
    let mut publisher = rig.client();
    publisher.say("PUB a 4\r\nabcd\r\n");
    let mut less = Grant::unrestricted("tester");
    less.quotas.payload = Some(2);
    publisher.conn().set_grant(Arc::new(less));
    publisher.say("PUB a 4\r\nabcd\r\n");
    assert!(publisher.heard().contains("Maximum Payload Violation"));
}

#[test]
fn what_is_denied_is_not_delivered_to_wildcards_nor_to_that_queue_group() {
    let rig = Rig::new();
    let mut reader = rig.enter(Who::with_rights(rights(&[], (&[">"], &["secret.>", "jobs.* night"]), None)));
    reader.say("SUB > 1\r\nSUB jobs.* day 2\r\nSUB jobs.* night 3\r\n");
    assert_eq!(reader.heard_times("Permissions Violation"), 1);
    let mut publisher = rig.client();
    publisher.say("PUB secret.x 1\r\nx\r\nPUB open.x 1\r\nx\r\nPUB jobs.1 1\r\nx\r\n");
    assert_eq!(reader.heard(), "MSG open.x 1 1\r\nx\r\nMSG jobs.1 1 1\r\nx\r\nMSG jobs.1 2 1\r\nx\r\n");
}

#[test]
fn an_isolated_inbox_is_heard_by_its_owner_alone() {
    let rig = Rig::new();
    let (mut owner, mut other) = (rig.enter(Who::isolated()), rig.enter(Who::isolated()));
    let mut service = rig.client();
    let mut nosy = rig.client();
    nosy.say("SUB > 1\r\nSUB _INBOX.> 2\r\nSUB _INBOX.> q 3\r\n");
    other.say("SUB _INBOX.> 1\r\nSUB > 2\r\n");
    let mut local = rig.0.local_client("local", Arc::new(Grant::unrestricted("local")));
    local.subscribe(">", None).unwrap();
    let mut leaf = rig.link("leaf", Role::Hub, None);
    let mut routed = rig.link("routed", Role::Spoke, crossing(&[(">", Inward, None)]));
    leaf.say("LS+ >\r\nLS+ _INBOX.>\r\n");
    routed.say("LS+ >\r\nLS+ _INBOX.> q 1\r\n");
    service.say("SUB ask 1\r\n");
    owner.say("SUB _INBOX.me.* 1\r\nPUB ask _INBOX.me.1 1\r\nx\r\n");
    let reply = service.heard().split(' ').nth(3).unwrap().to_owned();
    let heard = || (nosy.heard(), other.heard(), leaf.heard(), routed.heard());
    heard();
    service.say(&format!("PUB {reply} 2\r\nok\r\n"));
    assert_eq!(owner.heard(), "MSG _INBOX.me.1 1 2\r\nok\r\n");
    assert_eq!(heard(), Default::default());
    assert_eq!(local.poll_now().map(|message| message.subject), Some(b"ask".to_vec()));
    assert_eq!(local.poll_now(), None);
}

#[test]
fn an_answer_is_a_right_so_often_and_not_used_up_by_waiting() {
    let rig = Rig::new();
    let limit = ResponseLimit { max: Some(1), ttl: None };
    let mut service = rig.enter(Who::with_rights(rights(&[], (&["ask"], &[]), Some(limit))));
    service.say("SUB ask 1\r\n");
    let mut asker = rig.client();
    asker.say("SUB box.1 1\r\nPUB ask box.1 1\r\nx\r\n");
    let gate = rig.group(crossing(&[("box.>", Inward, None)]).as_ref());
    assert_eq!(service.say("PUB box.1 1\r\ny\r\n").pause, crate::session::Pause::LinkDown);
    let up = gate.ready(asker.conn());
    service.say("PUB box.1 1\r\nz\r\n");
    assert_eq!(asker.heard(), "MSG box.1 1 1\r\ny\r\n");
    assert!(service.heard().contains("Permissions Violation for Publish to \"box.1\""));
    drop(up);
}

#[test]
fn a_second_answer_to_the_same_subject_finds_who_listens_by_then() {
    let rig = Rig::new();
    let limit = ResponseLimit { max: None, ttl: None };
    let mut service = rig.enter(Who::with_rights(rights(&[], (&["ask"], &[]), Some(limit))));
    service.say("SUB ask 1\r\n");
    let (mut first, mut second) = (rig.client(), rig.client());
    first.say("SUB box 1\r\nPUB ask box 1\r\nx\r\n");
    service.say("PUB box 1\r\ny\r\n");
    assert_eq!(first.heard(), "MSG box 1 1\r\ny\r\n");
    second.say("SUB box 2\r\n");
    service.say("PUB box 1\r\nz\r\n");
    assert_eq!(
        (first.heard().as_str(), second.heard().as_str()),
        ("MSG box 1 1\r\nz\r\n", "MSG box 2 1\r\nz\r\n")
    );
}
