//! Tables for policies: reading, errors, evaluation, lints.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::grant::Quotas;
use crate::token::Claims;

const NOW: u64 = 1_800_000_000;

fn read(text: Value) -> PolicyConfig {
    serde_json::from_value(text).unwrap()
}

fn policy(text: Value) -> Policy {
    Policy::compile(&read(text)).unwrap()
}

fn claims(more: Value) -> Claims {
    let mut claims = json!({"iss": "https://i", "sub": "alice", "exp": NOW + 60});
    let Value::Object(more) = more else { panic!("not an object") };
    claims.as_object_mut().unwrap().extend(more);
    let Value::Object(map) = claims else { unreachable!("made above") };
    Claims::from_map(map)
}

fn grant(policy: &Policy, more: Value) -> Result<Grant, Denied> {
    let claims = claims(more);
    policy.grant(&Facts { claims: Some(&claims), ..Facts::default() }, NOW)
}

fn reason(policy: &Policy, more: Value) -> &'static str {
    grant(policy, more).unwrap_err().reason()
}

#[test]
fn a_full_role_is_read_and_granted() {
    let policy = policy(json!({
        "roles": [{
            "name": "partner",
            "publish": {"allow": ["orders.{{claims.tenant}}.>"], "deny": ["orders.*.internal"]},
            "subscribe": {"allow": ["shipments.{{claims.tenant}}.>"]},
            "allow_responses": {"max": 3, "ttl": "30s"},
            "consume": ["ORDERS"], "kv_read": ["config"], "kv_write": ["state"],
            "limits": {
                "connections": 10, "subscriptions": 100, "messages_per_second": 1000,
                "bytes_per_second": "1 MiB", "payload": "64 KiB",
            },
        }],
        "bindings": [
            {"role": "partner", "issuer": "https://i", "when": {"claims.groups": {"contains": "partners"}}},
        ],
    }));
    let granted = grant(&policy, json!({"tenant": "acme", "groups": ["x", "partners"]})).unwrap();
    assert_eq!(&*granted.identity, "alice");
    assert_eq!(&*granted.account, "$G");
    assert_eq!(granted.expires_at, Some(NOW + 60));
    assert_eq!(granted.roles, ["partner".into()]);
    assert!(!granted.isolate_inbox);
    let provenance = granted.provenance.clone().unwrap();
    assert_eq!(
        (&*provenance.subject, &*provenance.issuer, provenance.auth_time),
        ("alice", "https://i", NOW)
    );
    let quotas = Quotas {
        subscriptions: Some(100),
        payload: Some(65_536),
        connections: Some(10),
        messages_per_second: Some(1_000),
        bytes_per_second: Some(1 << 20),
    };
    assert_eq!(granted.quotas, quotas);
    assert_eq!(granted.rights.responses().unwrap().max, Some(3));
    let rights = &granted.rights;
    assert!(rights.may_publish(b"orders.acme.new") && !rights.may_publish(b"orders.other.new"));
    assert!(!rights.may_publish(b"orders.acme") && !rights.may_publish(b"other"));
    assert!(rights.may_subscribe(b"shipments.acme.*", None) && !rights.may_subscribe(b"shipments.>", None));
    assert!(rights.may_publish(b"$JS.API.CONSUMER.MSG.NEXT.ORDERS.worker"));

    assert_eq!(reason(&policy, json!({"tenant": "acme", "groups": ["others"]})), "no_role");
    let other = json!({"iss": "https://j", "tenant": "acme", "groups": ["partners"]});
    assert_eq!(reason(&policy, other), "no_role");
    assert_eq!(reason(&policy, json!({"tenant": "a.b", "groups": ["partners"]})), "template");
    assert_eq!(reason(&policy, json!({"groups": ["partners"]})), "template");
}

