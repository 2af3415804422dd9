//! `PatternMarks` against trying every pattern.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use subject::PatternMarks;

use crate::naive::{self, literal, pattern};

/// Patterns whose tokens are as long as, shorter and longer than what is compared at a time, and alike at the front;
/// `last` is added to what the last token may be.
fn long(last: &'static [&'static str]) -> impl Strategy<Value = String> {
    let tokens =
        ["", "a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "abcdefghj", "abcdefghij", "bcdefghi", "\0"];
    let starred: Vec<&str> = tokens.iter().copied().chain(["*"]).collect();
    let last: Vec<&str> = starred.iter().chain(last).copied().collect();
    (vec(select(starred), 0..4), select(last)).prop_map(|(mut tokens, last)| {
        tokens.push(last);
        tokens.iter().map(|token| if token.is_empty() { "x" } else { token }).collect::<Vec<_>>().join(".")
    })
}

fn marks_of(patterns: &[(String, u8)], holds: impl Fn(&str) -> bool) -> u8 {
    patterns.iter().filter(|(pattern, _)| holds(pattern)).fold(0, |all, (_, marks)| all | marks)
}

fn compiled(patterns: &[(String, u8)]) -> PatternMarks {
    PatternMarks::new(patterns.iter().map(|(pattern, marks)| (pattern.as_bytes(), *marks)))
}

proptest! {
    #[test]
    fn agrees_with_its_patterns(
        patterns in vec((prop_oneof![pattern(), literal()], 0u8..8), 0..30),
        tried in vec(pattern(), 20),
        subjects in vec(literal(), 20),
    ) {
        let marks = compiled(&patterns);
        for s in &subjects {
            prop_assert_eq!(marks.of(s.as_bytes(), 0), marks_of(&patterns, |p| naive::matches(p, s)));
        }
        for t in tried.iter().map(String::as_bytes) {
            prop_assert_eq!(marks.of(t, 0), marks_of(&patterns, |p| subject::covers(p.as_bytes(), t)));
        }
    }

    #[test]
    fn tokens_of_any_length_are_told_apart(
        patterns in vec((long(&[">"]), 0u8..8), 0..60),
        subjects in vec(long(&[]), 30),
    ) {
        let marks = compiled(&patterns);
        for s in subjects.iter().map(String::as_bytes) {
            prop_assert_eq!(marks.of(s, 0), marks_of(&patterns, |p| subject::covers(p.as_bytes(), s)));
        }
    }

    #[test]
    fn what_is_looked_for_is_found(patterns in vec((pattern(), 0u8..8), 0..30), s in literal(), until in 0u8..8) {
        let all = marks_of(&patterns, |p| naive::matches(p, &s));
        let found = compiled(&patterns).of(s.as_bytes(), until);
        prop_assert_eq!(found & !all, 0);
        prop_assert_eq!(found & until != 0, all & until != 0);
        prop_assert!(all & until != 0 || found == all);
    }

    /// Nothing is promised for what is not valid, but it ends and does not panic.
    #[test]
    fn anything_ends(pattern in vec(select(b".*>a\0\xff".to_vec()), 0..12), text in vec(select(b".*>a\0\xff".to_vec()), 0..12)) {
        let marks = PatternMarks::new([(&pattern[..], 1)]);
        prop_assert!(marks.of(&text, 1) <= 1);
    }
}

#[test]
fn no_patterns_no_marks() {
    assert_eq!(PatternMarks::default().of(b"a.b", 0), 0);
    assert_eq!(PatternMarks::new([]).of(b">", 0), 0);
}
