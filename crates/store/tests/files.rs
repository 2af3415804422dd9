//! Stores in real directories: the lock, a full disk, permissions, foreign and newer files, key rotation.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use store::{
    Append, AppendError, Cipher, Keys, SecretKey, Severity, Stopped, Store, StoreError, StoreOptions, Stream,
    StreamOptions,
};

fn append(stream: &Stream, payload: &[u8]) -> Result<u64, String> {
    let done = stream.append(&[Append { subject: b"a.b", payload, ..Append::default() }]);
    match done.refused {
        Some(refused) => Err(refused.to_string()),
        None => stream.wait_for(done.position).map(|_| done.first).map_err(|error| error.to_string()),
    }
}

fn segment(dir: &Path, stream: &str) -> PathBuf {
    let dir = dir.join("streams").join(stream);
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).min().unwrap()
}

#[test]
fn a_store_is_one_process_own_and_the_error_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let error = Store::open(dir.path(), StoreOptions::default()).unwrap_err();
    assert!(
        matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    first.close();
    Store::open(dir.path(), StoreOptions::default()).unwrap();
}

#[test]
fn a_removed_stream_is_gone_and_its_name_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let stream = store.create("$G/ORDERS.1", StreamOptions::file(), b"one").unwrap();
    append(&stream, b"x").unwrap();
    store.remove("$G/ORDERS.1").unwrap();
    assert!(append(&stream, b"y").is_err());
    let again = store.create("$G/ORDERS.1", StreamOptions::file(), b"two").unwrap();
    assert_eq!(again.state().last_seq, 0);
    store.close();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let stream = store.stream("$G/ORDERS.1").unwrap();
    assert_eq!((&*stream.metadata(), stream.state().messages), (b"two".as_slice(), 0));
    assert_eq!(store.problems(), vec![]);
}

#[test]
fn what_a_removed_stream_had_not_committed_is_taken_back_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    for round in 0..50 {
        let stream = store.create("S", StreamOptions::file(), b"").unwrap();
        append(&stream, b"x").unwrap();
        let safe = stream.committed().position;
        let last = stream.append(&[Append { subject: b"a.b", ..Append::default() }; 3]).position;
        store.remove("S").unwrap();
        assert!(stream.append(&[Append::default()]).refused.is_some());
        let durable = stream.durable();
        assert!(safe <= durable && durable <= last, "round {round}: {durable}");
        if let Some((from, upto)) = stream.taken_back() {
            assert!(safe <= from && upto == last, "round {round}: {from} to {upto}");
            assert!(stream.wait_for(last).is_err());
        }
    }
}

#[test]
fn foreign_and_newer_files_are_left_alone_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    for name in ["GOOD", "NEW"] {
        append(&store.create(name, StreamOptions::file(), b"").unwrap(), b"x").unwrap();
    }
    store.close();
    let newer = segment(dir.path(), "NEW");
    let mut bytes = fs::read(&newer).unwrap();
    bytes[8] = 2;
    fs::write(&newer, &bytes).unwrap();
    let foreign = dir.path().join("streams/GOOD/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.stream("GOOD").unwrap().state().messages, 1);
    assert!(store.stream("NEW").is_none());
    assert!(matches!(store.create("NEW", StreamOptions::file(), b""), Err(StoreError::Exists(_))));
    let problems = store.problems();
    assert!(problems.iter().any(|p| p.path == foreign && p.severity == Severity::Notice), "{problems:?}");
    assert!(problems.iter().any(|p| p.what.contains("format version 2")), "{problems:?}");
    assert_eq!(fs::read(&newer).unwrap(), bytes);
    assert_eq!(fs::read(&foreign).unwrap(), b"mine");
}

#[test]
fn files_are_the_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    append(&store.create("S", StreamOptions::file(), b"").unwrap(), b"x").unwrap();
    let mode = fs::metadata(segment(dir.path(), "S")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file.path().join("store"), StoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error}");
}

#[test]
fn a_rotated_key_reads_the_old_and_writes_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let key = |byte| SecretKey::new(vec![byte; 32]).unwrap();
    let with = |current, previous| {
        let keys = Keys { cipher: Cipher::Aes256Gcm, current, previous };
        Store::open(dir.path(), StoreOptions { keys: Some(keys), ..StoreOptions::default() }).unwrap()
    };
    let store = with(key(1), vec![]);
    let stream = store.create("S", StreamOptions::file(), b"secret config").unwrap();
    append(&stream, b"secret payload").unwrap();
    stream.put_state("consumer", b"secret state").unwrap();
    stream.wait().unwrap();
    store.close();
    let store = with(key(2), vec![key(1)]);
    let stream = store.stream("S").unwrap();
    assert_eq!(&*stream.metadata(), b"secret config");
    assert_eq!(stream.get(1).unwrap().unwrap().payload(), b"secret payload");
    assert_eq!(&stream.state_of("consumer").unwrap().snapshot[..], b"secret state");
    append(&stream, b"another").unwrap();
    store.close();
    for entry in fs::read_dir(dir.path().join("streams/S")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "something is in clear");
    }
    let store = with(key(3), vec![]);
    assert!(store.stream("S").is_none());
    assert!(store.problems().iter().any(|problem| problem.what.contains("key that was not given")));
}

/// Needs the right to mount; where that is missing, the simulation covers full disks alone.
#[test]
fn a_full_disk_stops_writes_and_the_stream_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill_up(dir.path()));
    let unmounted = Command::new("umount").arg(dir.path()).status();
    outcome.unwrap();
    assert!(unmounted.unwrap().success());
}

fn fill_up(dir: &Path) {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 1024 * 1024]).unwrap();
    let options = StoreOptions { retry_after: Duration::from_millis(20), ..StoreOptions::default() };
    let store = Store::open(&dir.join("store"), options).unwrap();
    let stream = store.create("S", StreamOptions::file(), b"").unwrap();
    let (mut stored, block) = (0, vec![7; 60_000]);
    let refused = loop {
        match append(&stream, &block) {
            Ok(seq) => stored = seq,
            Err(refused) => break refused,
        }
    };
    assert!(refused.contains("the disk is full"), "{refused}");
    assert!(stored > 3);
    let again = stream.append(&[Append { subject: b"a", ..Append::default() }]);
    assert!(matches!(again.refused, Some(AppendError::Stopped(Stopped::DiskFull { .. }))));
    assert_eq!(stream.state().last_seq, stored);
    assert_eq!(stream.get(stored).unwrap().unwrap().payload(), block);
    fs::remove_file(ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while stream.stopped().is_some() {
        assert!(Instant::now() < deadline, "{:?}", stream.stopped());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(append(&stream, &block), Ok(stored + 1));
    store.close();
    let store = Store::open(&dir.join("store"), StoreOptions::default()).unwrap();
    assert_eq!(store.stream("S").unwrap().state().messages, stored + 1);
}
