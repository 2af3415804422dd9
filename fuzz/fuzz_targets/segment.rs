//! Segment files: whatever follows a valid header, a check ends, and what it calls intact and damaged fits the file.
#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use store::check::look_over;
use store::disk::{Disk, SimDisk};
use store::{Append, Store, StoreOptions, StreamOptions};

const SEGMENT: &str = "/s/streams/S/0000000001-0.seg";

/// A disk with a store of one message, and the bytes of its segment.
fn sample() -> &'static (SimDisk, Vec<u8>) {
    static SAMPLE: OnceLock<(SimDisk, Vec<u8>)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimDisk::new(0);
        let store = Store::open_on(Arc::new(disk.boot()), Path::new("/s"), StoreOptions::default()).expect("opens");
        let stream = store.create("S", StreamOptions::file(), b"").expect("creates");
        let done = stream.append(&[Append { subject: b"a.b", payload: b"words", ..Append::default() }]);
        stream.wait_for(done.position).expect("commits");
        store.close();
        let file = disk.open(Path::new(SEGMENT)).expect("is there");
        let mut bytes = vec![0; file.len().expect("has a length") as usize];
        file.read_at(&mut bytes, 0).expect("can be read");
        (disk, bytes)
    })
}

fuzz_target!(|data: &[u8]| {
    let (disk, segment) = sample();
    let bytes = [segment, data].concat();
    disk.create(Path::new(SEGMENT)).expect("can be emptied").write_at(&bytes, 0).expect("can be written");
    let report = look_over(Arc::new(disk.boot()), Path::new("/s"), false).expect("can be read");
    let file = &report.files[0];
    assert!(file.records >= 1 && file.damaged_bytes <= data.len() as u64);
    assert!(file.damaged_bytes == 0 || !report.problems.is_empty());
});
