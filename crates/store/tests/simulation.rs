//! Streams on a disk that loses power, fills up, fails and flips bits: what was committed is there, nothing is there
//! that was not appended, an atomic batch is there as a whole or not at all, and damage is reported.
//!
//! A few hundred seeds by default, thousands with `GATEHOUSE_LONG`; those of `GATEHOUSE_SEEDS=495..496` to look at some.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::disk::{Fault, SimDisk};
use store::{
    Append, Cipher, Erase, Filter, Keys, Problem, SecretKey, Severity, Store, StoreOptions, Stream,
    StreamOptions,
};

fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("GATEHOUSE_SEEDS").ok();
    let range = given.as_deref().and_then(|given| given.split_once(".."));
    if let Some((Ok(from), Ok(to))) = range.map(|(from, to)| (from.parse(), to.parse())) {
        return from..to;
    }
    if std::env::var_os("GATEHOUSE_LONG").is_some() { 0..5000 } else { 0..200 }
}

/// What a message said, and the batch it came with.
type Said = (Vec<u8>, u64);

struct Run {
    random: StdRng,
    disk: SimDisk,
    settings: StoreOptions,
    store: Store,
    stream: Stream,
    /// Committed messages that were not deleted.
    committed: BTreeMap<u64, Said>,
    /// Appended since, in order; may or may not survive.
    open: Vec<(u64, Said)>,
    /// Deleted since; may or may not be there again.
    deleting: BTreeMap<u64, Said>,
    /// Atomic batches and how many messages they have.
    atomic: BTreeMap<u64, usize>,
    next: u64,
    /// Of the last change.
    position: u64,
    state: Vec<Vec<u8>>,
    seed: u64,
}

fn open(disk: &SimDisk, settings: &StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.boot()), Path::new("/s"), settings.clone()).unwrap()
}

impl Run {
    fn new(seed: u64) -> Self {
        Self::compacting(seed, 0)
    }

    fn compacting(seed: u64, compact_percent: u8) -> Self {
        let disk = SimDisk::new(seed);
        let current = SecretKey::new(vec![1; 32]).unwrap();
        let keys = Keys { cipher: Cipher::ChaCha20Poly1305, current, previous: Vec::new() };
        let keys = (seed.is_multiple_of(4)).then_some(keys);
        let settings = StoreOptions {
            retry_after: Duration::from_millis(2),
            keys,
            compact_percent,
            ..StoreOptions::default()
        };
        let store = open(&disk, &settings);
        let options = StreamOptions { segment_bytes: 3000, ..StreamOptions::file() };
        let stream = store.create("S", options, b"m").unwrap();
        Self {
            random: StdRng::seed_from_u64(seed),
            disk,
            settings,
            store,
            stream,
            committed: BTreeMap::new(),
            open: Vec::new(),
            deleting: BTreeMap::new(),
            atomic: BTreeMap::new(),
            next: 0,
            position: 0,
            state: vec![Vec::new()],
            seed,
        }
    }

    fn append(&mut self) {
        let (count, atomic) = (self.random.random_range(1..6), self.random.random_bool(0.3));
        self.next += 1;
        let said: Vec<Vec<u8>> = (0..count)
            .map(|n| {
                let length = self.random.random_range(0..400);
                [format!("{}.{n} ", self.next).into_bytes(), vec![b'x'; length]].concat()
            })
            .collect();
        let batch: Vec<Append<'_>> =
            said.iter().map(|said| Append { subject: b"s.1", payload: said, ..Append::default() }).collect();
        let done =
            if atomic { self.stream.append_atomic(&batch).ok() } else { Some(self.stream.append(&batch)) };
        let Some(done) = done.filter(|done| done.count > 0) else { return };
        self.position = done.position;
        if atomic {
            self.atomic.insert(self.next, count);
        }
        let next = self.next;
        self.open.extend((done.first..).zip(said.into_iter().take(done.count).map(|said| (said, next))));
    }

    fn delete(&mut self) {
        let seqs: Vec<u64> = self.committed.keys().copied().collect();
        if seqs.is_empty() {
            return;
        }
        if self.settings.compact_percent > 0 && self.seed % 3 == 1 && self.random.random_bool(0.7) {
            return self.delete_most(&seqs);
        }
        let seq = seqs[self.random.random_range(0..seqs.len())];
        let erase = if self.random.random_bool(0.5) { Erase::Yes } else { Erase::No };
        if let Ok(Some(gone)) = self.stream.delete(seq, erase) {
            self.position = gone.position;
            let said = self.committed.remove(&seq).unwrap();
            self.deleting.insert(seq, said);
        }
    }

    /// Leaves so little that files are compacted.
    fn delete_most(&mut self, seqs: &[u64]) {
        for seq in seqs {
            if self.random.random_bool(0.6)
                && let Ok(Some(gone)) = self.stream.delete(*seq, Erase::No)
            {
                self.position = gone.position;
                let said = self.committed.remove(seq).unwrap();
                self.deleting.insert(*seq, said);
            }
        }
    }

