//! `Mapping`: what it does to subjects, to patterns, and back.

use proptest::prelude::*;
use proptest::sample::select;
use subject::{Mapping, matches, valid_pattern};

use crate::naive::{self, literal, pattern};

/// A destination that fits `source`, each wildcard used once or not, in any order and notation.
fn destination(source: &str) -> impl Strategy<Value = String> + use<> {
    let stars = source.split('.').filter(|token| *token == "*").count();
    let tail = source.ends_with('>');
    let token = (0..=stars, select(vec!["$", "{", "{{"])).prop_map(|(n, style)| match (n, style) {
        (0, _) => "x".to_owned(),
        (n, "$") => format!("${n}"),
        (n, "{") => format!("{{{n}}}"),
        (n, _) => format!("{{{{wildcard({n})}}}}"),
    });
    (proptest::collection::vec(token, 1..6), any::<bool>()).prop_map(move |(mut tokens, with_tail)| {
        if tail && with_tail {
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

fn mapping() -> impl Strategy<Value = Mapping> {
    pattern().prop_flat_map(|source| {
        destination(&source).prop_map(move |dest| Mapping::new(&source, &dest).unwrap())
    })
}

/// A mapping that loses nothing: the wildcards of the source in another order.
fn reordering() -> impl Strategy<Value = Mapping> {
    pattern().prop_flat_map(|source| {
        let stars = source.split('.').filter(|token| *token == "*").count();
        let tail = if source.ends_with('>') { ".>" } else { "" };
        Just((1..=stars).collect::<Vec<_>>()).prop_shuffle().prop_map(move |order| {
            let dest: String = order.iter().map(|n| format!(".{{{n}}}")).collect();
            Mapping::new(&source, &format!("ext{dest}{tail}")).unwrap()
        })
    })
}

proptest! {
    #[test]
    fn applies_to_its_source(mapping in mapping(), s in literal()) {
        let mut out = b"kept".to_vec();
        let applied = mapping.apply(s.as_bytes(), &mut out);
        prop_assert_eq!(applied, naive::matches(mapping.source(), &s));
        prop_assert!(out.starts_with(b"kept"));
        if applied {
            prop_assert!(matches(mapping.dest_pattern().as_bytes(), &out[4..]));
        } else {
            prop_assert_eq!(out.len(), 4);
        }
    }

    #[test]
    fn inverse_goes_back(mapping in reordering(), s in literal()) {
        let back = mapping.inverse().unwrap();
        prop_assert_eq!(back.source(), mapping.dest_pattern());
        prop_assert_eq!(back.dest_pattern(), mapping.source());
        prop_assert!(back.inverse().as_ref() == Some(&mapping));
        let (mut there, mut again) = (Vec::new(), Vec::new());
        if mapping.apply(s.as_bytes(), &mut there) {
            prop_assert!(back.apply(&there, &mut again));
            prop_assert_eq!(again, s.into_bytes());
        }
    }

    #[test]
    fn an_inverse_is_right_when_there_is_one(mapping in mapping(), s in literal()) {
        let (mut there, mut again) = (Vec::new(), Vec::new());
        if let Some(back) = mapping.inverse() && mapping.apply(s.as_bytes(), &mut there) {
            prop_assert!(back.apply(&there, &mut again));
            prop_assert_eq!(again, s.into_bytes());
        }
    }

    #[test]
    fn mapped_patterns_are_sound_and_smallest(mapping in mapping(), interest in pattern()) {
        let mapped = mapping.map_pattern(interest.as_bytes());
        let mut results = Vec::new();
        for s in naive::universe(6).iter().filter(|s| naive::matches(&interest, s)) {
            let mut out = Vec::new();
            if mapping.apply(s.as_bytes(), &mut out) {
                results.push(out);
            }
        }
        prop_assert_eq!(mapped.is_some(), !results.is_empty());
        let Some(mapped) = mapped else { return Ok(()) };
        prop_assert!(valid_pattern(&mapped));
        prop_assert!(subject::covers(mapping.dest_pattern().as_bytes(), &mapped));
        prop_assert!(results.iter().all(|out| matches(&mapped, out)));
        // Smallest: a `*` is there only where results differ.
        for (i, _) in mapped.split(|b| *b == b'.').enumerate().filter(|(_, token)| token == b"*") {
            let mut here: Vec<_> = results.iter().filter_map(|out| out.split(|b| *b == b'.').nth(i)).collect();
            here.sort_unstable();
            here.dedup();
            prop_assert!(here.len() > 1);
        }
    }

    #[test]
    fn identity_leaves_subjects_alone(mapping in mapping(), s in literal()) {
        let mut out = Vec::new();
        if mapping.is_identity() && mapping.apply(s.as_bytes(), &mut out) {
            prop_assert_eq!(out, s.into_bytes());
        }
    }
}
