//! What a stream should do, in the plainest way: a sorted map of messages and nothing clever.

use std::collections::{BTreeMap, BTreeSet};

use store::{Discard, Limits, Storage};
use subject::matches;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) subject: Vec<u8>,
    pub(crate) headers: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) time: u64,
    pub(crate) expires: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) memory: bool,
    pub(crate) limits: Limits,
    pub(crate) messages: BTreeMap<u64, Stored>,
    pub(crate) last_seq: u64,
    pub(crate) states: BTreeMap<String, (Vec<u8>, Vec<Vec<u8>>)>,
}

pub(crate) fn wanted(filter: &[&str], subject: &[u8]) -> bool {
    filter.is_empty() || filter.iter().any(|pattern| matches(pattern.as_bytes(), subject))
}

impl Naive {
    pub(crate) fn new(storage: Storage, limits: Limits) -> Self {
        Self { memory: storage == Storage::Memory, limits, ..Self::default() }
    }

    pub(crate) fn size(&self, message: &Stored) -> u64 {
        let text = message.subject.len() + message.headers.len() + message.payload.len();
        let overhead = match (self.memory, message.headers.is_empty()) {
            (true, _) => 16,
            (false, true) => 30,
            (false, false) => 34,
        };
        (text + overhead) as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.messages.values().map(|message| self.size(message)).sum()
    }

    fn count_of(&self, subject: &[u8]) -> u64 {
        self.messages.values().filter(|message| message.subject == subject).count() as u64
    }

    fn oldest_of(&self, subject: &[u8]) -> Option<u64> {
        self.messages.iter().find(|(_, message)| message.subject == subject).map(|(seq, _)| *seq)
    }

    /// The words of the refusal, or the sequence and what went.
    pub(crate) fn append(&mut self, message: Stored) -> Result<(u64, Vec<u64>), &'static str> {
        let size = self.size(&message);
        let limits = self.limits;
        if limits.max_bytes.is_some_and(|max| size > max) {
            return Err("maximum bytes exceeded");
        }
        if limits.discard == Discard::New {
            let mut freed = None;
            if limits.max_per_subject.is_some_and(|max| self.count_of(&message.subject) >= max) {
                if limits.discard_new_per_subject {
                    return Err("maximum messages per subject exceeded");
                }
                let oldest = self.oldest_of(&message.subject);
                freed = Some(oldest.map_or(size, |seq| self.size(&self.messages[&seq])));
            }
            if freed.is_none() && limits.max_messages.is_some_and(|max| self.messages.len() as u64 >= max) {
                return Err("maximum messages exceeded");
            }
            if limits.max_bytes.is_some_and(|max| self.bytes() + size - freed.unwrap_or(0) > max) {
                return Err("maximum bytes exceeded");
            }
        }
        let removed = self.append_all(vec![message]);
        Ok((self.last_seq, removed))
    }

    /// Appends without asking, and then makes room; what went.
    pub(crate) fn append_all(&mut self, messages: Vec<Stored>) -> Vec<u64> {
        let subjects: Vec<_> = messages.iter().map(|message| message.subject.clone()).collect();
        for message in messages {
            self.last_seq += 1;
            self.messages.insert(self.last_seq, message);
        }
        let mut removed = Vec::new();
        for subject in subjects {
            while self.limits.max_per_subject.is_some_and(|max| self.count_of(&subject) > max) {
                let seq = self.oldest_of(&subject).unwrap();
                self.messages.remove(&seq);
                removed.push(seq);
            }
        }
        removed.extend(self.enforce_totals());
        removed
    }

    fn enforce_totals(&mut self) -> Vec<u64> {
        let mut removed = Vec::new();
        while self.limits.max_messages.is_some_and(|max| self.messages.len() as u64 > max)
            || self.limits.max_bytes.is_some_and(|max| self.bytes() > max)
        {
            removed.push(self.messages.pop_first().unwrap().0);
        }
        removed
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) -> u64 {
        self.limits = limits;
        let before = self.messages.len();
        let subjects: BTreeSet<_> = self.messages.values().map(|message| message.subject.clone()).collect();
        for subject in subjects {
            while limits.max_per_subject.is_some_and(|max| self.count_of(&subject) > max) {
                let seq = self.oldest_of(&subject).unwrap();
                self.messages.remove(&seq);
            }
        }
        self.enforce_totals();
        (before - self.messages.len()) as u64
    }

    pub(crate) fn purge(&mut self, filter: &[&str], below: Option<u64>, keep: u64) -> u64 {
        let meant: Vec<u64> =
            self.messages.iter().filter(|(_, m)| wanted(filter, &m.subject)).map(|(seq, _)| *seq).collect();
        let go = meant.len().saturating_sub(keep as usize);
        let gone: Vec<u64> =
            meant.into_iter().take(go).filter(|seq| below.is_none_or(|below| *seq < below)).collect();
        gone.iter().for_each(|seq| {
            self.messages.remove(seq);
        });
        gone.len() as u64
    }

    pub(crate) fn expire(&mut self, now: u64) -> BTreeSet<u64> {
        let max_age = self.limits.max_age.map(|age| age.as_nanos() as u64);
        let gone: BTreeSet<u64> = self
            .messages
            .iter()
            .filter(|(_, message)| {
                max_age.is_some_and(|age| message.time + age <= now)
                    || message.expires.is_some_and(|expires| expires <= now)
            })
            .map(|(seq, _)| *seq)
            .collect();
        gone.iter().for_each(|seq| {
            self.messages.remove(seq);
        });
        gone
    }

    pub(crate) fn scan(&self, filter: &[&str], from: u64, upto: u64) -> Vec<(u64, Stored)> {
        if from > upto {
            return Vec::new();
        }
        let range = self.messages.range(from..=upto).filter(|(_, m)| wanted(filter, &m.subject));
        range.map(|(seq, message)| (*seq, message.clone())).collect()
    }

    pub(crate) fn last_per_subject(&self, filter: &[&str], upto: u64) -> Vec<u64> {
        let mut last = BTreeMap::new();
        for (seq, message) in self.messages.range(..=upto).filter(|(_, m)| wanted(filter, &m.subject)) {
            last.insert(&message.subject, *seq);
        }
        let mut seqs: Vec<u64> = last.into_values().collect();
        seqs.sort_unstable();
        seqs
    }
}
