//! Values that must never reach a subject, and what is said instead.

use serde_json::{Value, json};

use super::facts::{CertificateNames, Facts};
use super::template::Template;
use crate::token::Claims;

fn render(template: &str, claims: &Value) -> Result<String, String> {
    let Value::Object(map) = claims else { panic!("not an object") };
    let claims = Claims::from_map(map.clone());
    Template::parse(template).unwrap().render(&Facts { claims: Some(&claims), ..Facts::default() })
}

#[test]
fn safe_values_go_in() {
    for (template, claims, rendered) in [
        ("orders.{{claims.tenant}}.>", json!({"tenant": "acme"}), "orders.acme.>"),
        ("orders.{{ claims.tenant }}", json!({"tenant": 42}), "orders.42"),
        ("o.{{claims.a}}-{{claims.b}}", json!({"a": "x", "b": "y"}), "o.x-y"),
        ("{{claims.org.id}}.>", json!({"org": {"id": "münchen"}}), "münchen.>"),
        ("o.{{claims.tenant}}", json!({"tenant": "$x"}), "o.$x"),
        ("o.{{claims.https://x.y/t}}", json!({"https://x.y/t": "acme"}), "o.acme"),
        ("plain.subject", json!({}), "plain.subject"),
        ("o.{{claims.n}}", json!({"n": -7}), "o.-7"),
        ("o.{{claims.n}}", json!({"n": u64::MAX}), "o.18446744073709551615"),
        ("a.{{claims.t}} q-{{claims.t}}", json!({"t": "x"}), "a.x q-x"),
    ] {
        assert_eq!(render(template, &claims).as_deref(), Ok(rendered), "{template}");
    }
}

#[test]
fn the_longest_value_is_256_bytes_not_characters() {
    for (value, fits) in [("x".repeat(256), true), ("é".repeat(128), true), ("é".repeat(129), false)] {
        assert_eq!(render("o.{{claims.t}}", &json!({ "t": value })).is_ok(), fits, "{} bytes", value.len());
    }
}

#[test]
fn unsafe_values_refuse() {
    let long = "x".repeat(257);
    for (value, problem) in [
        (json!(null), "is missing"),
        (json!(""), "is empty"),
        (json!("a.b"), "holds a dot or a wildcard"),
        (json!("."), "holds a dot or a wildcard"),
        (json!("*"), "holds a dot or a wildcard"),
        (json!(">"), "holds a dot or a wildcard"),
        (json!("a*"), "holds a dot or a wildcard"),
        (json!("a>"), "holds a dot or a wildcard"),
        (json!("a b"), "holds white space or a control character"),
        (json!(" "), "holds white space or a control character"),
        (json!("a\tb"), "holds white space or a control character"),
        (json!("a\r\nPUB x 0"), "holds white space or a control character"),
        (json!("a\n"), "holds white space or a control character"),
        (json!("a\0"), "holds white space or a control character"),
        (json!("a\u{7f}"), "holds white space or a control character"),
        (json!("a\u{85}"), "holds white space or a control character"),
        (json!("a\u{2028}"), "holds white space or a control character"),
        (json!("a\u{a0}b"), "holds white space or a control character"),
        (json!(long), "is longer than 256 bytes"),
        (json!(["acme"]), "is a list"),
        (json!([]), "is a list"),
        (json!({"a": 1}), "is neither text nor a whole number"),
        (json!(true), "is neither text nor a whole number"),
        (json!(1.5), "is neither text nor a whole number"),
    ] {
        let told = render("orders.{{claims.tenant}}.>", &json!({"tenant": value})).unwrap_err();
        assert_eq!(told, format!("`orders.{{{{claims.tenant}}}}.>`: claims.tenant {problem}"), "{value}");
    }
    assert!(render("orders.{{claims.tenant}}", &json!({})).unwrap_err().ends_with("is missing"));
    // What one value does not hold, two together must not open either.
    for value in ["$SYS", "$JS", "_INBOX", "_", "$"] {
        let told = render("{{claims.tenant}}.>", &json!({"tenant": value})).unwrap_err();
        assert!(told.ends_with("would open a subject reserved for the system"), "{told}");
    }
}

#[test]
fn a_refusal_does_not_tell_the_value() {
    let told = render("a.{{claims.t}}", &json!({"t": "hunter.two"})).unwrap_err();
    assert!(!told.contains("hunter"), "{told}");
}

#[test]
fn certificates() {
    let names = CertificateNames {
        identity: "billing".into(),
        dns: vec!["billing".into()],
        uris: vec!["a".into(), "b".into()],
        cn: Some("billing.internal".into()),
        ..CertificateNames::default()
    };
    let facts = Facts { certificate: Some(&names), ..Facts::default() };
    let render = |text: &str| Template::parse(text).unwrap().render(&facts);
    assert_eq!(render("svc.{{certificate.dns}}.>").as_deref(), Ok("svc.billing.>"));
    assert_eq!(render("svc.{{certificate.identity}}").as_deref(), Ok("svc.billing"));
    assert!(render("svc.{{certificate.cn}}").unwrap_err().ends_with("holds a dot or a wildcard"));
    assert!(render("svc.{{certificate.uri}}").unwrap_err().ends_with("has several values"));
    assert!(render("svc.{{certificate.email}}").unwrap_err().ends_with("is missing"));
    assert!(render("svc.{{claims.sub}}").unwrap_err().ends_with("is missing"));
    let nobody = Template::parse("svc.{{certificate.dns}}").unwrap().render(&Facts::default());
    assert!(nobody.unwrap_err().ends_with("is missing"));
}

#[test]
fn templates_that_make_no_sense() {
    for text in [
        "a.{{claims.t",
        "a.claims.t}}",
        "a.{{}}",
        "a.{{claims}}",
        "a.{{claims.}}",
        "a.{{token.t}}",
        "a.{{certificate.colour}}",
        "a.{{claims.a b}}",
        "a.{{claims.{{claims.t}}}}",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}