#[test]
fn conditions() {
    let holds = |condition: Value, claims: Value| {
        let policy = policy(json!({
            "roles": [{"name": "r"}],
            "bindings": [{"role": "r", "when": {"claims.x": condition}}],
        }));
        grant(&policy, claims).is_ok()
    };
    for (condition, value, expected) in [
        (json!("a"), json!("a"), true),
        (json!("a"), json!("A"), false),
        (json!("a"), json!(["a"]), false),
        (json!(7), json!(7), true),
        (json!(7), json!("7"), false),
        (json!(true), json!(true), true),
        (json!("true"), json!(true), false),
        (json!({"equals": "a"}), json!("a"), true),
        (json!({"contains": "a"}), json!(["b", "a"]), true),
        (json!({"contains": "a"}), json!(["ab"]), false),
        (json!({"contains": "a"}), json!("b a c"), true),
        (json!({"contains": "a"}), json!("abc"), false),
        (json!({"contains": "a"}), json!({"a": 1}), false),
        (json!({"contains": "1"}), json!([1]), false),
        (json!({"glob": "team-*"}), json!("team-x"), true),
        (json!({"glob": "team-*"}), json!(["y", "team-x"]), true),
        (json!({"glob": "team-*"}), json!("xteam-"), false),
        (json!({"glob": "*"}), json!(7), false),
        (json!({"glob": "*"}), json!(null), false),
    ] {
        assert_eq!(holds(condition.clone(), json!({"x": value})), expected, "{condition} {value}");
    }
    assert!(!holds(json!({"glob": "*"}), json!({})), "a missing claim meets nothing");
}

#[test]
fn every_condition_of_a_binding_must_hold() {
    let policy = policy(json!({
        "roles": [{"name": "r"}],
        "bindings": [{"role": "r", "when": {"claims.a": "1", "certificate.dns": {"glob": "*.internal"}}}],
    }));
    let claims = claims(json!({"a": "1"}));
    let names = CertificateNames {
        identity: "billing".into(),
        dns: vec!["x".into(), "billing.internal".into()],
        ..CertificateNames::default()
    };
    let (claims, names) = (Some(&claims), Some(&names));
    assert!(policy.grant(&Facts { claims, certificate: names, ..Facts::default() }, NOW).is_ok());
    assert!(policy.grant(&Facts { claims, ..Facts::default() }, NOW).is_err());
    assert!(policy.grant(&Facts { certificate: names, ..Facts::default() }, NOW).is_err());
}

#[test]
fn certificates_alone() {
    let policy = policy(json!({
        "roles": [{"name": "billing", "publish": {"allow": ["invoices.>"]}}],
        "bindings": [{"role": "billing", "when": {"certificate.dns": "billing.internal"}}],
    }));
    let mut names = CertificateNames {
        identity: "billing.internal".into(),
        dns: vec!["billing.internal".into()],
        issuer: "CN=CA".into(),
        ..CertificateNames::default()
    };
    let granted = policy.grant(&Facts { certificate: Some(&names), ..Facts::default() }, NOW).unwrap();
    assert_eq!((&*granted.identity, granted.expires_at), ("billing.internal", None));
    assert_eq!(&*granted.provenance.unwrap().issuer, "CN=CA");
    names.not_after = Some(NOW + 5);
    let claims = claims(json!({}));
    let both = Facts { claims: Some(&claims), certificate: Some(&names), ..Facts::default() };
    let granted = policy.grant(&both, NOW).unwrap();
    assert_eq!((&*granted.identity, granted.expires_at), ("alice", Some(NOW + 5)));
    assert_eq!(policy.grant(&Facts::default(), NOW).unwrap_err().reason(), "anonymous");
    names.dns = vec!["other.internal".into()];
    let denied = policy.grant(&Facts { certificate: Some(&names), ..Facts::default() }, NOW);
    assert_eq!(denied.unwrap_err().reason(), "no_role");
}

