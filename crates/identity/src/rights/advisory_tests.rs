//! Public advisories of nats-server that are about the evaluation of rights, each by its id.

use super::{Permission, Rights};

fn subscribing(allow: &[&str], deny: &[&str]) -> Rights {
    let subscribe = Permission::for_subscribe(Some(allow), deny).unwrap();
    Rights::new(Permission::nothing(), subscribe, None)
}

/// CVE-2022-29946: a queue subscriber to a wildcard was delivered what a deny forbids.
#[test]
fn cve_2022_29946_denies_hold_for_queue_subscribers_to_a_wildcard() {
    let rights = subscribing(&["foo.*"], &["foo.bar"]);
    for queue in [None, Some(&b"workers"[..])] {
        assert!(rights.may_subscribe(b"foo.*", queue) && rights.filters_delivery());
        assert!(rights.may_deliver(b"foo.baz", queue) && !rights.may_deliver(b"foo.bar", queue));
    }
}

/// secnote-2026-17: a wildcard subscription that overlaps a wildcard deny, neither covering the other.
#[test]
fn secnote_2026_17_overlapping_wildcards_are_filtered_on_delivery() {
    let rights = subscribing(&[">"], &["*.secret"]);
    for queue in [None, Some(&b"q"[..])] {
        assert!(rights.may_subscribe(b"orders.*", queue) && rights.filters_delivery());
        assert!(rights.may_deliver(b"orders.new", queue) && !rights.may_deliver(b"orders.secret", queue));
        assert!(!rights.may_subscribe(b"orders.secret", queue));
    }
}

/// secnote-2026-18: a deny with a queue part lifted a plain deny for the other queues.
#[test]
fn secnote_2026_18_a_queue_deny_never_lifts_a_plain_one() {
    let rights = subscribing(&[">"], &["secret.>", "secret.> admins"]);
    for queue in [None, Some(&b"admins"[..]), Some(b"others"), Some(b"admins.x")] {
        assert!(!rights.may_subscribe(b"secret.x", queue), "{queue:?}");
        assert!(!rights.may_deliver(b"secret.x", queue), "{queue:?}");
    }
}
