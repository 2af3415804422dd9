//! What is revoked and what is not, the journal under crashes, and the store against a naive one.

use std::fs;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::policy::{CertificateNames, Facts};
use crate::token::Claims;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://login.example.com";

fn entry(id: &str, target: Target) -> Entry {
    Entry {
        id: id.to_owned(),
        target,
        expires_at: None,
        reason: String::new(),
        by: "test".to_owned(),
        created_at: NOW,
        lifted_at: None,
    }
}

fn claims(value: serde_json::Value) -> Claims {
    Claims::from_map(serde_json::from_value(value).unwrap())
}

fn alice() -> Claims {
    claims(json!({"iss": ISSUER, "sub": "alice", "jti": "t1", "sid": "s1", "azp": "app", "iat": NOW - 100}))
}

fn certificate() -> CertificateNames {
    CertificateNames {
        identity: "billing".into(),
        issuer: "CN=CA".into(),
        serial: "0a1b".into(),
        spki_sha256: [7; 32],
        ..CertificateNames::default()
    }
}

/// Whether `target` alone revokes a token of alice, and the certificate.
fn revokes(target: Target) -> (bool, bool) {
    let mut store = Revocations::new(10);
    store.merge(entry("e", target), NOW).unwrap();
    let (claims, names) = (alice(), certificate());
    let token = Facts { claims: Some(&claims), ..Facts::default() };
    let cert = Facts { certificate: Some(&names), ..Facts::default() };
    (store.check(&token, NOW).is_some(), store.check(&cert, NOW).is_some())
}

#[test]
fn everything_that_names_a_token_or_a_certificate_revokes_it() {
    let other = || Some("https://other.example".to_owned());
    let own = || Some(ISSUER.to_owned());
    let text = str::to_owned;
    let (token, cert, neither) = ((true, false), (false, true), (false, false));
    let before =
        |before, sub: Option<&str>| Target::IssuedBefore { issuer: text(ISSUER), sub: sub.map(text), before };
    for (target, expected) in [
        (Target::Token { jti: text("t1"), issuer: None }, token),
        (Target::Token { jti: text("t1"), issuer: own() }, token),
        (Target::Token { jti: text("t1"), issuer: other() }, neither),
        (Target::Token { jti: text("T1"), issuer: None }, neither),
        (Target::Subject { sub: text("alice"), issuer: own() }, token),
        (Target::Subject { sub: text("alice"), issuer: other() }, neither),
        (Target::Subject { sub: text("t1"), issuer: None }, neither),
        (Target::Session { sid: text("s1"), issuer: own() }, token),
        (Target::Session { sid: text("s2"), issuer: own() }, neither),
        (Target::Client { client_id: text("app"), issuer: own() }, token),
        (Target::Client { client_id: text("app"), issuer: other() }, neither),
        (before(NOW, None), token),
        (before(NOW - 100, None), token),
        (before(NOW - 101, None), neither),
        (before(NOW, Some("alice")), token),
        (before(NOW, Some("bob")), neither),
        (Target::Issuer { issuer: text(ISSUER) }, token),
        (Target::Issuer { issuer: text("CN=CA") }, cert),
        (Target::Certificate { serial: text("0A:1B"), issuer: None }, cert),
        (Target::Certificate { serial: text("000a1b"), issuer: Some(text("CN=CA")) }, cert),
        (Target::Certificate { serial: text("a1b"), issuer: None }, cert),
        (Target::Certificate { serial: text("0a1b"), issuer: Some(text("CN=Other")) }, neither),
        (Target::Key { spki_sha256: "07".repeat(32) }, cert),
        (Target::Key { spki_sha256: "08".repeat(32) }, neither),
    ] {
        assert_eq!(revokes(target.clone()), expected, "{target}");
    }
}

#[test]
fn a_token_that_does_not_say_when_it_was_issued_counts_as_old() {
    let mut store = Revocations::new(10);
    let target = Target::IssuedBefore { issuer: ISSUER.into(), sub: None, before: 1 };
    store.merge(entry("e", target), NOW).unwrap();
    let silent = claims(json!({"iss": ISSUER, "sub": "alice"}));
    assert!(store.check(&Facts { claims: Some(&silent), ..Facts::default() }, NOW).is_some());
}

