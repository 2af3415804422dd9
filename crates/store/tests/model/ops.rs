//! The operations, how they are made up, and how they are done on both sides.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use store::disk::SimDisk;
use store::{
    Append, Discard, Erase, Filter, Limits, Purge, Store, StoreOptions, Stream, StreamOptions, Sync,
};

use crate::compare::compare;
use crate::naive::{Naive, Stored};

pub(crate) const SUBJECTS: [&str; 6] = ["a.1", "a.2", "a.b.c", "b.1", "b", "c.x.y.z"];
pub(crate) const FILTERS: [&[&str]; 8] =
    [&[], &["a.>"], &["a.1"], &["*.1"], &["a.1", "b.1"], &["nothing"], &["b", "c.>"], &["a.*", "c.x.y.z"]];

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append(Vec<New>),
    AppendAtomic(Vec<New>),
    Delete(u64, bool),
    DeleteMany(Vec<u64>),
    Purge(usize, Option<u64>, u64),
    Limits(Limits),
    Expire,
    Skip(u64),
    PutState(u8, Vec<u8>),
    AddState(u8, Vec<u8>),
    RemoveState(u8),
    Compare,
    Restart,
    PowerCut,
}

#[derive(Clone, Debug)]
pub(crate) struct New {
    subject: usize,
    headers: usize,
    payload: usize,
    /// Seconds until it expires.
    ttl: Option<u64>,
}

pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    let some = |range: std::ops::Range<u64>| prop_oneof![3 => Just(None), 1 => range.prop_map(Some)];
    (some(1..30), some(100..3000), some(1..60), some(1..4), any::<bool>(), any::<bool>()).prop_map(
        |(max_messages, max_bytes, age, max_per_subject, new, per_subject)| Limits {
            max_messages,
            max_bytes,
            max_age: age.map(Duration::from_secs),
            max_per_subject,
            discard: if new { Discard::New } else { Discard::Old },
            discard_new_per_subject: per_subject,
        },
    )
}

fn new() -> impl Strategy<Value = New> {
    (
        0..SUBJECTS.len(),
        prop_oneof![Just(0), 1..40usize],
        0..200usize,
        proptest::option::weighted(0.2, 1..90u64),
    )
        .prop_map(|(subject, headers, payload, ttl)| New { subject, headers, payload, ttl })
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        12 => proptest::collection::vec(new(), 1..8).prop_map(Op::Append),
        2 => proptest::collection::vec(new(), 1..8).prop_map(Op::AppendAtomic),
        3 => (0..60u64, any::<bool>()).prop_map(|(back, erase)| Op::Delete(back, erase)),
        2 => proptest::collection::vec(0..60u64, 1..10).prop_map(Op::DeleteMany),
        1 => (0..FILTERS.len(), proptest::option::of(0..60u64), 0..4u64).prop_map(|(f, s, k)| Op::Purge(f, s, k)),
        1 => limits().prop_map(Op::Limits),
        2 => Just(Op::Expire),
        1 => (0..5u64).prop_map(Op::Skip),
        1 => (0..3u8, bytes()).prop_map(|(name, state)| Op::PutState(name, state)),
        2 => (0..3u8, bytes()).prop_map(|(name, state)| Op::AddState(name, state)),
        1 => (0..3u8).prop_map(Op::RemoveState),
        3 => Just(Op::Compare),
        2 => Just(Op::Restart),
        2 => Just(Op::PowerCut),
    ]
}

/// A stream and its model, side by side.
pub(crate) struct World {
    /// Where it is, if on disk.
    disk: Option<SimDisk>,
    settings: StoreOptions,
    store: Store,
    pub(crate) stream: Stream,
    pub(crate) options: StreamOptions,
    pub(crate) naive: Naive,
    pub(crate) now: u64,
}

type Outcome = Result<(), TestCaseError>;

fn open(disk: &SimDisk, settings: &StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.boot()), Path::new("/store"), settings.clone()).unwrap()
}

impl World {
    /// On a simulated disk with this seed, or in memory.
    pub(crate) fn new(seed: Option<u64>, settings: StoreOptions, options: StreamOptions) -> Self {
        let disk = seed.map(SimDisk::new);
        let store = disk.as_ref().map_or_else(|| Store::in_memory(settings.clone()), |d| open(d, &settings));
        let stream = store.create("S", options, b"about it").unwrap();
        let naive = Naive::new(options.storage, options.limits);
        Self { disk, settings, store, stream, options, naive, now: 1_000_000_000_000 }
    }

