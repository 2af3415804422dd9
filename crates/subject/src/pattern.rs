//! Relations between patterns: matching, covering, overlap, intersection.
//!
//! All of them walk two token lists in step. They expect valid patterns; on anything else the answer
//! is unspecified, but they neither panic nor loop.

/// The tokens of a subject or pattern, first to last. An empty string is one empty token.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(s: &'a [u8]) -> Self {
        Self { rest: Some(s) }
    }

    /// What has not been read yet, as text.
    pub(crate) fn rest(&self) -> Option<&'a [u8]> {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (token, rest) = split_token(self.rest?);
        self.rest = rest;
        Some(token)
    }
}

/// The first token of `s` and what follows its dot.
#[inline]
pub(crate) fn split_token(s: &[u8]) -> (&[u8], Option<&[u8]>) {
    // Tokens are short: a plain loop beats a vectorised search.
    match s.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&s[..dot], Some(&s[dot + 1..])),
        None => (s, None),
    }
}

/// Whether the literal `subject` is one of those `pattern` stands for.
#[must_use]
#[inline]
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    // A literal stands for itself alone.
    covers(pattern, subject)
}

/// Whether every subject that matches `inner` also matches `outer`.
#[must_use]
pub fn covers(outer: &[u8], inner: &[u8]) -> bool {
    rest_covers(Some(outer), Some(inner))
}

/// [`covers`] for what is left of two patterns; `None` when nothing is.
pub(crate) fn rest_covers(mut outer: Option<&[u8]>, mut inner: Option<&[u8]>) -> bool {
    loop {
        let (Some(want), Some(text)) = (outer, inner) else { return outer == inner };
        if want == b">" {
            return true;
        }
        let (want, outer_rest) = split_token(want);
        let Some(inner_rest) = strip_covered(want, text) else { return false };
        (outer, inner) = (outer_rest, inner_rest);
    }
}

/// Takes the first token off `inner` if `want`, a literal or `*`, covers it; what is left after it.
#[inline]
fn strip_covered<'a>(want: &[u8], inner: &'a [u8]) -> Option<Option<&'a [u8]>> {
    if want == b"*" {
        return (inner != b">").then(|| split_token(inner).1);
    }
    match inner.strip_prefix(want)? {
        [] => Some(None),
        [b'.', rest @ ..] => Some(Some(rest)),
        _ => None,
    }
}

/// Takes as many tokens off `inner` as `label` has, if they are covered by it; what is left after
/// them. `label` is part of a pattern, without `>`.
pub(crate) fn strip_covered_label<'a>(
    mut label: Option<&[u8]>,
    mut inner: Option<&'a [u8]>,
) -> Option<Option<&'a [u8]>> {
    while let Some(text) = label {
        let (want, label_rest) = split_token(text);
        inner = strip_covered(want, inner?)?;
        label = label_rest;
    }
    Some(inner)
}

/// Whether some literal subject matches both `a` and `b`.
#[must_use]
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (Tokens::new(a), Tokens::new(b));
    loop {
        match (a.next(), b.next()) {
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(x), Some(y)) if x == y => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// The pattern that matches exactly the subjects both `a` and `b` match, or `None` when there are
/// none. There is always a single such pattern.
#[must_use]
pub fn intersect(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let (mut a, mut b) = (Tokens::new(a), Tokens::new(b));
    let mut both = Vec::new();
    loop {
        let (rest_a, rest_b) = (a.rest(), b.rest());
        let (shared, is_last) = match (a.next(), b.next()) {
            (None, None) => return Some(both),
            // One side takes whatever the other still has.
            (Some(b">"), Some(_)) => (rest_b?, true),
            (Some(_), Some(b">")) => (rest_a?, true),
            (Some(b"*"), Some(token)) | (Some(token), Some(b"*")) => (token, false),
            (Some(x), Some(y)) if x == y => (x, false),
            _ => return None,
        };
        if !both.is_empty() {
            both.push(b'.');
        }
        both.extend_from_slice(shared);
        if is_last {
            return Some(both);
        }
    }
}
