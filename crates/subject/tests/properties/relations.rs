//! Matching, covering, overlap and intersection, by looking at every subject there is.

use proptest::prelude::*;
use subject::{covers, has_wildcard, intersect, matches, overlaps, valid_pattern, valid_subject};

use crate::naive::{self, pattern};

/// One token more than the longest pattern has, so that `>` shows.
const LONGEST: usize = 6;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn matching(a in pattern()) {
        for s in naive::universe(LONGEST) {
            prop_assert_eq!(matches(a.as_bytes(), s.as_bytes()), naive::matches(&a, &s), "{} {}", a, s);
        }
    }

    #[test]
    fn between_two(a in pattern(), b in pattern()) {
        let all = naive::universe(LONGEST);
        let (x, y) = (a.as_bytes(), b.as_bytes());
        let both = |s: &String| naive::matches(&a, s) && naive::matches(&b, s);
        prop_assert_eq!(covers(x, y), all.iter().all(|s| !naive::matches(&b, s) || naive::matches(&a, s)));
        prop_assert_eq!(overlaps(x, y), all.iter().any(both));
        prop_assert_eq!(overlaps(x, y), overlaps(y, x));
        let shared = intersect(x, y);
        prop_assert_eq!(&shared, &intersect(y, x));
        prop_assert_eq!(shared.is_some(), overlaps(x, y));
        if let Some(shared) = shared {
            prop_assert!(valid_pattern(&shared));
            let shared = String::from_utf8(shared).unwrap();
            for s in &all {
                prop_assert_eq!(naive::matches(&shared, s), both(s), "{} in {}", s, shared);
            }
        }
    }

    #[test]
    fn validity(text in "[ab*>. ]{0,8}") {
        let tokens: Vec<&str> = text.split('.').collect();
        let sound = tokens.iter().all(|token| !token.is_empty() && !token.contains(' '));
        let gt_last = tokens.iter().rev().skip(1).all(|token| *token != ">");
        let wild = tokens.iter().any(|token| matches!(*token, "*" | ">"));
        prop_assert_eq!(valid_pattern(text.as_bytes()), sound && gt_last);
        prop_assert_eq!(valid_subject(text.as_bytes()), sound && !wild);
        prop_assert_eq!(has_wildcard(text.as_bytes()), wild);
    }

    #[test]
    fn any_bytes_are_survived(a in proptest::collection::vec(any::<u8>(), 0..12),
                              b in "[a*>.]{0,12}") {
        for (x, y) in [(&a[..], b.as_bytes()), (b.as_bytes(), &a[..])] {
            prop_assert!(!covers(x, y) || matches(x, y));
            prop_assert_eq!(overlaps(x, y), intersect(x, y).is_some());
        }
    }
}
