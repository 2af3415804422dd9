//! Tables for the evaluator of rights.

use super::*;

fn publish(allow: Option<&[&str]>, deny: &[&str]) -> Rights {
    let publish = Permission::for_publish(allow, deny).unwrap();
    Rights::new(publish, Permission::nothing(), None)
}

fn subscribe(allow: Option<&[&str]>, deny: &[&str]) -> Rights {
    let subscribe = Permission::for_subscribe(allow, deny).unwrap();
    Rights::new(Permission::nothing(), subscribe, None)
}

fn may_subscribe(rights: &Rights, text: &str) -> bool {
    let (pattern, queue) = text.split_once(' ').map_or((text, None), |(p, q)| (p, Some(q.as_bytes())));
    rights.may_subscribe(pattern.as_bytes(), queue)
}

fn may_deliver(rights: &Rights, text: &str) -> bool {
    let (subject, queue) = text.split_once(' ').map_or((text, None), |(s, q)| (s, Some(q.as_bytes())));
    rights.may_deliver(subject.as_bytes(), queue)
}

#[test]
fn the_two_extremes() {
    let (all, none) = (Rights::unrestricted(), Rights::none());
    assert!(all.may_publish(b"a.b") && all.may_subscribe(b">", None) && all.may_deliver(b"a", None));
    assert!(all.publish_unrestricted() && all.subscribe_unrestricted() && !all.filters_delivery());
    assert!(!none.may_publish(b"a.b") && !none.may_subscribe(b"a", None) && !none.may_deliver(b"a", None));
    assert!(!none.publish_unrestricted() && !none.subscribe_unrestricted() && !none.filters_delivery());
    assert!(all.responses().is_none() && none.responses().is_none());
}

#[test]
fn wildcards_in_a_subject_pass_no_deny() {
    let rights = publish(Some(&["keys.>"]), &["keys.secret", "keys.x.*.raw"]);
    for subject in ["keys.a", "keys.a.*", "keys.x.*", "keys.y.>"] {
        assert!(rights.may_publish(subject.as_bytes()), "{subject}");
    }
    for subject in ["keys.secret", "keys.*", "keys.>", "keys.x.*.*", "keys.x.>", "keys.*.*.*", "*.a", ">"] {
        assert!(!rights.may_publish(subject.as_bytes()), "{subject}");
    }
    let some = publish(Some(&["keys.a", "keys.b"]), &[]);
    assert!(some.may_publish(b"keys.a") && !some.may_publish(b"keys.*"));
    assert!(!subscribe(None, &["keys.secret"]).may_deliver(b"keys.*", None));
}

#[test]
fn publishing() {
    let rights = publish(Some(&["orders.*", "audit.>"]), &["orders.secret", "audit.*.raw"]);
    for subject in ["orders.new", "audit.a", "audit.a.b.c", "audit.a.raw.b"] {
        assert!(rights.may_publish(subject.as_bytes()), "{subject}");
    }
    for subject in ["orders", "orders.a.b", "orders.secret", "audit", "audit.a.raw", "other"] {
        assert!(!rights.may_publish(subject.as_bytes()), "{subject}");
    }
    assert!(!rights.publish_unrestricted());
    let all_but = publish(None, &["secret.>"]);
    assert!(all_but.may_publish(b"a") && !all_but.may_publish(b"secret.a"));
    assert!(!all_but.publish_unrestricted());
    assert!(publish(Some(&[">"]), &[]).publish_unrestricted());
    assert!(publish(None, &[]).publish_unrestricted());
}

#[test]
fn a_subscription_must_be_covered_and_is_filtered_where_a_deny_cuts_into_it() {
    let rights = subscribe(Some(&["orders.>"]), &["orders.secret", "orders.hr.>"]);
    for pattern in ["orders.a", "orders.*", "orders.>", "orders.*.x"] {
        assert!(may_subscribe(&rights, pattern), "{pattern}");
    }
    for pattern in [">", "*", "*.a", "orders", "orders.secret", "orders.hr.>", "orders.hr.*", "orders.hr.a"] {
        assert!(!may_subscribe(&rights, pattern), "{pattern}");
    }
    assert!(rights.filters_delivery());
    assert!(may_deliver(&rights, "orders.a") && !may_deliver(&rights, "orders.secret"));
    assert!(!may_deliver(&rights, "orders.hr.a") && !may_deliver(&rights, "other"));
}

