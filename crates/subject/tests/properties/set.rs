//! `PatternSet` against trying every member, below and above the size from which it is indexed.

use proptest::collection::vec;
use proptest::prelude::*;
use subject::PatternSet;

use crate::naive::{self, literal, pattern};

proptest! {
    #[test]
    fn agrees_with_its_members(
        members in vec(prop_oneof![pattern(), literal()], 0..30),
        tried in vec(pattern(), 20),
        subjects in vec(literal(), 20),
    ) {
        let set: PatternSet = members.iter().collect();
        for s in &subjects {
            prop_assert_eq!(set.matches(s.as_bytes()), members.iter().any(|m| naive::matches(m, s)));
        }
        for p in &tried {
            let p = p.as_bytes();
            prop_assert_eq!(set.covers(p), members.iter().any(|m| subject::covers(m.as_bytes(), p)));
            prop_assert_eq!(set.overlaps(p), members.iter().any(|m| subject::overlaps(m.as_bytes(), p)));
        }
    }

    #[test]
    fn is_a_set(members in vec(pattern(), 0..30), seed in any::<u64>()) {
        let collected: PatternSet = members.iter().collect();
        let mut turned = members.clone();
        turned.rotate_left(seed as usize % members.len().max(1));
        let mut inserted = PatternSet::new();
        for (i, member) in turned.iter().enumerate() {
            let shared = (i % 5 == 0).then(|| inserted.clone());
            prop_assert_eq!(inserted.insert(member), !turned[..i].contains(member));
            if let Some(shared) = shared {
                prop_assert!(shared.len() <= inserted.len());
                prop_assert!(shared.iter().all(|old| inserted.covers(old)));
            }
        }
        prop_assert_eq!(&collected, &inserted);
        prop_assert_eq!(collected.len(), collected.iter().count());
        prop_assert_eq!(collected.is_empty(), members.is_empty());
        for member in &members {
            prop_assert!(collected.covers(member.as_bytes()));
        }
    }
}

#[test]
fn debug_shows_the_patterns() {
    let set: PatternSet = ["b.>", "a.*"].into_iter().collect();
    assert_eq!(format!("{set:?}"), r#"{"a.*", "b.>"}"#);
}