/// CVE-2020-26892: nats-server compared the time of a revocation with a clock that has nothing to do with it, so that
/// revoked credentials stayed good. Here the time of issue is compared with the entry's, and the present only with the
/// entry's own end.
#[test]
fn cve_2020_26892_times_of_issue_are_compared_with_times_of_issue() {
    let mut store = Revocations::new(10);
    let target = Target::IssuedBefore { issuer: ISSUER.into(), sub: Some("alice".into()), before: NOW };
    let end = NOW + 1_000;
    store.merge(Entry { expires_at: Some(end), ..entry("e", target) }, NOW).unwrap();
    let issued = |iat| claims(json!({"iss": ISSUER, "sub": "alice", "iat": iat, "exp": end}));
    let revoked = |store: &Revocations, iat, now| {
        let claims = issued(iat);
        store.check(&Facts { claims: Some(&claims), ..Facts::default() }, now).is_some()
    };
    for now in [0, NOW - 500, NOW, NOW + 1, end - 1] {
        assert!(
            revoked(&store, NOW - 1, now) && revoked(&store, NOW, now),
            "old tokens, whatever the time is"
        );
        assert!(!revoked(&store, NOW + 1, now), "tokens issued later are good, whatever the time is");
    }
    assert!(!revoked(&store, NOW, end), "what it revokes has ended");
}

#[test]
fn the_bound_refuses_and_pushes_nothing_out() {
    let mut store = Revocations::new(2);
    let sub = |name: &str| Target::Subject { sub: name.into(), issuer: None };
    store.merge(Entry { expires_at: Some(NOW + 10), ..entry("a", sub("a")) }, NOW).unwrap();
    store.merge(entry("b", sub("b")), NOW).unwrap();
    let error = store.merge(entry("c", sub("c")), NOW).unwrap_err();
    assert!(error.to_string().contains("revocation.max_entries"), "{error}");
    assert_eq!(
        store.replace(FILE_PREFIX, vec![entry("file-1", sub("c"))], NOW),
        Err(RevocationError::Full(2))
    );
    assert_eq!(store.len(), 2);
    assert!(!store.merge(entry("b", sub("b")), NOW).unwrap(), "one that is there already is no new one");
    store.merge(entry("c", sub("c")), NOW + 10).unwrap();
    assert!(store.get("a").is_none(), "what has ended makes room");
}

#[test]
fn entries_that_revoke_nothing_are_refused() {
    let mut store = Revocations::new(10);
    let mut refused = |entry: Entry| store.merge(entry, NOW).unwrap_err();
    let sub = |sub: &str| Target::Subject { sub: sub.into(), issuer: None };
    for bad in [
        entry("e", sub("")),
        entry("e", sub(&"x".repeat(MAX_TEXT + 1))),
        entry("", sub("x")),
        entry("e", Target::Certificate { serial: "xyz".into(), issuer: None }),
        entry("e", Target::Certificate { serial: ": ".into(), issuer: None }),
        entry("e", Target::Key { spki_sha256: "07".into() }),
        Entry { expires_at: Some(NOW), ..entry("e", sub("x")) },
        Entry { reason: "x".repeat(MAX_TEXT + 1), ..entry("e", sub("x")) },
    ] {
        assert!(matches!(refused(bad.clone()), RevocationError::Entry(_)), "{bad:?}");
    }
    store.merge(entry("e", sub("x")), NOW).unwrap();
    assert_eq!(store.merge(entry("e", sub("y")), NOW), Err(RevocationError::OtherEntry("e".into())));
    assert_eq!(store.lifted("f", NOW), Err(RevocationError::Unknown("f".into())));
}

#[test]
fn a_files_entries_come_and_go_with_it() {
    let mut store = Revocations::new(10);
    let sub = |name: &str| Target::Subject { sub: name.into(), issuer: None };
    store.merge(entry("api", sub("alice")), NOW).unwrap();
    let file = |names: &[&str]| {
        names.iter().map(|name| entry(&format!("{FILE_PREFIX}{name}"), sub(name))).collect::<Vec<_>>()
    };
    assert_eq!(store.replace(FILE_PREFIX, file(&["bob", "carol"]), NOW), Ok(true));
    assert_eq!(store.replace(FILE_PREFIX, file(&["bob", "carol"]), NOW + 5), Ok(false));
    assert_eq!(store.replace(FILE_PREFIX, file(&["carol"]), NOW), Ok(true));
    let mut ids: Vec<&str> = store.iter().map(|entry| entry.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["api", "file-carol"]);
}

