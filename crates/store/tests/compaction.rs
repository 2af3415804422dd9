//! Compaction of files on disk: what a stream takes stays bounded, nothing alive is lost, an old key goes out of use.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Append, Cipher, Keys, Limits, SecretKey, Store, StoreOptions, Stream, StreamOptions};

const SEGMENT: u64 = 64 * 1024;
const KEYS: usize = 20;

fn put(stream: &Stream, key: usize, payload: &[u8]) {
    let subject = format!("kv.{key}").into_bytes();
    let done = stream.append(&[Append { subject: &subject, payload, ..Append::default() }]);
    assert!(done.refused.is_none(), "{:?}", done.refused);
}

fn value(stream: &Stream, key: usize) -> Vec<u8> {
    let subject = format!("kv.{key}");
    stream.last(&store::Filter::new([subject.as_str()])).unwrap().unwrap().payload().to_vec()
}

/// Bytes in segment files of messages.
fn on_disk(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("streams/KV")).unwrap().map(|entry| entry.unwrap());
    let segments = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "seg"));
    segments.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One key that never changes at the front, and others written over a hundred times, each value 1000 bytes.
fn fill(stream: &Stream) {
    put(stream, KEYS, &[b'o'; 1000]);
    for round in 0..100 {
        for key in 0..KEYS {
            put(stream, key, &[round; 1000]);
        }
        stream.wait().unwrap();
    }
}

fn bucket() -> StreamOptions {
    let limits = Limits { max_per_subject: Some(1), ..Limits::default() };
    StreamOptions { segment_bytes: SEGMENT, limits, ..StreamOptions::file() }
}

#[test]
fn a_bucket_written_over_and_over_with_one_old_key_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(dir.path(), StoreOptions { compact_percent: 50, ..StoreOptions::default() }).unwrap();
    let stream = store.create("KV", bucket(), b"").unwrap();
    fill(&stream);
    // 2 MB were written; 21 KB are alive, and half as much again may be dead, besides two segments.
    let most = 2 * (KEYS as u64 + 1) * 1100 + 2 * SEGMENT;
    until("the dead stay on disk", || {
        put(&stream, 0, &[99; 1000]);
        stream.wait().unwrap();
        on_disk(dir.path()) <= most
    });
    store.close();
    let store =
        Store::open(dir.path(), StoreOptions { compact_percent: 50, ..StoreOptions::default() }).unwrap();
    assert_eq!(store.problems(), vec![]);
    let stream = store.stream("KV").unwrap();
    assert_eq!(stream.state().messages, KEYS as u64 + 1);
    assert_eq!(value(&stream, KEYS), [b'o'; 1000]);
    assert!((0..KEYS).all(|key| value(&stream, key) == [99; 1000]));
}

#[test]
fn an_old_key_at_the_end_of_its_segment_keeps_no_dead_before_it_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let stream = store.create("KV", bucket(), b"").unwrap();
    for n in 0..40 {
        put(&stream, n % KEYS, &[1; 1000]);
    }
    fill(&stream);
    let most = 2 * (KEYS as u64 + 1) * 1100 + 2 * SEGMENT;
    until("the dead stay on disk", || {
        put(&stream, 0, &[99; 1000]);
        stream.wait().unwrap();
        on_disk(dir.path()) <= most
    });
    let first = dir.path().join("streams/KV/0000000001-0.seg");
    until("the first segment stays as it was", || {
        put(&stream, 0, &[99; 1000]);
        stream.wait().unwrap();
        !first.exists()
    });
    assert_eq!(value(&stream, KEYS), [b'o'; 1000]);
}

#[test]
fn a_stream_that_loses_its_oldest_messages_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let limits = Limits { max_messages: Some(100), ..Limits::default() };
    let options = StreamOptions { segment_bytes: SEGMENT, limits, ..StreamOptions::file() };
    let stream = store.create("KV", options, b"").unwrap();
    for n in 0..2000 {
        put(&stream, n, &[1; 1000]);
        if n % 4 == 0 {
            stream.wait().unwrap();
        }
        if n % 50 == 0 {
            let names = fs::read_dir(dir.path().join("streams/KV")).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
            let again: Vec<String> = names.filter(|name| name.contains("-1.")).collect();
            assert!(again.is_empty(), "after {n} messages: {again:?}");
        }
    }
    until("the dead stay on disk", || on_disk(dir.path()) < 4 * SEGMENT);
}

#[test]
fn without_compaction_the_same_bucket_grows() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { compact_percent: 0, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let stream = store.create("KV", bucket(), b"").unwrap();
    fill(&stream);
    assert!(on_disk(dir.path()) > 2_000_000);
}

#[test]
fn after_a_rotation_everything_is_written_again_with_the_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let key = |byte| SecretKey::new(vec![byte; 32]).unwrap();
    let with = |current, previous| {
        let keys = Keys { cipher: Cipher::Aes256Gcm, current, previous };
        Store::open(
            dir.path(),
            StoreOptions { keys: Some(keys), compact_percent: 50, ..StoreOptions::default() },
        )
        .unwrap()
    };
    let store = with(key(1), vec![]);
    let options = StreamOptions { segment_bytes: SEGMENT, ..StreamOptions::file() };
    let stream = store.create("KV", options, b"").unwrap();
    (0..300).for_each(|n| put(&stream, n, &[n as u8; 1000]));
    stream.wait().unwrap();
    store.close();
    let store = with(key(2), vec![key(1)]);
    // The manifest, the last segment and the saved states are sealed anew when they are written next.
    let stream = store.stream("KV").unwrap();
    stream.update(options, b"").unwrap();
    put(&stream, 300, &[44; 1000]);
    stream.wait().unwrap();
    let generations = || {
        let entries = fs::read_dir(dir.path().join("streams/KV")).unwrap();
        let names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.into_iter().filter(|name| name.ends_with("-0.seg")).count()
    };
    until("segments stay as they were", || {
        put(&stream, 301, b"more");
        stream.wait().unwrap();
        generations() <= 1
    });
    store.close();
    let store = with(key(2), vec![]);
    let stream = store.stream("KV").unwrap_or_else(|| panic!("{:?}", store.problems()));
    assert!((0..300).all(|n| value(&stream, n) == [n as u8; 1000]));
}
