//! Cases worth reading: relations between patterns, mappings and what is wrong with bad ones.

use subject::{Mapping, MappingError, covers, intersect, matches, overlaps};

#[test]
fn matching() {
    let cases = [
        ("foo", "foo", true),
        ("foo", "foo.bar", false),
        ("foo.bar", "foo", false),
        ("foo", "fo", false),
        ("fo", "foo", false),
        ("*", "foo", true),
        ("*", "foo.bar", false),
        ("foo.*", "foo.bar", true),
        ("foo.*", "foo", false),
        ("foo.*", "foo.bar.baz", false),
        ("*.bar", "foo.bar", true),
        ("*.bar", "foo.baz", false),
        ("foo.*.baz", "foo.bar.baz", true),
        (">", "foo", true),
        (">", "foo.bar.baz", true),
        ("foo.>", "foo", false),
        ("foo.>", "foo.bar", true),
        ("foo.>", "foo.bar.baz", true),
        ("foo.>", "food.bar", false),
        ("*.>", "foo", false),
        ("*.>", "foo.bar", true),
        // Inside a longer token the signs are ordinary bytes.
        ("foo*", "foobar", false),
        ("foo*", "foo*", true),
        ("foo.*bar", "foo.xbar", false),
        ("foo.>x", "foo.>x", true),
        ("foo.>x", "foo.bar", false),
    ];
    for (pattern, subject, expected) in cases {
        assert_eq!(matches(pattern.as_bytes(), subject.as_bytes()), expected, "{pattern} {subject}");
    }
}

#[test]
fn covering() {
    let cases = [
        ("foo.>", "foo.bar", true),
        ("foo.>", "foo.*", true),
        ("foo.>", "foo.>", true),
        ("foo.>", "foo.*.>", true),
        ("foo.>", "foo", false),
        ("foo.>", ">", false),
        ("foo.*", "foo.>", false),
        ("foo.*", "foo.*", true),
        ("*", ">", false),
        ("*.*", "*.>", false),
        (">", "*", true),
        ("*.>", ">", false),
        ("foo.bar", "foo.*", false),
    ];
    for (outer, inner, expected) in cases {
        assert_eq!(covers(outer.as_bytes(), inner.as_bytes()), expected, "{outer} {inner}");
    }
}

#[test]
fn overlap_and_intersection() {
    let cases = [
        ("foo.*", "*.bar", Some("foo.bar")),
        ("foo.>", "*.bar", Some("foo.bar")),
        ("foo.>", "*.bar.>", Some("foo.bar.>")),
        ("foo.>", ">", Some("foo.>")),
        (">", ">", Some(">")),
        ("*.*.>", "a.>", Some("a.*.>")),
        ("*", ">", Some("*")),
        ("foo.>", "foo", None),
        ("foo.*", "foo.bar.baz", None),
        ("foo.bar", "foo.baz", None),
        ("a.*", "b.*", None),
    ];
    for (a, b, expected) in cases {
        for (a, b) in [(a.as_bytes(), b.as_bytes()), (b.as_bytes(), a.as_bytes())] {
            assert_eq!(overlaps(a, b), expected.is_some());
            assert_eq!(intersect(a, b).as_deref(), expected.map(str::as_bytes));
        }
    }
}

#[test]
fn mapping_subjects() {
    let cases = [
        ("orders.>", "ext.orders.>", "orders.eu.new", Some("ext.orders.eu.new")),
        ("orders.>", "ext.orders.>", "orders", None),
        ("orders.>", "all.orders", "orders.eu.new", Some("all.orders")),
        ("orders.*", "ext.orders.{1}", "orders.7", Some("ext.orders.7")),
        ("orders.*", "ext.orders.*", "orders.7", Some("ext.orders.7")),
        ("orders.*", "ext.orders.{1}", "orders.7.8", None),
        ("*.*", "x.{2}.$1", "a.b", Some("x.b.a")),
        ("*.*", "{{wildcard(2)}}.{{ wildcard( 1 ) }}", "a.b", Some("b.a")),
        ("a.*.>", "{1}.{1}.>", "a.b.c.d", Some("b.b.c.d")),
        ("*.x.>", "y.*.z.>", "a.x.b", Some("y.a.z.b")),
        ("orders", "ext.orders", "orders", Some("ext.orders")),
        ("api.>", "$JS.API.>", "api.INFO", Some("$JS.API.INFO")),
        (">", ">", "a.b", Some("a.b")),
    ];
    for (source, dest, subject, expected) in cases {
        let mapping = Mapping::new(source, dest).unwrap();
        let mut out = b">".to_vec();
        assert_eq!(mapping.apply(subject.as_bytes(), &mut out), expected.is_some(), "{source} {dest}");
        assert_eq!(out, format!(">{}", expected.unwrap_or_default()).as_bytes(), "{source} {dest} {subject}");
    }
}

