//! The definitions, word for word and slow; and the small world they are tried in.

use proptest::prelude::*;
use proptest::sample::select;

/// Every literal subject of up to `max` tokens from `a`, `b`, `c`.
pub(crate) fn universe(max: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest = vec![String::new()];
    for _ in 0..max {
        longest = longest
            .iter()
            .flat_map(|head| {
                ["a", "b", "c"].map(|token| format!("{head}.{token}").trim_matches('.').to_owned())
            })
            .collect();
        all.extend_from_slice(&longest);
    }
    all
}

/// Whether `pattern` stands for the literal `subject`.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    fn tokens_match(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", p @ ..], [_, s @ ..]) => tokens_match(p, s),
            ([x, p @ ..], [y, s @ ..]) => x == y && tokens_match(p, s),
            _ => false,
        }
    }
    tokens_match(&pattern.split('.').collect::<Vec<_>>(), &subject.split('.').collect::<Vec<_>>())
}

/// Patterns of up to five tokens from `a`, `b`, `c`, `*`, and `>` at the end.
pub(crate) fn pattern() -> impl Strategy<Value = String> {
    let token = select(vec!["a", "b", "c", "*"]);
    let last = select(vec!["a", "b", "c", "*", ">"]);
    (proptest::collection::vec(token, 0..5), last).prop_map(|(mut tokens, last)| {
        tokens.push(last);
        tokens.join(".")
    })
}

/// Literal subjects of up to six tokens from `a`, `b`, `c`.
pub(crate) fn literal() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(vec!["a", "b", "c"]), 1..7).prop_map(|tokens| tokens.join("."))
}
