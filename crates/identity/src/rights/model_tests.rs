//! The evaluator against a naive model that enumerates subjects.
//!
//! Over a small alphabet a pattern *is* the set of subjects it stands for, so that "covers" is set inclusion
//! and needs no pattern arithmetic. One token that no entry uses stands for all the others.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const TOKENS: [&str; 3] = ["a", "b", "other"];
const QUEUES: [&str; 3] = ["q", "q.1", "r"];

/// Longer subjects than any pattern, so that `>` and its absence differ.
const DEPTH: usize = 5;

fn all_subjects() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..DEPTH {
        let extend = |prefix: &String, token: &str| match prefix.as_str() {
            "" => token.to_owned(),
            prefix => format!("{prefix}.{token}"),
        };
        level = level.iter().flat_map(|prefix| TOKENS.map(|token| extend(prefix, token))).collect();
        all.extend(level.iter().cloned());
    }
    all
}

fn is_in(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), subject.split('.').collect());
    match pattern.iter().position(|token| *token == ">") {
        Some(at) => subject.len() > at && fits(&pattern[..at], &subject[..at]),
        None => pattern.len() == subject.len() && fits(&pattern, &subject),
    }
}

fn fits(pattern: &[&str], subject: &[&str]) -> bool {
    pattern.iter().zip(subject).all(|(want, have)| *want == "*" || want == have)
}

fn covers(outer: &str, inner: &str, universe: &[String]) -> bool {
    universe.iter().filter(|subject| is_in(inner, subject)).all(|subject| is_in(outer, subject))
}

#[derive(Debug, Clone)]
struct Entry {
    subject: String,
    queue: Option<String>,
}

impl Entry {
    fn text(&self) -> String {
        self.queue.as_ref().map_or(self.subject.clone(), |queue| format!("{} {queue}", self.subject))
    }

    fn queue_fits(&self, name: Option<&str>) -> bool {
        match (&self.queue, name) {
            (Some(pattern), Some(name)) => pattern == name || is_in(pattern, name),
            _ => false,
        }
    }
}

/// The meaning as the module's documentation states it. `speaks` says whether an entry is about what is asked.
fn model(
    allow: Option<&[Entry]>,
    deny: &[Entry],
    queue: Option<&str>,
    speaks: impl Fn(&Entry) -> bool,
) -> bool {
    let denied = deny.iter().any(|entry| speaks(entry) && (entry.queue.is_none() || entry.queue_fits(queue)));
    let allowed = allow.is_none_or(|entries| {
        let about: Vec<&Entry> = entries.iter().filter(|entry| speaks(entry)).collect();
        let reserved = about.iter().any(|entry| entry.queue.is_some());
        match queue {
            Some(_) if reserved => about.iter().any(|entry| entry.queue_fits(queue)),
            _ => about.iter().any(|entry| entry.queue.is_none()),
        }
    });
    allowed && !denied
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![Just("a"), Just("b"), Just("*")];
    (vec(token, 0..3), prop_oneof![Just("a"), Just("b"), Just("*"), Just(">")]).prop_map(
        |(mut tokens, last)| {
            tokens.push(last);
            tokens.join(".")
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let queue =
        prop_oneof![4 => Just(None), 1 => Just(Some("q")), 1 => Just(Some("q.*")), 1 => Just(Some(">"))];
    (pattern(), queue).prop_map(|(subject, queue)| Entry { subject, queue: queue.map(str::to_owned) })
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(Entry::text).collect()
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        allow in option::weighted(0.8, vec(entry(), 0..12)),
        deny in vec(entry(), 0..4),
        wanted in vec(pattern(), 1..6),
        queue in option::of(0..QUEUES.len()),
    ) {
        let universe = all_subjects();
        let queue = queue.map(|at| QUEUES[at]);
        let bytes = queue.map(str::as_bytes);
        let allow_texts = allow.as_deref().map(texts);
        let permission = Permission::for_subscribe(allow_texts.as_deref(), &texts(&deny)).unwrap();
        let rights = Rights::new(Permission::everything(), permission, None);

        let deliverable: Vec<bool> = universe.iter().map(|subject| {
            let expected = model(allow.as_deref(), &deny, queue, |entry| is_in(&entry.subject, subject));
            assert_eq!(rights.may_deliver(subject.as_bytes(), bytes), expected, "deliver {subject}");
            expected
        }).collect();
        for pattern in wanted {
            let admitted = rights.may_subscribe(pattern.as_bytes(), bytes);
            let expected = model(allow.as_deref(), &deny, queue, |entry| {
                covers(&entry.subject, &pattern, &universe)
            });
            prop_assert_eq!(admitted, expected, "subscribe {}", pattern);
            if admitted && !rights.filters_delivery() {
                let all = universe.iter().zip(&deliverable).all(|(subject, may)| *may || !is_in(&pattern, subject));
                prop_assert!(all, "{} meets a refused subject without a filter", pattern);
            }
        }
    }

    #[test]
    fn publishing_agrees_with_the_model(
        allow in option::weighted(0.8, vec(pattern(), 0..12)),
        deny in vec(pattern(), 0..4),
    ) {
        let permission = Permission::for_publish(allow.as_deref(), &deny).unwrap();
        let rights = Rights::new(permission, Permission::nothing(), None);
        let mut everything = true;
        for subject in all_subjects() {
            let within = |list: &[String]| list.iter().any(|pattern| is_in(pattern, &subject));
            let expected = allow.as_deref().is_none_or(within) && !within(&deny);
            prop_assert_eq!(rights.may_publish(subject.as_bytes()), expected, "{}", subject);
            everything &= expected;
        }
        prop_assert!(everything || !rights.publish_unrestricted());
    }
}