#[test]
fn what_is_written_survives_and_a_torn_end_is_cut_off() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revocations");
    let sub = |name: &str| Target::Subject { sub: name.into(), issuer: None };
    let mut store = Revocations::new(10);
    let mut journal = Journal::open(&path, &mut store, NOW).unwrap();
    let ending = Entry { expires_at: Some(NOW + 10), ..entry("c", sub("carol")) };
    let entries = [entry("a", sub("alice")), entry("b", sub("bob")), ending];
    journal.append(&entries).unwrap();
    for entry in entries {
        store.merge(entry, NOW).unwrap();
    }
    let lifted = store.lifted("b", NOW + 1).unwrap();
    journal.append(std::slice::from_ref(&lifted)).unwrap();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for cut in [0, 1, 20, 60] {
        let torn = &whole[..whole.len() - cut.min(lifted_length(&whole) - 1)];
        fs::write(&path, torn).unwrap();
        let mut again = Revocations::new(10);
        drop(Journal::open(&path, &mut again, NOW + 2).unwrap());
        assert_eq!(again.len(), 3);
        assert_eq!(again.get("b").unwrap().in_force(NOW + 2), cut > 0, "a torn line was never answered for");
        assert!(again.get("a").unwrap().in_force(NOW + 2));
    }
    let mut later = Revocations::new(10);
    drop(Journal::open(&path, &mut later, NOW + 100).unwrap());
    assert!(later.get("c").is_none(), "what has ended is not read back");
}

fn lifted_length(whole: &[u8]) -> usize {
    whole.len() - whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap()
}

#[test]
fn damage_in_the_middle_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revocations");
    let sub = |name: &str| Target::Subject { sub: name.into(), issuer: None };
    let mut store = Revocations::new(10);
    let mut journal = Journal::open(&path, &mut store, NOW).unwrap();
    journal.append(&[entry("a", sub("alice")), entry("b", sub("bob"))]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("alice", "alicf", 1)).unwrap();
    let error = Journal::open(&path, &mut Revocations::new(10), NOW).unwrap_err().to_string();
    assert!(error.contains("line 1: damaged"), "{error}");
    fs::write(&path, &text).unwrap();
    let error = Journal::open(&path, &mut Revocations::new(1), NOW).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("max_entries"), "{error}");
}

#[test]
fn the_file_does_not_grow_with_what_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revocations");
    let mut store = Revocations::new(10_000);
    let mut journal = Journal::open(&path, &mut store, NOW).unwrap();
    let target = |index: u64| Target::Token { jti: format!("t{index}"), issuer: None };
    let entries: Vec<Entry> = (0..3_000)
        .map(|index| Entry {
            expires_at: Some(NOW + 1 + index),
            ..entry(&format!("e{index}"), target(index))
        })
        .collect();
    journal.append(&entries).unwrap();
    drop(journal);
    let mut again = Revocations::new(10_000);
    drop(Journal::open(&path, &mut again, NOW + 2_900).unwrap());
    assert_eq!(again.len(), 100);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 100);
}