#[test]
fn a_queue_group_does_not_pass_a_plain_deny() {
    let rights = subscribe(None, &["secret", "secret workers", "x.> blocked"]);
    for queue in ["", " workers", " others"] {
        assert!(!may_subscribe(&rights, &format!("secret{queue}")), "{queue}");
        assert!(!may_deliver(&rights, &format!("secret{queue}")), "{queue}");
    }
    assert!(may_subscribe(&rights, "x.a") && may_subscribe(&rights, "x.a others"));
    assert!(!may_subscribe(&rights, "x.a blocked"));
    assert!(may_subscribe(&rights, "> blocked"), "only a part is denied");
    assert!(!may_deliver(&rights, "x.a blocked") && may_deliver(&rights, "x.a"));
}

#[test]
fn queue_entries_reserve_a_subject_for_groups() {
    let rights = subscribe(Some(&["foo", "foo v1", "foo v1.>", "foo *.dev", "bar q"]), &[]);
    for text in ["foo", "foo v1", "foo v1.x", "foo qa.dev", "bar q"] {
        assert!(may_subscribe(&rights, text), "{text}");
    }
    for text in ["foo v2", "foo v1.", "foo a.b.dev", "bar", "bar r", "baz", "foo *.dev2"] {
        assert!(!may_subscribe(&rights, text), "{text}");
    }
    // A group's name is any text: equality counts even where it looks like a pattern.
    assert!(may_subscribe(&rights, "foo *.dev"));
    // Let in by the wide plain entry, kept from the reserved subject.
    let rights = subscribe(Some(&["foo.>", "foo.a v1"]), &[]);
    assert!(may_subscribe(&rights, "foo.> v2") && rights.filters_delivery());
    assert!(may_deliver(&rights, "foo.b v2") && !may_deliver(&rights, "foo.a v2"));
    assert!(may_deliver(&rights, "foo.a v1") && may_deliver(&rights, "foo.a"));
}

#[test]
fn filtering_is_asked_for_only_where_it_can_matter() {
    for (allow, deny, filters) in [
        (None, &[][..], false),
        (None, &["a"][..], true),
        (None, &[">"][..], false),
        (Some(&["a.>"][..]), &[][..], false),
        (Some(&["a.>"][..]), &["b.>"][..], false),
        (Some(&["a.>"][..]), &["a.>"][..], false),
        (Some(&["a.>"][..]), &["a.*"][..], true),
        (Some(&["a.*"][..]), &["*.x"][..], true),
        (Some(&["a.b"][..]), &["a.*"][..], false),
        (Some(&["a q"][..]), &[][..], false),
        (Some(&["a q", "b"][..]), &[][..], true),
    ] {
        assert_eq!(subscribe(allow, deny).filters_delivery(), filters, "{allow:?} {deny:?}");
    }
}

#[test]
fn many_entries_are_indexed_with_the_same_answers() {
    let allow: Vec<String> = (0..200).map(|at| format!("tenant.{at}.>")).collect();
    let rights = Rights::new(
        Permission::nothing(),
        Permission::for_subscribe(Some(&allow), &["tenant.7.secret".to_owned()]).unwrap(),
        None,
    );
    assert!(may_subscribe(&rights, "tenant.199.*") && may_subscribe(&rights, "tenant.7.>"));
    assert!(!may_subscribe(&rights, "tenant.200.a") && !may_subscribe(&rights, "tenant.*.a"));
    assert!(!may_deliver(&rights, "tenant.7.secret") && may_deliver(&rights, "tenant.8.secret"));
}

#[test]
fn entries_that_make_no_sense() {
    for (text, error) in [
        ("", PermissionError::Subject(String::new())),
        ("a..b", PermissionError::Subject("a..b".into())),
        ("a.>.b", PermissionError::Subject("a.>.b".into())),
        ("a b c", PermissionError::Queue("a b c".into())),
        ("a b..c", PermissionError::Queue("a b..c".into())),
    ] {
        assert_eq!(Permission::for_subscribe(Some(&[text]), &[]).unwrap_err(), error);
        assert_eq!(Permission::for_subscribe(None, &[text]).unwrap_err(), error);
    }
    let error = Permission::for_publish(Some(&["a q"]), &[]).unwrap_err();
    assert_eq!(error, PermissionError::QueueOnPublish("a q".into()));
}

#[test]
fn entries_can_be_shown() {
    let permission = Permission::for_subscribe(Some(&["a.>", "b q"]), &["a.c"]).unwrap();
    assert_eq!(permission.allow().unwrap(), ["a.>", "b q"]);
    assert_eq!(permission.deny(), ["a.c"]);
    assert!(Permission::everything().allow().is_none());
    let shown = format!("{permission:?}");
    assert!(shown.contains("\"b q\""), "{shown}");
}
