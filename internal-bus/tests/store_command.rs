//! `internal-bus store check|repair DIR [--json]` as a process, on a real store with a damaged byte.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use store::{Append, Store, StoreOptions, StreamOptions};

/// One test at a time: a child that another one is just starting has copies of all open files, and so of a store's lock,
/// until it runs its own program.
static ALONE: Mutex<()> = Mutex::new(());

fn run(arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_internal-bus"));
    command.arg("store").args(&arguments[..1]).arg(dir).args(&arguments[1..]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A store of three messages; the file they are in.
fn filled(dir: &Path) -> PathBuf {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let stream = store.create("ORDERS", StreamOptions::file(), b"").unwrap();
    for payload in [b"one", b"two", b"six"] {
        let done = stream.append(&[Append { subject: b"orders.1", payload, ..Append::default() }]);
        stream.wait_for(done.position).unwrap();
    }
    store.close();
    let names = fs::read_dir(dir.join("streams/ORDERS")).unwrap().map(|entry| entry.unwrap().path());
    names.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap()
}

#[test]
fn damage_is_found_mended_and_kept_aside() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let segment = filled(dir.path());
    let well = run(&["check"], dir.path());
    assert_eq!((well.status.code(), text(&well.stdout).contains("all is well")), (Some(0), true));

    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let found = run(&["check", "--json"], dir.path());
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stderr));
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(report["files"][0]["records"], 2);
    assert_eq!(report["problems"][0]["severity"], "damage");
    assert_eq!(report["problems"][0]["path"], segment.to_str().unwrap());
    assert_eq!(fs::read(&segment).unwrap(), bytes, "a check changed the file");

    let mended = run(&["repair"], dir.path());
    assert_eq!(mended.status.code(), Some(0), "{}", text(&mended.stderr));
    assert!(text(&mended.stdout).contains("mended: "), "{}", text(&mended.stdout));
    let kept = dir.path().join("streams/ORDERS/quarantine").join(segment.file_name().unwrap());
    assert_eq!(fs::read(kept).unwrap(), bytes);
    let well = run(&["check", "--json"], dir.path());
    assert_eq!(well.status.code(), Some(0));
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let stream = store.stream("ORDERS").unwrap();
    let payload = |seq| stream.get(seq).unwrap().map(|message| message.payload().to_vec());
    assert_eq!((payload(1), payload(2), payload(3)), (Some(b"one".to_vec()), None, Some(b"six".to_vec())));
}

#[test]
fn a_store_in_use_no_store_and_wrong_words_are_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let none = run(&["check"], dir.path());
    assert!(none.status.code().is_some_and(|code| code != 0));
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "looking made a store");
    filled(dir.path());
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let used = run(&["repair"], dir.path());
    assert!(used.status.code().is_some_and(|code| code != 0));
    assert!(text(&used.stderr).contains(&std::process::id().to_string()), "{}", text(&used.stderr));
    store.close();
    let wrong = run(&["mend"], dir.path());
    assert!(text(&wrong.stderr).contains("usage: internal-bus store"), "{}", text(&wrong.stderr));
}