    fn save(&mut self) {
        let state = self.random.random_range(0..1_000_000u64).to_string().into_bytes();
        if let Ok(position) = self.stream.put_state("c", &state) {
            self.position = position;
            self.state.push(state);
        }
    }

    fn commit(&mut self) {
        if self.stream.wait_for(self.position).is_ok() {
            self.committed.extend(std::mem::take(&mut self.open));
            self.deleting.clear();
            self.state.drain(..self.state.len() - 1);
        }
    }

    fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.random_range(0..10) {
                0..5 => self.append(),
                5 => self.delete(),
                6 => self.save(),
                _ => self.commit(),
            }
        }
    }

    fn restart(&mut self) {
        self.store = open(&self.disk, &self.settings);
        self.position = 0;
        let stream = self.store.stream("S");
        self.stream = stream.unwrap_or_else(|| panic!("seed {}: {:?}", self.seed, self.store.problems()));
    }

    fn stored(&self) -> BTreeMap<u64, Vec<u8>> {
        let (mut all, mut from) = (BTreeMap::new(), 0);
        while from <= self.stream.last_seq() {
            match self.stream.scan(&Filter::all(), from, u64::MAX, 50, 1 << 20) {
                Ok(scan) => {
                    all.extend(scan.messages.iter().map(|message| (message.seq, message.payload().to_vec())));
                    from = scan.next;
                }
                Err(_) => from = self.stream.next_seq(from).unwrap() + 1,
            }
        }
        all
    }

    /// What is stored must be what was committed, and of what was not any part that keeps batches whole.
    fn check(&mut self, what: &str) {
        let stored = self.stored();
        let seed = self.seed;
        for (seq, (said, _)) in &self.committed {
            assert!(stored.contains_key(seq), "seed {seed}, {what}: committed message {seq} is lost");
            assert_eq!(&stored[seq], said, "seed {seed}, {what}: message {seq} is another");
        }
        let mut of_batch = BTreeMap::<u64, usize>::new();
        let open: BTreeMap<u64, Said> = self.open.drain(..).collect();
        for (seq, said) in &stored {
            let committed = self.committed.get(seq).or_else(|| self.deleting.get(seq));
            let origin = committed.or_else(|| open.get(seq)).unwrap_or_else(|| {
                panic!(
                    "seed {seed}, {what}: message {seq} was never appended, or given up: {:?}",
                    self.store.problems()
                )
            });
            assert_eq!(&origin.0, said, "seed {seed}, {what}: message {seq} is another");
            if open.contains_key(seq) {
                *of_batch.entry(origin.1).or_default() += 1;
            }
            self.committed.insert(*seq, origin.clone());
        }
        for (batch, count) in of_batch {
            if let Some(whole) = self.atomic.get(&batch) {
                assert_eq!(count, *whole, "seed {seed}, {what}: part of an atomic batch");
            }
        }
        let state = self.stream.state_of("c").map(|state| state.snapshot.to_vec()).unwrap_or_default();
        assert!(self.state.contains(&state), "seed {seed}, {what}: a state nobody saved");
        self.state = vec![state];
        self.deleting.clear();
    }

    fn has_compacted(&self) -> bool {
        let files = self.disk.files();
        files.iter().any(|(path, _)| {
            let name = path.to_string_lossy();
            name.ends_with(".seg") && !name.ends_with("-0.seg")
        })
    }

    fn no_damage(&self, what: &str) {
        let damage: Vec<Problem> = self
            .store
            .problems()
            .into_iter()
            .filter(|problem| problem.severity == Severity::Damage)
            .collect();
        assert!(damage.is_empty(), "seed {}, {what}: {damage:?}", self.seed);
    }

    fn until_it_goes_on(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.stream.stopped().is_some() {
            assert!(Instant::now() < deadline, "seed {}: {:?}", self.seed, self.stream.stopped());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_committed() {
    let mut compacted = 0;
    for seed in seeds() {
        let mut run = Run::compacting(seed, 50);
        for round in 0..4 {
            let steps = run.random.random_range(1..30);
            run.work(steps);
            run.disk.power_cut();
            compacted += usize::from(run.has_compacted());
            run.restart();
            run.check(&format!("round {round}"));
            run.no_damage(&format!("round {round}"));
        }
    }
    assert!(compacted > 20, "the power was cut after a compaction {compacted} times only");
}

#[test]
fn the_end_of_the_process_takes_nothing_that_was_committed() {
    for seed in seeds() {
        let mut run = Run::compacting(seed, 50);
        for round in 0..4 {
            let steps = run.random.random_range(1..30);
            run.work(steps);
            run.disk.kill();
            run.restart();
            run.check(&format!("round {round}"));
            run.no_damage(&format!("round {round}"));
        }
    }
}

#[test]
fn after_a_failed_write_the_stream_goes_on_without_what_failed() {
    for seed in seeds() {
        let mut run = Run::compacting(seed, if seed % 5 == 0 { 0 } else { 50 });
        for round in 0..3 {
            let steps = run.random.random_range(1..20);
            run.work(steps);
            run.commit();
            let room = run.random.random_range(0..1500);
            let fault = [Fault::Full(run.disk.used() + room), Fault::Write, Fault::Sync]
                [run.random.random_range(0..3)];
            run.disk.inject(fault);
            let steps = run.random.random_range(1..20);
            run.work(steps);
            let failed = run.stream.wait_for(run.position).is_err();
            if failed {
                // Reads go on, and show what was committed before.
                let last = run.stream.committed().seq;
                run.open.retain(|(seq, _)| *seq <= last);
                run.check(&format!("round {round}, {fault:?}"));
            } else {
                run.commit();
            }
            run.disk.heal();
            run.until_it_goes_on();
            let steps = run.random.random_range(1..10);
            run.work(steps);
            if run.random.random_bool(0.5) {
                run.disk.power_cut();
            } else {
                run.commit();
                run.store.close();
            }
            run.restart();
            run.check(&format!("round {round}, after {fault:?}"));
            run.no_damage(&format!("round {round}, after {fault:?}"));
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_message_and_is_reported() {
    let (mut hits, mut lost, mut silent) = (0, 0, 0);
    for seed in seeds() {
        let mut run = Run::new(seed);
        run.work(40);
        run.commit();
        let settled: Vec<u64> = run.committed.keys().copied().collect();
        run.store.close();
        let files: Vec<_> = run
            .disk
            .files()
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"))
            .collect();
        let (path, length) = files[run.random.random_range(0..files.len())].clone();
        if length == 0 {
            continue;
        }
        let bit = run.random.random_range(0..length * 8);
        assert!(run.disk.flip(&path, bit));
        hits += 1;
        let store = open(&run.disk, &run.settings);
        let Some(stream) = store.stream("S") else {
            assert!(!store.problems().is_empty(), "seed {seed}: a stream went without a word");
            continue;
        };
        (run.store, run.stream) = (store, stream);
        let stored = run.stored();
        let gone: Vec<u64> = settled.iter().copied().filter(|seq| !stored.contains_key(seq)).collect();
        for (seq, said) in &stored {
            let expected = run.committed.get(seq).map(|(said, _)| said);
            // A damaged list of deletions lets messages come back, never wrong ones.
            assert!(
                expected.is_none_or(|expected| expected == said),
                "seed {seed}: message {seq} is another"
            );
        }
        // At the end of the log, a batch that is no longer whole can't be told from one that never was.
        let batches: std::collections::BTreeSet<u64> = gone.iter().map(|seq| run.committed[seq].1).collect();
        let one_batch = batches.len() == 1 && batches.iter().all(|batch| run.atomic.contains_key(batch));
        assert!(
            gone.len() <= 1 || one_batch || bit / 8 < 128,
            "seed {seed}: {gone:?} lost to one bit, {:?}",
            run.store.problems()
        );
        // What was overwritten or is no longer needed may be damaged without a word.
        let harmless = gone.is_empty() && stored.len() == settled.len();
        let reported = !run.store.problems().is_empty();
        assert!(
            reported || harmless,
            "seed {seed}: bit {bit} of {path:?} turned over, unreported; {gone:?} gone"
        );
        silent += usize::from(!reported);
        lost += gone.len();
    }
    assert!(silent < hits / 10, "{silent} of {hits} were not reported");
    assert!(hits > 100 && lost > 20, "{hits} hits, {lost} lost: the test hits nothing");
}

#[test]
fn what_a_failed_sync_left_behind_is_on_disk_once_it_was_served() {
    let mut served = 0;
    for seed in seeds() {
        let mut run = Run::compacting(seed, 50);
        run.settings.retry_after = Duration::from_secs(3600);
        run.restart();
        run.work(10);
        run.commit();
        run.disk.inject(Fault::Sync);
        run.work(10);
        // The process ends before the stream goes on, and the next one believes what it can read.
        run.disk.kill();
        run.restart();
        let last = run.committed.len();
        run.check("after the end of the process");
        served += run.committed.len().saturating_sub(last);
        run.disk.power_cut();
        run.restart();
        run.check("after the power cut");
        run.no_damage("after the power cut");
    }
    assert!(served > 20, "{served}: the failed syncs left nothing behind");
}

#[test]
fn an_atomic_batch_behind_many_removals_is_there_after_a_restart() {
    let disk = SimDisk::new(1);
    let settings = StoreOptions { compact_percent: 0, ..StoreOptions::default() };
    let store = open(&disk, &settings);
    let options = StreamOptions { segment_bytes: 3000, ..StreamOptions::file() };
    let stream = store.create("S", options, b"").unwrap();
    let message = |payload| Append { subject: b"s.1", payload, ..Append::default() };
    assert_eq!(stream.append(&[message(&[1; 20]); 40]).count, 40);
    // A segment in which there are removals alone.
    for seq in 1..40 {
        stream.delete(seq, Erase::No).unwrap();
    }
    let done = stream.append_atomic(&[message(&[2; 500]); 5]).unwrap();
    stream.wait().unwrap();
    disk.kill();
    let store = open(&disk, &settings);
    let stream = store.stream("S").unwrap();
    for seq in done.first..=done.last {
        assert_eq!(stream.get(seq).unwrap().unwrap().payload(), [2; 500], "message {seq}");
    }
    assert_eq!(store.problems(), vec![]);
}
