//! Every question a stream answers, put to both sides.

use proptest::prelude::*;
use store::{Filter, Point, Stream};

use crate::naive::{Naive, Stored};
use crate::ops::{FILTERS, SUBJECTS};

type Outcome = Result<(), TestCaseError>;

pub(crate) fn compare(stream: &Stream, naive: &Naive) -> Outcome {
    totals(stream, naive)?;
    for filter in FILTERS {
        choices(stream, naive, filter)?;
    }
    for subject in SUBJECTS {
        let last = naive.scan(&[subject], 0, u64::MAX).last().map(|(seq, _)| *seq);
        prop_assert_eq!(stream.last_seq_of(subject.as_bytes()), last);
    }
    for seq in (0..=naive.last_seq + 1).step_by(3) {
        let message = stream.get(seq).unwrap();
        let plain = message.map(|message| {
            prop_assert_eq!(message.seq, seq);
            Ok(stored(&message))
        });
        prop_assert_eq!(plain.transpose()?, naive.messages.get(&seq).cloned());
    }
    states(stream, naive)
}

fn stored(message: &store::Message) -> Stored {
    Stored {
        subject: message.subject().to_vec(),
        headers: message.headers().to_vec(),
        payload: message.payload().to_vec(),
        time: message.time,
        expires: message.expires,
    }
}

fn totals(stream: &Stream, naive: &Naive) -> Outcome {
    let state = stream.state();
    let first = naive.messages.first_key_value();
    prop_assert_eq!(state.messages, naive.messages.len() as u64);
    prop_assert_eq!(state.bytes, naive.bytes());
    prop_assert_eq!(state.last_seq, naive.last_seq);
    prop_assert_eq!(state.first_seq, first.map_or(naive.last_seq + 1, |(seq, _)| *seq));
    prop_assert_eq!(state.first_time, first.map_or(0, |(_, message)| message.time));
    let subjects: std::collections::BTreeSet<_> = naive.messages.values().map(|m| &m.subject).collect();
    prop_assert_eq!(state.subjects, subjects.len() as u64);
    let mut gaps = Vec::new();
    for seq in state.first_seq..=state.last_seq {
        if !naive.messages.contains_key(&seq) {
            gaps.push(seq);
        }
    }
    let deleted: Vec<u64> = stream.deleted(usize::MAX).into_iter().flatten().collect();
    if state.messages > 0 {
        prop_assert_eq!(&deleted, &gaps);
        prop_assert_eq!(state.deleted, gaps.len() as u64);
    }
    Ok(())
}

fn choices(stream: &Stream, naive: &Naive, patterns: &[&str]) -> Outcome {
    let filter = Filter::new(patterns);
    let all = naive.scan(patterns, 0, u64::MAX);
    prop_assert_eq!(stream.last(&filter).unwrap().map(|m| m.seq), all.last().map(|(seq, _)| *seq));
    prop_assert_eq!(stream.last_seq_among(&filter), all.last().map(|(seq, _)| *seq));
    let mut counts: Vec<_> = stream.subjects(&filter, 100).unwrap();
    counts.sort();
    let mut expected = std::collections::BTreeMap::<Box<[u8]>, u64>::new();
    all.iter().for_each(|(_, m)| *expected.entry(m.subject.clone().into()).or_default() += 1);
    prop_assert_eq!(counts, expected.into_iter().collect::<Vec<_>>());
    for from in (0..=naive.last_seq + 2).step_by(5) {
        let rest = naive.scan(patterns, from, u64::MAX);
        prop_assert_eq!(
            stream.next(&filter, from).unwrap().map(|m| m.seq),
            rest.first().map(|(seq, _)| *seq)
        );
        prop_assert_eq!(stream.num_pending(&filter, from, false), rest.len() as u64);
        let newest = naive.last_per_subject(patterns, u64::MAX);
        let pending = newest.iter().filter(|seq| **seq >= from).count() as u64;
        prop_assert_eq!(stream.num_pending(&filter, from, true), pending);
        let upto = naive.last_per_subject(patterns, from);
        prop_assert_eq!(stream.last_per_subject(&filter, Point::Seq(from), 100).unwrap(), upto);
        let some = stream.scan(&filter, from, from + 9, 4, 500).unwrap();
        let want = naive.scan(patterns, from, from + 9);
        prop_assert!(some.messages.len() <= 4);
        let got: Vec<_> = some.messages.iter().map(|m| (m.seq, stored(m))).collect();
        prop_assert_eq!(&got[..], &want[..got.len()]);
        let after = want.get(got.len()).map(|(seq, _)| *seq);
        prop_assert!(
            after.is_none_or(|seq| some.next <= seq),
            "scan leaves out {:?}, next {}",
            after,
            some.next
        );
        prop_assert!(!got.is_empty() || want.is_empty());
    }
    let mut everything = Vec::new();
    let mut from = 0;
    while from <= naive.last_seq {
        let scan = stream.scan(&filter, from, u64::MAX, 7, usize::MAX).unwrap();
        everything.extend(scan.messages.iter().map(|m| (m.seq, stored(m))));
        prop_assert!(scan.next > from);
        from = scan.next;
    }
    prop_assert_eq!(everything, all);
    Ok(())
}

fn states(stream: &Stream, naive: &Naive) -> Outcome {
    prop_assert_eq!(stream.states(), naive.states.keys().cloned().collect::<Vec<_>>());
    for (name, (snapshot, added)) in &naive.states {
        let state = stream.state_of(name).unwrap();
        prop_assert_eq!(&state.snapshot[..], &snapshot[..]);
        prop_assert_eq!(state.added.iter().map(|a| a.to_vec()).collect::<Vec<_>>(), added.clone());
    }
    for (seq, message) in &naive.messages {
        let found = stream.seq_at(message.time);
        prop_assert_eq!(found, *seq);
    }
    Ok(())
}