/// One step of the property test.
#[derive(Debug, Clone)]
enum Step {
    Add { id: u8, target: u8, life: Option<u8> },
    Lift { id: u8 },
    Pass { seconds: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, 0..10_u8, proptest::option::of(1..40_u8)).prop_map(|(id, target, life)| Step::Add { id, target, life }),
        2 => (0..12_u8).prop_map(|id| Step::Lift { id }),
        1 => (1..20_u8).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// Targets that speak about people `p0` to `p2` and certificates with serials 1 to 3.
fn target(number: u8) -> Target {
    let sub = format!("p{}", number % 3);
    match number {
        0..3 => Target::Subject { sub, issuer: None },
        3..6 => Target::Token { jti: format!("j{}", number % 3), issuer: Some(ISSUER.into()) },
        6 => Target::IssuedBefore { issuer: ISSUER.into(), sub: None, before: NOW - 1 },
        7 => Target::IssuedBefore { issuer: ISSUER.into(), sub: Some("p1".into()), before: NOW + 5 },
        8 => Target::Issuer { issuer: ISSUER.into() },
        _ => Target::Certificate { serial: "02".into(), issuer: None },
    }
}

/// What a target means, said in the plainest way.
fn means(target: &Target, person: u8, iat: u64) -> bool {
    match target {
        Target::Subject { sub, .. } => *sub == format!("p{person}"),
        Target::Token { jti, .. } => *jti == format!("j{person}"),
        Target::IssuedBefore { sub, before, .. } => {
            sub.as_ref().is_none_or(|sub| *sub == format!("p{person}")) && iat <= *before
        }
        Target::Issuer { .. } => true,
        Target::Certificate { serial, .. } => *serial == format!("{person:02x}"),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_store_is_a_list_that_is_looked_through(steps in proptest::collection::vec(step(), 1..60)) {
        const MAX: usize = 6;
        let mut store = Revocations::new(MAX);
        let mut naive: Vec<Entry> = Vec::new();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Add { id, target: number, life } => {
                    let expires_at = life.map(|life| now + u64::from(life));
                    let new = Entry { expires_at, ..entry(&id.to_string(), target(number)) };
                    naive.retain(|entry| !entry.over(now) );
                    let known = naive.iter().find(|entry| entry.id == new.id);
                    let told = store.merge(new.clone(), now);
                    // An entry that ended stays known until there is need for its room.
                    match known {
                        Some(known) if known.target == new.target => prop_assert_eq!(told, Ok(false)),
                        Some(_) => prop_assert!(told.is_err()),
                        None if naive.len() >= MAX => prop_assert_eq!(told, Err(RevocationError::Full(MAX))),
                        None => {
                            if told.is_ok() { naive.push(new); }
                        }
                    }
                }
                Step::Lift { id } => {
                    let lifted = store.lifted(&id.to_string(), now);
                    let known = naive.iter_mut().find(|entry| entry.id == id.to_string() && entry.in_force(now));
                    prop_assert_eq!(lifted.is_ok(), known.is_some());
                    if let (Ok(lifted), Some(known)) = (lifted, known) {
                        known.lifted_at = lifted.lifted_at;
                        prop_assert_eq!(store.merge(lifted.clone(), now), Ok(true));
                        prop_assert_eq!(store.merge(lifted, now), Ok(false));
                    }
                }
                Step::Pass { seconds } => {
                    now += u64::from(seconds);
                    store.expire(now);
                }
            }
            prop_assert!(store.len() <= MAX);
            for person in 0..3_u8 {
                for iat in [NOW - 10, NOW + 3, NOW + 50] {
                    let claims = claims(json!({"iss": ISSUER, "sub": format!("p{person}"), "jti": format!("j{person}"), "iat": iat}));
                    let revoked = store.check(&Facts { claims: Some(&claims), ..Facts::default() }, now).is_some();
                    let expected = naive.iter().any(|entry| entry.in_force(now) && !matches!(entry.target, Target::Certificate { .. }) && means(&entry.target, person, iat));
                    prop_assert_eq!(revoked, expected, "person {} iat {}", person, iat);
                }
                let names = CertificateNames { serial: format!("{person:02x}"), issuer: "CN=CA".into(), ..CertificateNames::default() };
                let revoked = store.check(&Facts { certificate: Some(&names), ..Facts::default() }, now).is_some();
                let expected = naive.iter().any(|entry| entry.in_force(now) && matches!(entry.target, Target::Certificate { .. }) && means(&entry.target, person, 0));
                prop_assert_eq!(revoked, expected);
            }
        }
    }

    #[test]
    fn copies_agree_in_whatever_order_entries_come(order in Just((0..6_u8).collect::<Vec<_>>()).prop_shuffle(), lifted in 0..6_u8) {
        let make = |number: u8| entry(&number.to_string(), target(number));
        let mut told: Vec<Entry> = (0..6).map(make).collect();
        told.push(Entry { lifted_at: Some(NOW + 1), ..make(lifted) });
        let mut straight = Revocations::new(20);
        for entry in &told {
            straight.merge(entry.clone(), NOW).unwrap();
        }
        let mut mixed = Revocations::new(20);
        mixed.merge(told[6].clone(), NOW).unwrap();
        for number in order {
            mixed.merge(told[usize::from(number)].clone(), NOW).unwrap();
            mixed.merge(told[usize::from(number)].clone(), NOW).unwrap();
        }
        let sorted = |store: &Revocations| {
            let mut all: Vec<Entry> = store.iter().map(|entry| Entry::clone(entry)).collect();
            all.sort_by(|a, b| a.id.cmp(&b.id));
            all
        };
        prop_assert_eq!(sorted(&straight), sorted(&mixed));
    }
}