#[test]
fn roles_add_up() {
    let policy = policy(json!({
        "roles": [
            {"name": "a", "publish": {"allow": ["x.>"]}, "subscribe": {"allow": ["s.*"]},
             "allow_responses": true, "limits": {"payload": "1 KiB", "connections": 2}},
            {"name": "b", "publish": {"allow": ["y"], "deny": ["x.secret"]},
             "allow_responses": {"max": -1, "ttl": "1s"}, "limits": {"payload": "2 KiB"}},
            {"name": "c", "publish": {"allow": [">"]}},
        ],
        "bindings": [{"role": "b"}, {"role": "a"}, {"role": "a", "when": {"claims.sub": "alice"}},
                     {"role": "c", "when": {"claims.sub": "root"}}],
    }));
    let granted = grant(&policy, json!({})).unwrap();
    assert_eq!(granted.roles, ["a".into(), "b".into()]);
    assert!(granted.rights.may_publish(b"x.a") && granted.rights.may_publish(b"y"));
    assert!(!granted.rights.may_publish(b"x.secret") && !granted.rights.may_publish(b"z"));
    let responses = granted.rights.responses().unwrap();
    assert_eq!((responses.max, responses.ttl.unwrap().as_secs()), (None, 120));
    assert_eq!((granted.quotas.payload, granted.quotas.connections), (Some(2_048), Some(2)));
    let claims = claims(json!({}));
    let evaluation = policy.evaluate(&Facts { claims: Some(&claims), ..Facts::default() }, NOW);
    assert_eq!(evaluation.matched, [0, 1, 2]);
}

#[test]
fn a_role_never_takes_queue_groups_from_another() {
    let roles = json!([
        {"name": "wide", "subscribe": {"allow": ["jobs.>"]}},
        {"name": "narrow", "subscribe": {"allow": ["jobs.a v1"]}},
        {"name": "both", "subscribe": {"allow": ["jobs.>", "jobs.a v1"]}},
    ]);
    let granted = |names: &[&str]| {
        let bindings: Vec<Value> = names.iter().map(|name| json!({"role": name})).collect();
        grant(&policy(json!({"roles": roles, "bindings": bindings})), json!({})).unwrap().rights
    };
    let may = |rights: &crate::Rights, queue: &str| rights.may_subscribe(b"jobs.a", Some(queue.as_bytes()));
    let wide = granted(&["wide"]);
    assert!(may(&wide, "v1") && may(&wide, "v2") && !wide.filters_delivery());
    assert_eq!(wide.subscribe().allow().unwrap(), ["jobs.>"]);
    assert!(may(&granted(&["narrow"]), "v1") && !may(&granted(&["narrow"]), "v2"));
    assert!(may(&granted(&["wide", "narrow"]), "v2"), "narrow takes nothing from wide");
    assert!(!may(&granted(&["both"]), "v2"), "a role restricts itself");
}

#[test]
fn a_refused_role_leaves_the_others_unless_it_denies() {
    let build = |deny: Value| {
        policy(json!({
            "roles": [
                {"name": "all", "publish": {"allow": [">"]}},
                {"name": "own", "publish": {"allow": ["t.{{claims.tenant}}"], "deny": deny}},
            ],
            "bindings": [{"role": "all"}, {"role": "own"}],
        }))
    };
    let claims = claims(json!({}));
    let facts = Facts { claims: Some(&claims), ..Facts::default() };
    let evaluation = build(json!([])).evaluate(&facts, NOW);
    assert_eq!(evaluation.grant.unwrap().roles, ["all".into()]);
    assert_eq!(evaluation.refused.len(), 1);
    let denied = build(json!(["secret"])).grant(&facts, NOW).unwrap_err();
    assert_eq!(denied.reason(), "template");
    assert!(denied.detail.contains("`own`") && denied.detail.contains("claims.tenant"), "{denied}");
}

#[test]
fn identities_cannot_break_a_log_line() {
    let policy = policy(json!({"roles": [{"name": "r"}], "bindings": [{"role": "r"}]}));
    let granted = grant(&policy, json!({"sub": "a\nb\u{1b}[31m"})).unwrap();
    assert!(!granted.identity.contains(char::is_control), "{:?}", granted.identity);
    let granted = grant(&policy, json!({"sub": "x".repeat(5_000)})).unwrap();
    assert_eq!(granted.identity.len(), 256);
    assert_eq!(reason(&policy, json!({"sub": null})), "anonymous");
}