#[test]
fn mapping_patterns() {
    let cases = [
        ("orders.>", "ext.orders.>", "orders.>", Some("ext.orders.>")),
        ("orders.>", "ext.orders.>", ">", Some("ext.orders.>")),
        ("orders.>", "ext.orders.>", "*.new", Some("ext.orders.new")),
        ("orders.>", "ext.orders.>", "orders", None),
        ("orders.>", "ext.orders.>", "invoices.>", None),
        ("*.*", "x.{2}.{1}", "a.*", Some("x.*.a")),
        ("*.*", "x.{2}.{1}", "*.>", Some("x.*.*")),
        ("*.*", "x.{2}", "a.b", Some("x.b")),
        ("*.*", "x.{2}", "a.*.c", None),
        ("a.*", "{1}.{1}", "a.*", Some("*.*")),
        ("a.*", "{1}.{1}", "a.b", Some("b.b")),
    ];
    for (source, dest, pattern, expected) in cases {
        let mapped = Mapping::new(source, dest).unwrap().map_pattern(pattern.as_bytes());
        assert_eq!(mapped.as_deref(), expected.map(str::as_bytes), "{source} {dest} {pattern}");
    }
}

#[test]
fn mapping_back() {
    let cases = [
        ("orders.>", "ext.orders.>", Some("ext.orders.>")),
        ("*.*", "x.{2}.{1}", Some("x.*.*")),
        ("*.*", "x.{2}", None),
        ("*", "{1}.{1}", None),
        ("a.>", "b", None),
        ("a", "b", Some("b")),
    ];
    for (source, dest, expected) in cases {
        let mapping = Mapping::new(source, dest).unwrap();
        let back = mapping.inverse();
        assert_eq!(back.as_ref().map(Mapping::source), expected, "{source} {dest}");
        assert_eq!(back.as_ref().map(Mapping::dest_pattern), expected.map(|_| source), "{source} {dest}");
    }
}

#[test]
fn identities() {
    let cases = [
        ("a.*.>", "a.{1}.>", true),
        ("a.*.>", "a.*.>", true),
        ("a", "a", true),
        ("*.*", "{2}.{1}", false),
        ("*.*", "{1}.{1}", false),
        ("a.>", "b.>", false),
    ];
    for (source, dest, expected) in cases {
        assert_eq!(Mapping::new(source, dest).unwrap().is_identity(), expected, "{source} {dest}");
    }
}

#[test]
fn bad_mappings_say_what_is_wrong() {
    let cases = [
        ("a..b", "x", r#"source "a..b" is not a valid subject pattern"#),
        ("a", "x.", r#"destination "x." is not a valid subject pattern"#),
        ("a.>", ">.x", r#"destination ">.x" is not a valid subject pattern"#),
        ("a.*", "x.{2}", r#"destination uses capture 2, but source "a.*" has 1 `*`"#),
        ("a.*", "x.$0", r#"destination uses capture 0, but source "a.*" has 1 `*`"#),
        ("a.>", "x.{1}", r#"destination uses capture 1, but source "a.>" has 0 `*`"#),
        ("a.*", "x{1}", r#"destination token "x{1}" is not a capture"#),
        ("a.*", "{{partition(3)}}", r#"destination token "{{partition(3)}}" is not a capture"#),
        ("a.*", "$99999999999999999999", r#"destination token "$99999999999999999999" is not a capture"#),
        ("*.*", "{1}.*", r#"destination "{1}.*" mixes `*` with numbered captures"#),
        ("*.*", "x.*", "destination has 1 `*` and source has 2"),
        ("a", "x.*", "destination has 1 `*` and source has 0"),
        ("a.*", "x.>", r#"destination "x.>" ends in `>`, but source "a.*" does not"#),
    ];
    for (source, dest, expected) in cases {
        let error = Mapping::new(source, dest).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{source} {dest}: {error}");
    }
    let advice = MappingError::BadCapture("x".to_owned()).to_string();
    assert!(advice.ends_with("use {1}, $1 or {{wildcard(1)}}, as a whole token"), "{advice}");
}
