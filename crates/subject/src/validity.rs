//! Which byte strings are subjects, which are patterns.

/// Whether `s` is a literal subject: one or more non-empty tokens separated by dots, no white space
/// or control bytes (up to 0x20, and 0x7f), no token that is exactly `*` or `>`.
///
/// Inside a longer token `*` and `>` are ordinary bytes, as everywhere in NATS. Bytes above 0x7f are
/// taken as they are; nothing here asks for UTF-8.
#[must_use]
pub fn valid_subject(s: &[u8]) -> bool {
    scan(s) == Some(Wildcards::None)
}

/// Whether `s` is a pattern: a subject in which any token may be `*` and the last one may be `>`.
/// Every valid subject is a valid pattern.
#[must_use]
pub fn valid_pattern(s: &[u8]) -> bool {
    scan(s).is_some()
}

/// Whether some whole token of `s` is `*` or `>`.
///
/// For a valid pattern this is the difference between one subject and many.
#[must_use]
pub fn has_wildcard(s: &[u8]) -> bool {
    let mut starts_token = true;
    for (i, &byte) in s.iter().enumerate() {
        if starts_token && matches!(byte, b'*' | b'>') && matches!(s.get(i + 1), None | Some(b'.')) {
            return true;
        }
        starts_token = byte == b'.';
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    None,
    Some,
}

/// One pass over the bytes; `None` when `s` is not even a pattern.
fn scan(s: &[u8]) -> Option<Wildcards> {
    let mut found = Wildcards::None;
    let mut starts_token = true;
    for (i, &byte) in s.iter().enumerate() {
        if byte <= b' ' || byte == 0x7f {
            return None;
        }
        if !starts_token {
            starts_token = byte == b'.';
            continue;
        }
        match byte {
            b'.' => return None,
            b'*' if matches!(s.get(i + 1), None | Some(b'.')) => found = Wildcards::Some,
            b'>' => match s.get(i + 1) {
                None => found = Wildcards::Some,
                Some(b'.') => return None,
                Some(_) => {}
            },
            _ => {}
        }
        starts_token = false;
    }
    // Still at the start of a token: `s` is empty or ends in a dot.
    (!starts_token).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for good in [
            "a",
            "a.b",
            "foo.bar.baz",
            "$SYS.x",
            "a*",
            "*a",
            "a>",
            ">a.b",
            "a.*b.c",
            "**",
            ">>",
            "é.x",
            "a.b>.c",
        ] {
            assert!(valid_subject(good.as_bytes()), "{good}");
            assert!(valid_pattern(good.as_bytes()), "{good}");
            assert!(!has_wildcard(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn patterns_that_are_not_subjects() {
        for wild in ["*", ">", "a.*", "*.a", "a.>", "*.>", "*.*", "a.*.b", "a*.*.>"] {
            assert!(!valid_subject(wild.as_bytes()), "{wild}");
            assert!(valid_pattern(wild.as_bytes()), "{wild}");
            assert!(has_wildcard(wild.as_bytes()), "{wild}");
        }
    }

    #[test]
    fn neither() {
        let bad = [
            "", ".", "a.", ".a", "a..b", "a b", "a.\t", "a\r\n", "a.b\0", "a\x7f", ">.a", "a.>.b", "*.",
            ".>", "a.>.",
        ];
        for s in bad {
            assert!(!valid_subject(s.as_bytes()), "{s:?}");
            assert!(!valid_pattern(s.as_bytes()), "{s:?}");
        }
    }
}