#[test]
fn shorthands_compile_to_what_clients_need_and_no_more() {
    let list = |key: &str, name: &str| {
        let role = json!({"name": "r", (key): [name]});
        let policy = policy(json!({"roles": [role], "bindings": [{"role": "r"}]}));
        let rights = grant(&policy, json!({"tenant": "acme"})).unwrap().rights;
        assert_eq!(rights.subscribe().allow().unwrap(), Vec::<String>::new());
        rights.publish().allow().unwrap()
    };
    let look_around = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"];
    let consume = [
        "$JS.API.STREAM.INFO.ORDERS",
        "$JS.API.CONSUMER.INFO.ORDERS.*",
        "$JS.API.CONSUMER.MSG.NEXT.ORDERS.*",
        "$JS.ACK.ORDERS.>",
    ];
    assert_eq!(list("consume", "ORDERS"), [&consume[..], &look_around].concat());
    for (key, name, stream) in [("stream_read", "AUDIT", "AUDIT"), ("kv_read", "cfg", "KV_cfg")] {
        let read = [
            "$JS.API.STREAM.INFO.@",
            "$JS.API.STREAM.MSG.GET.@",
            "$JS.API.DIRECT.GET.@",
            "$JS.API.DIRECT.GET.@.>",
            "$JS.API.CONSUMER.CREATE.@",
            "$JS.API.CONSUMER.CREATE.@.>",
            "$JS.API.CONSUMER.INFO.@.*",
            "$JS.API.CONSUMER.MSG.NEXT.@.*",
            "$JS.API.CONSUMER.DELETE.@.*",
            "$JS.ACK.@.>",
            "$JS.FC.@.>",
        ];
        let read = read.map(|subject| subject.replace('@', stream));
        assert_eq!(list(key, name), [&read[..], &look_around.map(str::to_owned)].concat());
    }
    let write = ["$JS.API.STREAM.INFO.KV_cfg", "$KV.cfg.>"];
    assert_eq!(list("kv_write", "cfg"), [&write[..], &look_around].concat());
    assert_eq!(list("kv_write", "cfg-{{claims.tenant}}")[1], "$KV.cfg-acme.>");
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = Policy::compile(&read(json!({
        "roles": [
            {"name": "", "publish": {"allow": ["a..b"]}},
            {"name": "twice"}, {"name": "twice", "subscribe": {"allow": ["a b c"], "deny": ["{{claims.x"]}},
            {"name": "more", "publish": {"allow": ["a q", "a.{{bad.x}}"]}, "consume": ["A.B"], "kv_read": ["a/b"],
             "limits": {"payload": "5 GiB", "connections": 0}},
        ],
        "bindings": [
            {"role": "nobody"}, {"role": "more", "issuer": "", "when": {"token.x": "a", "claims.y": ""}},
        ],
    })))
    .unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for expected in [
        "roles[0] \"\": a role needs a `name`",
        "roles[0] \"\" publish.allow[0]: `a..b` is not a valid subject pattern",
        "roles[2] \"twice\": a role of this name exists already",
        "roles[2] \"twice\" subscribe.allow[0]: `a b c` is not a valid \"subject queue\" entry",
        "roles[2] \"twice\" subscribe.deny[0]: `{{claims.x`: `{{` without `}}`",
        "roles[3] \"more\" publish.allow[0]: `a q`: a queue group has no meaning in a publish permission",
        "roles[3] \"more\" publish.allow[1]: `a.{{bad.x}}`: `bad.x` names no fact",
        "roles[3] \"more\" consume[0]: `A.B` can't be a stream's or bucket's name",
        "roles[3] \"more\" kv_read[0]: `a/b` can't be a stream's or bucket's name",
        "roles[3] \"more\" limits.payload: 2^32 or more",
        "roles[3] \"more\" limits.connections: a limit of 0",
        "bindings[0]: there is no role `nobody`",
        "bindings[1]: `issuer` must not be empty",
        "bindings[1] when: `token.x` names no fact",
        "bindings[1] when: the condition on `claims.y` compares with an empty text",
    ] {
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}\nin {told:#?}");
    }
    assert_eq!(told.len(), 15, "{told:#?}");
}

#[test]
fn unknown_keys_are_errors() {
    for text in [
        json!({"rolls": []}),
        json!({"roles": [{"name": "r", "publsh": {}}]}),
        json!({"roles": [{"name": "r", "publish": {"alow": []}}]}),
        json!({"roles": [{"name": "r", "limits": {"conections": 1}}]}),
        json!({"roles": [{}]}),
        json!({"bindings": [{"role": "r", "if": {}}]}),
        json!({"bindings": [{"role": "r", "when": {"claims.x": {"is": "y"}}}]}),
    ] {
        assert!(serde_json::from_value::<PolicyConfig>(text.clone()).is_err(), "{text}");
    }
}

