//! What a link was told of our interest, against a count kept by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Direction::Outward;

const PATTERNS: [&str; 6] = ["in.1", "in.2", "in.*", ">", "other", "in.1.x"];
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Subscribe { client: usize, pattern: usize, queue: Option<u8> },
    Unsubscribe { nth: usize },
    Leave { client: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..CLIENTS, 0..PATTERNS.len(), proptest::option::of(0..2u8))
            .prop_map(|(client, pattern, queue)| Step::Subscribe { client, pattern, queue }),
        3 => (0..100usize).prop_map(|nth| Step::Unsubscribe { nth }),
        1 => (0..CLIENTS).prop_map(|client| Step::Leave { client }),
    ]
}

/// By `pattern` or `pattern queue`: how many subscriptions (of a queue group: members).
type Counts = BTreeMap<String, u32>;

/// What the lines said to a link add up to. Plain interest counts as one.
fn hear(told: &mut Counts, lines: &str) {
    for line in lines.split_terminator("\r\n") {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("LS+"), Some(pattern), None, None) => {
                assert_eq!(told.insert(pattern.into(), 1), None, "told twice: {line}");
            }
            (Some("LS+"), Some(pattern), Some(queue), Some(weight)) => {
                told.insert(format!("{pattern} {queue}"), weight.parse().unwrap());
            }
            (Some("LS-"), Some(pattern), None, None) => assert!(told.remove(pattern).is_some(), "{line}"),
            (Some("LS-"), Some(pattern), Some(queue), None) => {
                assert!(told.remove(&format!("{pattern} {queue}")).is_some(), "{line}");
            }
            _ => panic!("unexpected: {line}"),
        }
    }
}

/// The other side's name for a pattern, over a link with the route `ext.*` to `in.{1}`.
fn across(pattern: &str) -> Option<String> {
    match pattern {
        "in.*" | ">" => Some("ext.*".into()),
        "in.1" | "in.2" => Some(pattern.replace("in", "ext")),
        _ => None,
    }
}

fn expected(live: &[(usize, usize, String)], name: impl Fn(&str) -> Option<String>) -> Counts {
    let mut counts = Counts::new();
    for (_, _, key) in live {
        let (pattern, queue) = key.split_once(' ').map_or((key.as_str(), None), |(p, q)| (p, Some(q)));
        let Some(pattern) = name(pattern) else { continue };
        match queue {
            None => drop(counts.insert(pattern, 1)),
            Some(queue) => *counts.entry(format!("{pattern} {queue}")).or_insert(0) += 1,
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn links_know_what_is_wanted_whatever_comes_and_goes(steps in proptest::collection::vec(step(), 1..60)) {
        let rig = Rig::new();
        let (open, filtered) =
            (rig.link("open", Role::Hub, None), rig.link("filtered", Role::Spoke, crossing(&[("ext.*", Outward, Some("in.{1}"))])));
        open.heard();
        filtered.heard();
        let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| rig.client()).collect();
        let mut live: Vec<(usize, usize, String)> = Vec::new();
        let (mut told_open, mut told_filtered) = (Counts::new(), Counts::new());
        for (sid, step) in steps.iter().enumerate() {
            match step {
                Step::Subscribe { client, pattern, queue } => {
                    let queue = queue.map_or(String::new(), |queue| format!(" q{queue}"));
                    let key = format!("{}{queue}", PATTERNS[*pattern]);
                    clients[*client].say(&format!("SUB {key} {sid}\r\n"));
                    live.push((*client, sid, key));
                }
                Step::Unsubscribe { nth } if !live.is_empty() => {
                    let (client, sid, _) = live.remove(nth % live.len());
                    clients[client].say(&format!("UNSUB {sid}\r\n"));
                }
                Step::Unsubscribe { .. } => {}
                Step::Leave { client } => {
                    rig.0.core.retire(clients[*client].conn(), crate::CloseReason::ClientClosed);
                    clients[*client] = rig.client();
                    live.retain(|(owner, ..)| owner != client);
                }
            }
            hear(&mut told_open, &open.heard());
            hear(&mut told_filtered, &filtered.heard());
            prop_assert_eq!(&told_open, &expected(&live, |pattern| Some(pattern.to_owned())));
            prop_assert_eq!(&told_filtered, &expected(&live, across));
        }
        // Who comes late is told the same at once.
        let late = rig.link("late", Role::Hub, None);
        let mut told_late = Counts::new();
        let lines: String = late.heard().split_inclusive("\r\n").filter(|line| line.starts_with("LS+") && !line.contains("$LDS.")).collect();
        for line in lines.split_terminator("\r\n") {
            // While it is told, the weight of a group grows line by line.
            let mut words = line[4..].rsplitn(2, ' ');
            match (words.next(), words.next()) {
                (Some(weight), Some(key)) => drop(told_late.insert(key.to_owned(), weight.parse::<u32>().unwrap())),
                (Some(pattern), None) => drop(told_late.insert(pattern.to_owned(), 1)),
                _ => unreachable!(),
            }
        }
        prop_assert_eq!(told_late, expected(&live, |pattern| Some(pattern.to_owned())));
    }
}
