//! `Interest` against a plain list, under random insertions, removals and lookups.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use subject::{Entry, Interest, Members};

use crate::naive::{self, literal, pattern};

#[derive(Debug)]
struct Sub {
    id: u64,
    subject: String,
    queue: Option<String>,
}

#[derive(Clone, Debug)]
struct Handle(Arc<Sub>);

impl Entry for Handle {
    fn subject(&self) -> &[u8] {
        self.0.subject.as_bytes()
    }

    fn queue(&self) -> Option<&[u8]> {
        self.0.queue.as_deref().map(str::as_bytes)
    }

    fn id(&self) -> u64 {
        self.0.id
    }
}

#[derive(Clone, Debug)]
enum Action {
    Insert(String, Option<&'static str>),
    /// Removes one of those inserted so far, present or not.
    Remove(prop::sample::Index),
    Look(String),
}

fn action() -> impl Strategy<Value = Action> {
    let queue = select(vec![None, None, Some("q"), Some("r")]);
    prop_oneof![
        4 => (prop_oneof![pattern(), literal()], queue).prop_map(|(s, q)| Action::Insert(s, q)),
        3 => any::<prop::sample::Index>().prop_map(Action::Remove),
        2 => literal().prop_map(Action::Look),
    ]
}

fn ids(members: &Members<Handle>) -> Vec<u64> {
    assert!(members.plain().iter().all(|entry| entry.queue().is_none()));
    let mut ids: Vec<u64> = members.plain().iter().map(Entry::id).collect();
    for (name, group) in members.queues() {
        assert!(!group.is_empty());
        assert!(group.iter().all(|entry| entry.queue() == Some(name)));
        ids.extend(group.iter().map(Entry::id));
    }
    let names: Vec<&[u8]> = members.queues().map(|(name, _)| name).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    assert_eq!(ids.len(), members.len());
    assert!(!members.is_empty());
    ids.sort_unstable();
    ids
}

/// Ids in the model for which `keep` holds, sorted.
fn model_ids(model: &[Handle], keep: impl Fn(&str) -> bool) -> Vec<u64> {
    let mut ids: Vec<u64> = model.iter().filter(|h| keep(&h.0.subject)).map(Entry::id).collect();
    ids.sort_unstable();
    ids
}

fn matching_ids(index: &Interest<Handle>, subject: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut patterns = BTreeSet::new();
    index.matches(subject.as_bytes(), |members| {
        assert!(patterns.insert(members.subject().to_vec()), "one call per pattern");
        found.extend(ids(members));
    });
    found.sort_unstable();
    found
}

fn check(index: &Interest<Handle>, model: &[Handle], patterns: &[String], subjects: &[String]) {
    assert_eq!(index.len(), model.len());
    assert_eq!(index.is_empty(), model.is_empty());
    let mut all = Vec::new();
    index.for_each(|entry| all.push(entry.id()));
    all.sort_unstable();
    assert_eq!(all, model_ids(model, |_| true));
    for s in subjects {
        let expected = model_ids(model, |pattern| naive::matches(pattern, s));
        assert_eq!(matching_ids(index, s), expected);
    }
    for p in patterns {
        let exact = index.exact(p.as_bytes()).map(ids).unwrap_or_default();
        assert_eq!(exact, model_ids(model, |pattern| pattern == p));
        let mut found = Vec::new();
        index.overlapping(p.as_bytes(), |entry| found.push(entry.id()));
        found.sort_unstable();
        assert_eq!(found, model_ids(model, |pattern| subject::overlaps(pattern.as_bytes(), p.as_bytes())));
    }
}

proptest! {
    #[test]
    fn agrees_with_a_list(
        actions in vec(action(), 0..120),
        patterns in vec(prop_oneof![pattern(), literal()], 10),
    ) {
        let mut index = Interest::new();
        let mut model: Vec<Handle> = Vec::new();
        let mut ever: Vec<Handle> = Vec::new();
        for (id, action) in actions.into_iter().enumerate() {
            match action {
                Action::Insert(subject, queue) => {
                    let handle = handle(id as u64, &subject, queue);
                    index.insert(handle.clone());
                    model.push(handle.clone());
                    ever.push(handle);
                }
                Action::Remove(_) if ever.is_empty() => {}
                Action::Remove(which) => {
                    let gone = which.get(&ever);
                    let at = model.iter().position(|handle| handle.id() == gone.id());
                    assert_eq!(index.remove(gone), at.is_some());
                    at.map(|at| model.swap_remove(at));
                }
                Action::Look(s) => {
                    assert_eq!(matching_ids(&index, &s), model_ids(&model, |p| naive::matches(p, &s)));
                }
            }
        }
        let subjects: Vec<String> = naive::universe(3);
        check(&index, &model, &patterns, &subjects);
        // Down to nothing again, in the order of arrival.
        for gone in &model {
            assert!(index.remove(gone));
            assert!(!index.remove(gone));
        }
        check(&index, &[], &patterns, &subjects);
    }
}

fn handle(id: u64, subject: &str, queue: Option<&str>) -> Handle {
    Handle(Arc::new(Sub { id, subject: subject.to_owned(), queue: queue.map(str::to_owned) }))
}

#[test]
fn big_buckets_lose_the_right_members() {
    for (subject, queue) in [("a.b", None), ("a.*", None), ("a.b", Some("q")), ("a.>", Some("q"))] {
        let mut index = Interest::new();
        let mut model: Vec<Handle> = (0..1000).map(|id| handle(id, subject, queue)).collect();
        model.iter().for_each(|entry| index.insert(entry.clone()));
        // A fixed walk through all of them: 617 and the lengths it meets share no factor often enough.
        let mut at = 0;
        while !model.is_empty() {
            at = (at + 617) % model.len();
            let gone = model.swap_remove(at);
            assert!(index.remove(&gone));
            assert!(!index.remove(&gone));
            if model.len().is_multiple_of(97) || model.len() < 70 {
                check(&index, &model, &[subject.to_owned()], &["a.b".to_owned()]);
            }
        }
    }
}

#[test]
fn many_queue_groups_on_one_subject() {
    let mut index = Interest::new();
    let entries: Vec<Handle> =
        (0..300).map(|id| handle(id, "jobs", Some(&format!("q{}", id % 150)))).collect();
    entries.iter().for_each(|entry| index.insert(entry.clone()));
    assert_eq!(index.exact(b"jobs").unwrap().queues().count(), 150);
    for (done, entry) in entries.iter().enumerate() {
        assert!(index.remove(entry));
        check(&index, &entries[done + 1..], &["jobs".to_owned()], &["jobs".to_owned()]);
    }
}

#[test]
fn wide_and_deep_tries_come_and_go() {
    let mut index = Interest::new();
    let wide = (0..2000).map(|id| handle(id, &format!("many.{id}.*"), None));
    // Thousands of tokens, every prefix of them a pattern: the worst a trie can be asked for.
    let deep = (0..3000).map(|n| handle(10_000 + n, &format!("{}>", "a.".repeat(n as usize)), None));
    let starry = (0..500).map(|n| handle(20_000 + n, &format!("{}*", "*.".repeat(n as usize)), None));
    let entries: Vec<Handle> = wide.chain(deep).chain(starry).collect();
    entries.iter().for_each(|entry| index.insert(entry.clone()));

    assert_eq!(matching_ids(&index, "many.77.x"), [77, 10_000, 20_002]);
    let subject = vec!["a"; 2500].join(".");
    assert_eq!(matching_ids(&index, &subject).len(), 2500);
    let mut overlapping = 0;
    index.overlapping(b"a.a.>", |_| overlapping += 1);
    assert_eq!(overlapping, 3000 + 498);

    let (gone, kept) = entries.split_at(entries.len() / 2);
    assert!(gone.iter().rev().all(|entry| index.remove(entry)));
    assert_eq!(index.len(), kept.len());
    // The rest goes by being dropped.
}
