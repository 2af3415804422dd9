//! Quotas of one identity, across its connections.

use std::time::Duration;

use identity::Quotas;

use super::*;
use crate::session::Pause;

fn limited(quotas: Quotas) -> Who {
    let mut who = Who::default();
    who.grant.quotas = quotas;
    who.features.no_responders = true;
    who
}

fn enter(rig: &Rig, quotas: Quotas) -> Peer {
    let peer = rig.enter(limited(quotas));
    assert!(peer.conn().count_use(&peer.conn().grant()));
    peer
}

#[test]
fn over_the_rate_a_publisher_waits_and_loses_nothing() {
    let rig = Rig::new();
    let mut reader = rig.client();
    reader.say("SUB a 1\r\n");
    let quotas = Quotas { messages_per_second: Some(20), ..Quotas::default() };
    let mut first = enter(&rig, quotas);
    let mut second = enter(&rig, quotas);
    let many = "PUB a 1\r\nx\r\n".repeat(30);
    let progress = first.say(&many);
    assert!(matches!(progress.pause, Pause::Quota(_)), "{progress:?}");
    assert_eq!(reader.heard_times("MSG"), 20);
    // Another connection of the same identity has no more; a PING is answered all the same.
    assert!(matches!(second.say("PING\r\nPUB a 1\r\nx\r\n").pause, Pause::Quota(_)));
    assert_eq!(second.heard(), "PONG\r\n");
    let mut given = 0;
    let end = Instant::now() + Duration::from_secs(5);
    while given < 11 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        first.say("");
        second.say("");
        given += reader.heard_times("MSG");
    }
    assert_eq!(given, 11, "nothing is lost");
    let usage = first.conn().usage.get().unwrap();
    assert_eq!((usage.connections(), usage.refused.load(Ordering::SeqCst)), (2, 0));
}

#[test]
fn who_does_not_catch_up_is_refused_in_words_and_stays() {
    let rig = Rig::with(Limits { quota_hold: Duration::ZERO, ..Limits::default() });
    let quotas = Quotas { bytes_per_second: Some(10), ..Quotas::default() };
    let mut publisher = enter(&rig, quotas);
    publisher.say("SUB box 1\r\nPUB a 20\r\n01234567890123456789\r\n");
    assert!(matches!(publisher.say("PUB a 1\r\nx\r\n").pause, Pause::Quota(_)));
    let progress = publisher.say("PUB a 1\r\nx\r\nPUB a box 1\r\nx\r\n");
    assert!(matches!(progress.pause, Pause::NeedMore(_)), "{progress:?}");
    let told = publisher.heard();
    assert_eq!(
        told.matches("Permissions Violation for Publish to \"a\" (over its rate)").count(),
        1,
        "{told}"
    );
    assert_eq!(told.matches("503").count(), 1, "{told}");
    assert_eq!(rig.0.core.counters.quota_refused.get(), 3);
}

#[test]
fn connections_and_subscriptions_are_counted_together_and_given_back() {
    let rig = Rig::new();
    let quotas = Quotas { connections: Some(2), subscriptions: Some(3), ..Quotas::default() };
    let mut first = enter(&rig, quotas);
    let mut second = enter(&rig, quotas);
    let third = rig.enter(limited(quotas));
    assert!(!third.conn().count_use(&third.conn().grant()));
    rig.0.core.retire(third.conn(), crate::CloseReason::MaximumIdentityConnections);
    first.say("SUB a 1\r\nSUB b 2\r\n");
    second.say("SUB a 1\r\nSUB b 2\r\n");
    assert!(second.heard().contains("maximum subscriptions exceeded") && first.heard().is_empty());
    first.say("UNSUB 1\r\n");
    second.say("SUB b 2\r\n");
    assert_eq!(second.heard(), "");
    rig.0.core.retire(first.conn(), crate::CloseReason::ClientClosed);
    let usage = second.conn().usage.get().unwrap();
    assert_eq!((usage.connections(), usage.subscriptions.load(Ordering::SeqCst)), (1, 2));
    assert!(rig.enter(limited(quotas)).conn().count_use(&limited(quotas).grant));
}

#[test]
fn a_quota_that_comes_with_a_renewal_counts_from_then_on() {
    let rig = Rig::new();
    let mut publisher = rig.client();
    publisher.say("SUB x 1\r\nPUB a 1\r\nx\r\n");
    let mut less = Grant::unrestricted("tester");
    less.quotas = Quotas { messages_per_second: Some(1), subscriptions: Some(1), ..Quotas::default() };
    publisher.conn().set_grant(Arc::new(less));
    let progress = publisher.say("PUB a 1\r\nx\r\nPUB a 1\r\nx\r\n");
    assert!(matches!(progress.pause, Pause::Quota(_)), "{progress:?}");
    assert_eq!(publisher.conn().usage.get().unwrap().subscriptions.load(Ordering::SeqCst), 1);
}
