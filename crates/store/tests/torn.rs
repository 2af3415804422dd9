//! What a write that was cut short leaves in the files of a stream, byte by byte: which of it counts at the next start.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::disk::{Disk, Fault, SimDisk};
use store::{
    Append, Committed, Erase, Limits, Listener, Severity, Stopped, Store, StoreOptions, Stream, StreamOptions,
};

const DIR: &str = "/s/streams/S";

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.boot()), Path::new("/s"), StoreOptions::default()).unwrap()
}

fn append(stream: &Stream, messages: &[(&str, &str)]) -> u64 {
    let batch = messages.iter().map(|(subject, payload)| Append {
        subject: subject.as_bytes(),
        payload: payload.as_bytes(),
        ..Append::default()
    });
    let done = stream.append(&batch.collect::<Vec<_>>());
    assert!(done.refused.is_none(), "{:?}", done.refused);
    stream.wait_for(done.position).unwrap();
    done.first
}

fn payloads(stream: &Stream) -> Vec<(u64, String)> {
    let seqs = (1..=stream.last_seq()).filter_map(|seq| stream.get(seq).unwrap());
    seqs.map(|message| (message.seq, String::from_utf8_lossy(message.payload()).into_owned())).collect()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:010}-0.seg"))
}

fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.boot().open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn find(disk: &SimDisk, path: &Path, text: &str) -> Option<usize> {
    bytes(disk, path).windows(text.len()).position(|window| window == text.as_bytes())
}

/// Whether this text stands in any file of the stream: a segment may be rewritten under another name meanwhile.
fn is_anywhere(disk: &SimDisk, text: &str) -> bool {
    let disk = disk.boot();
    disk.list(Path::new(DIR)).unwrap().iter().any(|name| {
        // One that is gone since it was listed has been replaced by another: the caller asks again.
        let Ok(file) = disk.open(&Path::new(DIR).join(name)) else { return true };
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// What a sector that never reached the disk leaves where this text stood.
fn lose(disk: &SimDisk, path: &Path, text: &str) {
    let at = find(disk, path, text).unwrap();
    disk.boot().open(path).unwrap().write_at(&vec![0; text.len()], at as u64).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_sequence_of_a_message_whose_erasure_was_cut_short_is_not_used_again() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let stream = store.create("S", StreamOptions::file(), b"").unwrap();
    append(&stream, &[("a", "first"), ("a", "secret")]);
    stream.delete(2, Erase::Yes).unwrap();
    stream.wait().unwrap();
    until("it is not overwritten", || find(&disk, &segment(1), "secret").is_none());
    disk.kill();
    // Only part of it had been overwritten.
    let file = disk.boot().open(&segment(1)).unwrap();
    let begin = 128 + 32 + "a".len() + "first".len();
    file.write_at(b"left over", begin as u64 + 12).unwrap();
    let store = open(&disk);
    let stream = store.stream("S").unwrap();
    assert_eq!(append(&stream, &[("a", "third")]), 3);
    for _ in 0..2 {
        disk.kill();
        let store = open(&disk);
        let stream = store.stream("S").unwrap();
        assert_eq!(payloads(&stream), [(1, "first".into()), (3, "third".into())]);
        assert_eq!(store.problems(), vec![]);
        stream.put_state("c", b"so that something is written").unwrap();
        stream.wait().unwrap();
    }
}

#[test]
fn a_value_stays_when_the_one_that_was_to_replace_it_is_torn() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let limits = Limits { max_per_subject: Some(1), ..Limits::default() };
    let stream = store.create("S", StreamOptions { limits, ..StreamOptions::file() }, b"").unwrap();
    append(&stream, &[("k", "old value")]);
    // One write: the message, and the record that the old one went.
    append(&stream, &[("k", "new value")]);
    disk.kill();
    lose(&disk, &segment(1), "new value");
    for _ in 0..3 {
        let store = open(&disk);
        let stream = store.stream("S").unwrap();
        assert_eq!(payloads(&stream), [(1, "old value".into())]);
        disk.kill();
    }
}

#[test]
fn what_stands_behind_a_torn_record_does_not_count_and_is_no_damage_later() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let stream = store.create("S", StreamOptions::file(), b"").unwrap();
    append(&stream, &[("a", "one")]);
    append(&stream, &[("a", "two"), ("a", "three"), ("a", "four")]);
    disk.kill();
    lose(&disk, &segment(1), "three");
    let store = open(&disk);
    let stream = store.stream("S").unwrap();
    let expected = [(1, "one".to_owned()), (2, "two".to_owned())];
    assert_eq!(payloads(&stream), expected);
    assert!(store.problems().iter().all(|problem| problem.severity == Severity::Notice));
    assert_eq!(store.problems().len(), 1, "{:?}", store.problems());
    // Had it been damaged after all, nobody may take another message for one of those.
    assert_eq!(append(&stream, &[("a", "five")]), 5);
    for _ in 0..2 {
        disk.kill();
        let store = open(&disk);
        let stream = store.stream("S").unwrap();
        let all = [&expected[..], &[(5, "five".to_owned())]].concat();
        assert_eq!(payloads(&stream), all);
        assert_eq!(store.problems(), vec![]);
        stream.put_state("c", b"so that something is written").unwrap();
        stream.wait().unwrap();
    }
}

#[test]
fn damage_before_a_sync_costs_the_message_it_hit_alone() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let stream = store.create("S", StreamOptions::file(), b"").unwrap();
    append(&stream, &[("a", "one"), ("a", "two"), ("a", "three")]);
    append(&stream, &[("a", "four")]);
    disk.kill();
    lose(&disk, &segment(1), "two");
    let store = open(&disk);
    let stream = store.stream("S").unwrap();
    assert_eq!(payloads(&stream), [(1, "one".into()), (3, "three".into()), (4, "four".into())]);
    let problems = store.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].severity, problems[0].sequences), (Severity::Damage, Some((2, 2))));
}