    /// Ends and starts again; with a power cut in between, what is committed must still be there.
    fn restart(&mut self, power_cut: bool) -> Outcome {
        let Some(disk) = &self.disk else { return Ok(()) };
        self.stream.wait().unwrap();
        if power_cut && self.options.sync == Sync::Commit {
            disk.power_cut();
        } else {
            self.store.close();
        }
        let store = open(disk, &self.settings);
        self.stream =
            store.stream("S").ok_or_else(|| TestCaseError::fail(format!("{:?}", store.problems())))?;
        self.store = store;
        prop_assert_eq!(self.store.problems(), vec![]);
        prop_assert_eq!(&*self.stream.metadata(), b"about it");
        prop_assert_eq!(self.stream.options(), self.options);
        Ok(())
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Outcome {
        let back = |back: u64| (self.naive.last_seq + 2).saturating_sub(back);
        match op {
            Op::Append(batch) => self.append(batch),
            Op::AppendAtomic(batch) => self.append_atomic(batch),
            Op::Delete(n, erase) => {
                let seq = back(*n);
                let erase = if *erase { Erase::Yes } else { Erase::No };
                let gone = self.stream.delete(seq, erase).unwrap();
                let expected = self.naive.messages.remove(&seq).map(|message| self.naive.size(&message));
                prop_assert_eq!(gone.map(|gone| gone.bytes), expected);
                Ok(())
            }
            Op::DeleteMany(list) => {
                let seqs: Vec<u64> = list.iter().map(|n| back(*n)).collect();
                let gone = self.stream.delete_many(&seqs).unwrap();
                let expected = seqs.iter().filter(|seq| self.naive.messages.remove(seq).is_some()).count();
                prop_assert_eq!(gone.len(), expected);
                Ok(())
            }
            Op::Purge(filter, below, keep) => {
                let patterns = FILTERS[*filter];
                let below = below.map(back);
                let purge = Purge { filter: Filter::new(patterns), below, keep: *keep };
                let gone = self.stream.purge(&purge).unwrap();
                prop_assert_eq!(gone.messages, self.naive.purge(patterns, below, *keep));
                Ok(())
            }
            Op::Limits(limits) => {
                let gone = self.stream.set_limits(*limits).unwrap();
                self.options.limits = *limits;
                prop_assert_eq!(gone.messages, self.naive.set_limits(*limits));
                Ok(())
            }
            Op::Expire => self.expire(),
            Op::Skip(ahead) => {
                self.naive.last_seq += ahead;
                self.stream.skip_to(self.naive.last_seq).unwrap();
                Ok(())
            }
            Op::PutState(name, bytes) => {
                self.stream.put_state(&name.to_string(), bytes).unwrap();
                self.naive.states.insert(name.to_string(), (bytes.clone(), Vec::new()));
                Ok(())
            }
            Op::AddState(name, bytes) => {
                self.stream.add_state(&name.to_string(), bytes).unwrap();
                self.naive.states.entry(name.to_string()).or_default().1.push(bytes.clone());
                Ok(())
            }
            Op::RemoveState(name) => {
                self.stream.remove_state(&name.to_string()).unwrap();
                self.naive.states.remove(&name.to_string());
                Ok(())
            }
            Op::Compare => compare(&self.stream, &self.naive),
            Op::Restart | Op::PowerCut => {
                self.restart(matches!(op, Op::PowerCut))?;
                compare(&self.stream, &self.naive)
            }
        }
    }

    fn made(&mut self, batch: &[New]) -> Vec<Stored> {
        let stored = |new: &New| {
            self.now += 1_000_000_000;
            Stored {
                subject: SUBJECTS[new.subject].into(),
                headers: vec![b'h'; new.headers],
                payload: vec![(self.now / 1_000_000_000) as u8; new.payload],
                time: self.now,
                expires: new.ttl.map(|ttl| self.now + ttl * 1_000_000_000),
            }
        };
        batch.iter().map(stored).collect()
    }

    fn append(&mut self, batch: &[New]) -> Outcome {
        let stored = self.made(batch);
        let batch: Vec<Append<'_>> = stored.iter().map(append).collect();
        let mut from = 0;
        while from < batch.len() {
            let done = self.stream.append(&batch[from..]);
            let mut removed = Vec::new();
            for (at, message) in stored[from..from + done.count].iter().enumerate() {
                let (seq, gone) = self.naive.append(message.clone()).unwrap();
                prop_assert_eq!(seq, done.first + at as u64);
                removed.extend(gone);
            }
            prop_assert_eq!(done.removed.iter().map(|r| r.seq).collect::<Vec<_>>(), removed);
            from += done.count;
            if let Some(refused) = done.refused {
                prop_assert_eq!(self.naive.append(stored[from].clone()).unwrap_err(), refused.to_string());
                from += 1;
            }
        }
        Ok(())
    }

    fn append_atomic(&mut self, batch: &[New]) -> Outcome {
        let stored = self.made(batch);
        let batch: Vec<Append<'_>> = stored.iter().map(append).collect();
        let before = self.naive.messages.len();
        match self.stream.append_atomic(&batch) {
            Ok(done) => {
                prop_assert_eq!(done.count, batch.len());
                let gone = self.naive.append_all(stored);
                prop_assert_eq!(done.removed.iter().map(|r| r.seq).collect::<Vec<_>>(), gone);
            }
            Err((at, _)) => {
                prop_assert!(at < batch.len());
                prop_assert_eq!(self.naive.messages.len(), before);
            }
        }
        Ok(())
    }

    fn expire(&mut self) -> Outcome {
        self.now += 10_000_000_000;
        let expired = self.stream.expire(self.now).unwrap();
        let expected = self.naive.expire(self.now);
        prop_assert_eq!(
            expired.removed.iter().map(|r| r.seq).collect::<std::collections::BTreeSet<_>>(),
            expected
        );
        prop_assert!(expired.next.is_none_or(|next| next > self.now));
        Ok(())
    }
}

fn append(message: &Stored) -> Append<'_> {
    Append {
        subject: &message.subject,
        headers: &message.headers,
        payload: &message.payload,
        time: message.time,
        expires: message.expires,
        seq: None,
    }
}
