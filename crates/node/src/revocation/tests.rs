//! The plane on real files.

use std::fs;

use identity::policy::VerifiedFacts;
use identity::token::Claims;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn facts(sub: &str) -> VerifiedFacts {
    let claims = json!({"iss": "https://i", "sub": sub, "jti": format!("jti-{sub}")});
    let serde_json::Value::Object(map) = claims else { unreachable!() };
    VerifiedFacts { claims: Some(Claims::from_map(map)), ..VerifiedFacts::default() }
}

fn revoked(plane: &Plane, sub: &str) -> bool {
    plane.check(&facts(sub).as_facts()).is_some()
}

fn request(value: serde_json::Value) -> Request {
    serde_json::from_value(value).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

fn config(folder: &TempDir) -> RevocationConfig {
    RevocationConfig {
        store: Some(folder.path().join("data/revocations")),
        file: Some(folder.path().join("revoked.toml")),
        max_entries: 3,
        share_key_file: None,
    }
}

#[test]
fn what_is_revoked_stays_so_over_restarts_until_it_is_lifted() {
    let folder = TempDir::new().unwrap();
    let open = || Plane::open(&config(&folder), Audit::none()).unwrap();
    let plane = open();
    let mut changes = plane.changes();
    let done = plane.revoke(&request(json!({"sub": "alice"})), "test").unwrap();
    assert!(done.not_durable.is_none() && changes.has_changed().unwrap() && revoked(&plane, "alice"));
    changes.mark_unchanged();
    assert!(plane.take(done.entry.clone()).is_ok());
    assert!(!changes.has_changed().unwrap(), "taking it again changes nothing");
    drop(plane);
    let plane = open();
    assert!(revoked(&plane, "alice") && !revoked(&plane, "bob"));
    plane.lift(&done.entry.id, "test").unwrap();
    assert!(matches!(
        plane.lift(&done.entry.id, "test"),
        Err(ChangeError::Refused(RevocationError::Unknown(_)))
    ));
    drop(plane);
    assert!(!revoked(&open(), "alice"));
}

#[test]
fn a_store_that_can_not_be_written_revokes_all_the_same_and_says_so() {
    let folder = TempDir::new().unwrap();
    let nowhere = RevocationConfig { store: None, ..config(&folder) };
    let plane = Plane::open(&nowhere, Audit::none()).unwrap();
    let done = plane.revoke(&request(json!({"sub": "alice"})), "test").unwrap();
    assert!(done.not_durable.is_some() && revoked(&plane, "alice"));
}

#[tokio::test]
async fn the_file_is_followed_and_a_bad_one_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let file = config.file.clone().unwrap();
    let plane = Plane::open(&config, Audit::none()).unwrap();
    let stop = watch::Sender::new(false);
    let following = tokio::spawn(Arc::clone(&plane).follow(stop.subscribe()));
    let mut changes = plane.changes();
    changes.mark_unchanged();
    fs::write(&file, "[[revoke]]\nsub = \"alice\"\nreason = \"left\"\n\n[[revoke]]\njti = \"jti-bob\"\n")
        .unwrap();
    within(changes.changed()).await.unwrap();
    assert!(revoked(&plane, "alice") && revoked(&plane, "bob") && !revoked(&plane, "carol"));
    let listed = plane.list();
    assert!(listed.iter().all(|entry| entry.by == "file"));
    let error = plane.lift(&listed[0].id, "test").unwrap_err();
    assert!(matches!(error, ChangeError::InFile(_)));

    fs::write(&file, "[[revoke]]\nsub = \"carol\"\n[[revoke]]\nsubject = \"dave\"\n").unwrap();
    within(async {
        while plane.file_refused.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(revoked(&plane, "alice") && !revoked(&plane, "carol"));

    fs::remove_file(&file).unwrap();
    within(changes.changed()).await.unwrap();
    assert!(!revoked(&plane, "alice") && plane.list().is_empty());
    stop.send_replace(true);
    following.await.unwrap();
}

#[test]
fn errors_of_the_file_name_the_line_and_the_bound_holds_for_it() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let file = config.file.clone().unwrap();
    fs::write(&file, "[[revoke]]\nsub = \"alice\"\njti = \"x\"\n").unwrap();
    let error = Plane::open(&config, Audit::none()).unwrap_err().to_string();
    assert!(error.contains("revoked.toml:1") && error.contains("exactly one"), "{error}");
    let many: String = (0..4).map(|index| format!("[[revoke]]\nsub = \"s{index}\"\n")).collect();
    fs::write(&file, many).unwrap();
    let error = Plane::open(&config, Audit::none()).unwrap_err().to_string();
    assert!(error.contains("max_entries"), "{error}");
}