/// Breaks the disk as soon as something is committed behind a position, before anything is overwritten for it.
struct BreaksThen(SimDisk, AtomicU64);

impl Listener for BreaksThen {
    fn committed(&self, upto: Committed) {
        if upto.position > self.1.load(Ordering::Relaxed) {
            self.0.inject(Fault::Write);
            self.1.store(u64::MAX, Ordering::Relaxed);
        }
    }

    fn failed(&self, _why: &Stopped, _last: Committed) {}
}

#[test]
fn what_could_not_be_overwritten_is_overwritten_when_the_disk_works_again() {
    for seed in 0..8 {
        let disk = SimDisk::new(seed);
        let options = StoreOptions { retry_after: Duration::from_millis(1), ..StoreOptions::default() };
        let store = Store::open_on(Arc::new(disk.boot()), Path::new("/s"), options).unwrap();
        let stream = store.create("S", StreamOptions::file(), b"").unwrap();
        append(&stream, &[("a", "first"), ("a", "a secret that is long"), ("a", "third")]);
        stream.set_listener(Arc::new(BreaksThen(disk.clone(), stream.committed().position.into())));
        let gone = stream.delete(2, Erase::Yes).unwrap().unwrap();
        stream.wait_for(gone.position).unwrap();
        until("it did not fail", || stream.stopped().is_some());
        disk.heal();
        until("it does not go on", || stream.stopped().is_none());
        until("it is not overwritten", || !is_anywhere(&disk, "long"));
        until("it is not synced", || append(&stream, &[("a", "next")]) > 3);
        disk.power_cut();
        let store = open(&disk);
        let stream = store.stream("S").unwrap();
        assert_eq!(payloads(&stream), [(1, "first".into()), (3, "third".into()), (4, "next".into())]);
        assert!(!is_anywhere(&disk, "long"));
        assert_eq!(store.problems(), vec![]);
    }
}

#[test]
fn a_file_that_was_begun_before_a_failed_write_is_not_taken_for_part_of_the_log() {
    let disk = SimDisk::new(3);
    let settings = StoreOptions { retry_after: Duration::from_millis(1), ..StoreOptions::default() };
    let store = Store::open_on(Arc::new(disk.boot()), Path::new("/s"), settings).unwrap();
    let options = StreamOptions { segment_bytes: 1000, ..StreamOptions::file() };
    let stream = store.create("S", options, b"").unwrap();
    append(&stream, &[("a", &"x".repeat(700))]);
    disk.inject(Fault::Sync);
    // The second segment is begun.
    let long = "y".repeat(700);
    let done = stream.append(&[Append { subject: b"a", payload: long.as_bytes(), ..Append::default() }]);
    stream.wait_for(done.position).unwrap_err();
    let stray = bytes(&disk, &segment(2));
    disk.heal();
    until("it does not go on", || stream.stopped().is_none());
    assert!(disk.boot().open(&segment(2)).is_err(), "it is still there");
    append(&stream, &[("a", "two")]);
    disk.kill();
    // As if it could not have been removed.
    disk.boot().create(&segment(2)).unwrap().write_at(&stray, 0).unwrap();
    for notices in [1, 0] {
        let store = open(&disk);
        let stream = store.stream("S").unwrap();
        assert_eq!(payloads(&stream), [(1, "x".repeat(700)), (2, "two".into())]);
        let problems = store.problems();
        assert_eq!(problems.len(), notices, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.severity == Severity::Notice), "{problems:?}");
        disk.kill();
    }
}
