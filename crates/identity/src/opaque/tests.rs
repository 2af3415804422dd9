//! Tokens made, kept, verified, revoked; files shared, damaged and gone.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::rotate::{Outcome, Rotating};

const NOW: u64 = 1_800_000_000;

fn new(owner: &str) -> NewToken {
    NewToken { owner: owner.into(), expires: NOW + 60, roles: vec!["reader".into()], ..NewToken::default() }
}

#[test]
fn a_token_verifies_until_it_ends_and_its_claims_are_its_own() {
    let given = Map::from_iter([("tenant".to_owned(), json!("acme"))]);
    let (token, record) = NewToken { claims: given, ..new("alice") }.make(NOW).unwrap();
    assert!(is_opaque(&token) && token.len() == 3 + 12 + 1 + 43);
    let tokens = OpaqueTokens::new(vec![record]);
    let found = tokens.verify(&token, NOW).unwrap();
    let claims = found.claims();
    assert_eq!((claims.sub(), claims.iss()), (Some("alice"), Some(OPAQUE_ISSUER)));
    assert_eq!((claims.jti(), claims.exp()), (Some(found.id.as_str()), Some(NOW + 60)));
    assert_eq!(claims.get("tenant").unwrap(), "acme");
    assert_eq!(tokens.verify(&token, NOW + 60), Err(OpaqueError::Expired));
    assert_eq!(tokens.check(&found.id, NOW + 60), Err(OpaqueError::Expired));
}

#[test]
fn whatever_is_not_the_token_is_unknown() {
    let (token, record) = new("alice").make(NOW).unwrap();
    let (other, _) = new("alice").make(NOW).unwrap();
    let id = record.id.clone();
    let tokens = OpaqueTokens::new(vec![record]);
    let swapped = format!("{PREFIX}{id}{}", &other[15..]);
    for wrong in [
        other.as_str(),
        &swapped,
        &token[..token.len() - 1],
        &format!("{}x", &*token),
        &token.to_uppercase(),
        &format!("{PREFIX}{id}_"),
        &format!("{PREFIX}{id}"),
        PREFIX,
        "gh_äääääääääääääääää",
        "",
    ] {
        assert_eq!(tokens.verify(wrong, NOW), Err(OpaqueError::Unknown), "{wrong}");
    }
}

#[test]
fn nonsense_is_not_made() {
    for (wrong, error) in [
        (NewToken { owner: String::new(), ..new("a") }, RecordError::Owner),
        (NewToken { owner: "a\nb".into(), ..new("a") }, RecordError::Owner),
        (NewToken { owner: "a".repeat(257), ..new("a") }, RecordError::Owner),
        (NewToken { roles: vec![String::new()], ..new("a") }, RecordError::Role),
        (NewToken { expires: NOW, ..new("a") }, RecordError::Expired),
        (
            NewToken { claims: Map::from_iter([("sub".to_owned(), json!("admin"))]), ..new("a") },
            RecordError::Claim("sub"),
        ),
    ] {
        assert_eq!(wrong.make(NOW).unwrap_err(), error);
    }
}

#[test]
fn the_file_holds_hashes_and_follows_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let rotating = Arc::new(Rotating::new(OpaqueFile(path.clone())).unwrap());
    assert!(rotating.current().is_empty(), "no file yet");
    let (token, record) = new("alice").make(NOW).unwrap();
    let id = record.id.clone();
    edit(&path, |tokens| tokens.push(record)).unwrap();
    assert_eq!(rotating.check(), Outcome::Reloaded);
    assert!(rotating.current().verify(&token, NOW).is_ok());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&id) && !text.contains(&token[16..]), "{text}");
    edit(&path, |tokens| tokens[0].revoked = Some(NOW)).unwrap();
    assert_eq!(rotating.check(), Outcome::Reloaded);
    assert_eq!(rotating.current().verify(&token, NOW), Err(OpaqueError::Revoked));
    assert_eq!(rotating.current().check(&id, NOW), Err(OpaqueError::Revoked));
    // Damaged or gone, it changes nothing.
    for damage in ["", "{}", r#"{"version":2,"tokens":[]}"#, r#"{"version":1,"tokens":[],"more":1}"#] {
        std::fs::write(&path, damage).unwrap();
        assert!(matches!(rotating.check(), Outcome::Refused(_)), "{damage}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(rotating.check(), Outcome::Refused(_)));
    assert_eq!(rotating.current().len(), 1);
}

#[test]
fn a_record_that_could_not_have_been_made_here_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let (_, record) = new("alice").make(NOW).unwrap();
    edit(&path, |tokens| tokens.extend([record.clone(), record])).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("twice"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("sha256:", "md5:", 1)).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("sha256:"));
}

#[test]
fn changes_made_at_the_same_time_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    thread::scope(|scope| {
        for at in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let (_, record) = new(&format!("owner {at}")).make(NOW).unwrap();
                edit(path, |tokens| tokens.push(record)).unwrap();
            });
        }
    });
    assert_eq!(read(&path).unwrap().unwrap().len(), 8);
}

#[test]
fn what_has_happened_to_tokens_is_told_by_comparing() {
    let made: Vec<TokenRecord> = ["a", "b", "c", "d"].map(|owner| new(owner).make(NOW).unwrap().1).to_vec();
    let before = OpaqueTokens::new(made[..3].to_vec());
    let revoked = TokenRecord { revoked: Some(NOW), ..made[0].clone() };
    let after = OpaqueTokens::new(vec![revoked, made[1].clone(), made[3].clone()]);
    let owners = |records: Vec<&TokenRecord>| {
        let mut owners: Vec<String> = records.into_iter().map(|record| record.owner.clone()).collect();
        owners.sort();
        owners
    };
    let (new, gone) = after.since(&before, NOW);
    assert_eq!((owners(new), owners(gone)), (vec!["d".to_owned()], vec!["a".to_owned(), "c".to_owned()]));
    assert!(after.since(&before, NOW + 60).1.is_empty(), "what has ended by itself is no news");
}
