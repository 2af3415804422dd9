//! A store written by the first release of the format: whatever the code becomes, it is read as it was written.
//!
//! `GATEHOUSE_BLESS=1` writes it anew, which is only right together with a new format version.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use store::{Append, Erase, Store, StoreOptions, StreamOptions};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn write_anew() {
    let store = Store::open(&golden(), StoreOptions::default()).unwrap();
    let stream = store.create("GOLDEN", StreamOptions::file(), b"{\"about\":\"it\"}").unwrap();
    let message = |n: u64| Append { subject: b"a.b", payload: b"payload", time: n, ..Append::default() };
    let with = Append { headers: b"NATS/1.0\r\nk: v\r\n\r\n", expires: Some(u64::MAX), ..message(2) };
    let done = stream.append(&[message(1), with, message(3)]);
    stream.wait_for(done.position).unwrap();
    stream.append_atomic(&[message(4), message(5)]).unwrap();
    stream.delete(1, Erase::No).unwrap();
    stream.delete(3, Erase::Yes).unwrap();
    stream.put_state("consumer", b"snapshot").unwrap();
    stream.add_state("consumer", b"added").unwrap();
    stream.skip_to(9).unwrap();
    stream.wait().unwrap();
    store.close();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_first_format_is_still_read() {
    if std::env::var_os("GATEHOUSE_BLESS").is_some() {
        write_anew();
    }
    for with_snapshot in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        copy(&golden(), dir.path());
        if !with_snapshot {
            fs::remove_file(dir.path().join("streams/GOLDEN/index.snapshot")).unwrap();
        }
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        assert_eq!(store.problems(), vec![]);
        let stream = store.stream("GOLDEN").unwrap();
        assert_eq!(&*stream.metadata(), b"{\"about\":\"it\"}");
        let state = stream.state();
        assert_eq!((state.messages, state.first_seq, state.last_seq, state.subjects), (3, 2, 9, 1));
        let message = stream.get(2).unwrap().unwrap();
        assert_eq!((message.time, message.expires), (2, Some(u64::MAX)));
        assert_eq!(message.headers(), b"NATS/1.0\r\nk: v\r\n\r\n");
        assert_eq!((message.subject(), message.payload()), (b"a.b".as_slice(), b"payload".as_slice()));
        assert!([1, 3, 6].iter().all(|seq| stream.get(*seq).unwrap().is_none()));
        let state = stream.state_of("consumer").unwrap();
        assert_eq!((&state.snapshot[..], &state.added[0][..]), (b"snapshot".as_slice(), b"added".as_slice()));
    }
}