#[test]
fn lints() {
    let policy = policy(json!({
        "roles": [
            {"name": "idle"},
            {"name": "wide", "subscribe": {"allow": [">"]}},
            {"name": "shadow", "publish": {"allow": ["a.{{claims.t}}.b", "c"], "deny": ["a.*.>"]}},
        ],
        "bindings": [
            {"role": "wide", "issuer": "https://i", "when": {"claims.a": "1"}},
            {"role": "wide", "issuer": "https://i", "when": {"claims.a": "1", "claims.b": "2"}},
            {"role": "shadow"},
            {"role": "wide", "when": {"claims.c": "1"}},
            {"role": "wide", "issuer": "https://gone", "when": {"claims.iss": "https://i"}},
        ],
    }));
    let codes = |lints: Vec<Lint>| lints.iter().map(|lint| lint.code).collect::<Vec<_>>();
    let common = [
        "role_never_bound",
        "grants_everything",
        "allow_shadowed_by_deny",
        "unreachable_binding",
        "binds_everyone",
        "any_issuer",
        "unreachable_binding",
    ];
    assert_eq!(codes(policy.lints()), common);
    let told = policy.lints()[2].to_string();
    assert!(told.contains("`a.{{claims.t}}.b`") && told.contains("`a.*.>`"), "{told}");
    let with_one = codes(policy.lints_with_issuers(&["https://i"]));
    assert!(with_one.contains(&"unknown_issuer") && !with_one.contains(&"any_issuer"));
    assert!(codes(policy.lints_with_issuers(&["https://i", "https://gone"])).contains(&"any_issuer"));
}

#[test]
fn roles_given_directly_count_as_bound_and_unknown_ones_are_told() {
    let policy = policy(json!({
        "roles": [
            {"name": "reader", "subscribe": {"allow": ["news.>"]}},
            {"name": "writer", "publish": {"allow": ["news.{{claims.sub}}.>"]}},
        ],
        "bindings": [{"role": "writer", "issuer": "https://elsewhere"}],
    }));
    let given = |names: &[&str]| VerifiedFacts {
        claims: Some(claims(json!({}))),
        roles: names.iter().map(|name| Arc::from(*name)).collect(),
        ..VerifiedFacts::default()
    };
    let both = given(&["writer", "reader", "writer"]);
    let granted = policy.grant(&both.as_facts(), NOW).unwrap();
    assert_eq!(granted.roles, ["reader".into(), "writer".into()]);
    assert!(granted.rights.may_publish(b"news.alice.1") && granted.rights.may_subscribe(b"news.>", None));
    assert_eq!(policy.grant(&given(&[]).as_facts(), NOW).unwrap_err().reason(), "no_role");
    let evaluation = policy.evaluate(&given(&["reader", "nobody"]).as_facts(), NOW);
    assert_eq!(evaluation.grant.unwrap().roles, ["reader".into()]);
    assert_eq!(evaluation.refused.len(), 1);
    assert!(policy.grant(&given(&["nobody"]).as_facts(), NOW).is_err());
}

#[test]
fn a_role_whose_limit_is_not_in_the_token_is_not_given() {
    let policy = policy(json!({
        "roles": [
            {"name": "paid", "publish": {"allow": ["fast.>"]}, "limits": {"messages_per_second": "{{claims.rate}}"}},
            {"name": "free", "publish": {"allow": ["slow.>"]}, "limits": {"messages_per_second": 1}},
        ],
        "bindings": [{"role": "paid"}, {"role": "free"}],
    }));
    let granted = grant(&policy, json!({"rate": "500"})).unwrap();
    assert_eq!(granted.quotas.messages_per_second, Some(500));
    assert!(granted.rights.may_publish(b"fast.x"));
    for claims in [json!({}), json!({"rate": "unlimited"}), json!({"rate": 0})] {
        let granted = grant(&policy, claims).unwrap();
        assert_eq!((granted.quotas.messages_per_second, granted.roles.len()), (Some(1), 1));
        assert!(!granted.rights.may_publish(b"fast.x") && granted.rights.may_publish(b"slow.x"));
    }
}
