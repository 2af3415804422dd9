//! Rewriting subjects: a source pattern, a destination, and what the wildcards caught in between.

use std::ops::Range;

use smallvec::SmallVec;
use thiserror::Error;

use crate::pattern::{self, Tokens, split_token};
use crate::validity::valid_pattern;

/// Tokens whose positions an `apply` keeps without touching the heap.
const INLINE_TOKENS: usize = 16;

/// What is wrong with a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    /// The source is not a valid pattern.
    #[error("source {0:?} is not a valid subject pattern")]
    InvalidSource(String),
    /// The destination, captures read as wildcards, is not a valid pattern.
    #[error("destination {0:?} is not a valid subject pattern")]
    InvalidDestination(String),
    /// A capture has a number the source has no `*` for. Numbers start at 1.
    #[error("destination uses capture {capture}, but source {source_pattern:?} has {available} `*`")]
    UnknownCapture {
        /// The number asked for.
        capture: usize,
        /// How many there are.
        available: usize,
        /// The source.
        source_pattern: String,
    },
    /// Something in braces that is neither `{n}` nor `{{wildcard(n)}}`.
    #[error(
        "destination token {0:?} is not a capture: use {{1}}, $1 or {{{{wildcard(1)}}}}, as a whole token"
    )]
    BadCapture(String),
    /// The destination names captures and has a plain `*` too.
    #[error("destination {0:?} mixes `*` with numbered captures: use one of them")]
    Mixed(String),
    /// The plain `*` of the destination stand for those of the source in order, so there must be as
    /// many.
    #[error(
        "destination has {destination} `*` and source has {available}: number the captures to leave some out"
    )]
    WildcardCount {
        /// How many `*` the destination has.
        destination: usize,
        /// How many the source has.
        available: usize,
    },
    /// The destination ends in `>` and the source doesn't.
    #[error("destination {destination:?} ends in `>`, but source {source_pattern:?} does not")]
    NoTail {
        /// The destination.
        destination: String,
        /// The source.
        source_pattern: String,
    },
}

/// One piece of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The bytes of the destination pattern from `.0` to `.1`: a literal token, or several.
    Literal(usize, usize),
    /// What the n-th `*` of the source caught, counted from 0.
    Capture(usize),
    /// What the source's `>` caught; always the last part.
    Tail,
}

/// A rewriting of subjects: those that match the source pattern become what the destination says.
///
/// The destination is a subject in which `{1}`, `$1` or `{{wildcard(1)}}` stand for what the first
/// `*` of the source caught, `{2}` for the second; a last `>` stands for what the source's `>`
/// caught. Where no capture has a number, each `*` takes the source's in order. Captures may be
/// repeated or left out; then the mapping has no inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    source: String,
    dest_pattern: String,
    parts: Vec<Part>,
    /// Number of `*` in the source.
    captures: usize,
}

impl Mapping {
    /// Compiles a mapping.
    ///
    /// # Errors
    ///
    /// See [`MappingError`]; the message names the token that is wrong.
    pub fn new(source: &str, dest: &str) -> Result<Self, MappingError> {
        if !valid_pattern(source.as_bytes()) {
            return Err(MappingError::InvalidSource(source.to_owned()));
        }
        let captures = Tokens::new(source.as_bytes()).filter(|token| token == b"*").count();
        let mut mapping = Self {
            source: source.to_owned(),
            dest_pattern: String::with_capacity(dest.len()),
            parts: Vec::new(),
            captures,
        };
        let mut plain = 0;
        let mut numbered = false;
        for (i, token) in dest.split('.').enumerate() {
            if i > 0 {
                mapping.dest_pattern.push('.');
            }
            match DestToken::read(token)? {
                DestToken::Literal => mapping.push_literal(token),
                DestToken::Star => {
                    mapping.push_wildcard("*", Part::Capture(plain));
                    plain += 1;
                }
                DestToken::Tail => mapping.push_wildcard(">", Part::Tail),
                DestToken::Numbered(n) => {
                    numbered = true;
                    mapping.push_wildcard("*", Part::Capture(mapping.capture(n)?));
                }
            }
        }
        mapping.check(dest, plain, numbered)?;
        Ok(mapping)
    }

    /// The position of capture `n`, counted from 1 where it is written and from 0 here.
    fn capture(&self, n: usize) -> Result<usize, MappingError> {
        if (1..=self.captures).contains(&n) {
            return Ok(n - 1);
        }
        Err(MappingError::UnknownCapture {
            capture: n,
            available: self.captures,
            source_pattern: self.source.clone(),
        })
    }

    /// Literal tokens side by side become one piece, dots included.
    fn push_literal(&mut self, token: &str) {
        let start = self.dest_pattern.len();
        self.dest_pattern.push_str(token);
        let end = self.dest_pattern.len();
        match self.parts.last_mut() {
            Some(Part::Literal(_, last)) => *last = end,
            _ => self.parts.push(Part::Literal(start, end)),
        }
    }

    fn push_wildcard(&mut self, token: &str, part: Part) {
        self.dest_pattern.push_str(token);
        self.parts.push(part);
    }

    /// The rules that need the whole destination.
    fn check(&self, dest: &str, plain: usize, numbered: bool) -> Result<(), MappingError> {
        if !valid_pattern(self.dest_pattern.as_bytes()) {
            return Err(MappingError::InvalidDestination(dest.to_owned()));
        }
        if plain > 0 && numbered {
            return Err(MappingError::Mixed(dest.to_owned()));
        }
        if plain > 0 && plain != self.captures {
            return Err(MappingError::WildcardCount { destination: plain, available: self.captures });
        }
        if self.parts.last() == Some(&Part::Tail) && !self.source_has_tail() {
            return Err(MappingError::NoTail {
                destination: dest.to_owned(),
                source_pattern: self.source.clone(),
            });
        }
        Ok(())
    }

    fn source_has_tail(&self) -> bool {
        Tokens::new(self.source.as_bytes()).last() == Some(b">")
    }

    /// The pattern of the subjects that are rewritten.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The destination with its captures as wildcards: every result matches it.
    #[must_use]
    pub fn dest_pattern(&self) -> &str {
        &self.dest_pattern
    }

    /// Whether every subject that matches the source is left as it is.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.source == self.dest_pattern
            && self.numbers().enumerate().all(|(position, number)| position == number)
    }

    /// The captures of the destination in the order they are written there.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(number) => Some(*number),
            Part::Literal(..) | Part::Tail => None,
        })
    }

    /// Appends what the literal `subject` becomes to `out`. False, and `out` untouched, when it does
    /// not match the source.
    pub fn apply(&self, subject: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(caught) = Caught::read(self.source.as_bytes(), subject) else { return false };
        self.write(subject, &caught, out);
        true
    }

    /// Puts the destination together. `caught` are positions in `subject`.
    fn write(&self, subject: &[u8], caught: &Caught, out: &mut Vec<u8>) {
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                out.push(b'.');
            }
            out.extend_from_slice(match *part {
                Part::Literal(start, end) => &self.dest_pattern.as_bytes()[start..end],
                Part::Capture(number) => &subject[caught.stars[number].clone()],
                Part::Tail => &subject[caught.tail..],
            });
        }
    }

    /// What the subjects that match both `pattern` and the source become, as one pattern; `None`
    /// when there are none.
    ///
    /// The pattern is the smallest that covers them all. It stands for exactly them unless the
    /// destination uses a capture twice and `pattern` leaves that capture open.
    #[must_use]
    pub fn map_pattern(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        // Whatever stands in the intersection where the source has `*`, a wildcard included, is one
        // token, and what stands where it has `>` is one or more: it can be read like a subject.
        let both = pattern::intersect(self.source.as_bytes(), pattern)?;
        let caught = Caught::read(self.source.as_bytes(), &both)?;
        let mut out = Vec::with_capacity(both.len() + self.dest_pattern.len());
        self.write(&both, &caught, &mut out);
        Some(out)
    }

    /// The mapping back, when nothing is lost on the way: every wildcard of the source is used
    /// exactly once.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        // Where in the destination each capture of the source went.
        let mut places = vec![None; self.captures];
        for (place, number) in self.numbers().enumerate() {
            if places[number].replace(place).is_some() {
                return None;
            }
        }
        if self.source_has_tail() != (self.parts.last() == Some(&Part::Tail)) {
            return None;
        }
        let mut places = places.into_iter();
        let mut back = Self {
            source: self.dest_pattern.clone(),
            dest_pattern: String::with_capacity(self.source.len()),
            parts: Vec::new(),
            captures: self.captures,
        };
        for (i, token) in self.source.split('.').enumerate() {
            if i > 0 {
                back.dest_pattern.push('.');
            }
            match token {
                "*" => back.push_wildcard("*", Part::Capture(places.next()??)),
                ">" => back.push_wildcard(">", Part::Tail),
                _ => back.push_literal(token),
            }
        }
        Some(back)
    }
}

/// Where in a subject the wildcards of a pattern matched.
struct Caught {
    stars: SmallVec<[Range<usize>; INLINE_TOKENS]>,
    /// Where what `>` matched begins; 0 without one.
    tail: usize,
}

impl Caught {
    /// `None` when `subject` doesn't match.
    fn read(pattern: &[u8], subject: &[u8]) -> Option<Self> {
        let mut caught = Self { stars: SmallVec::new(), tail: 0 };
        let (mut rest, mut at) = (Some(subject), 0);
        for want in Tokens::new(pattern) {
            let left = rest?;
            if want == b">" {
                caught.tail = at;
                return Some(caught);
            }
            let (token, next) = split_token(left);
            if want == b"*" {
                caught.stars.push(at..at + token.len());
            } else if want != token {
                return None;
            }
            rest = next;
            at += token.len() + 1;
        }
        rest.is_none().then_some(caught)
    }
}

/// One token of a destination as it is written.
enum DestToken {
    Literal,
    Star,
    Tail,
    Numbered(usize),
}

impl DestToken {
    fn read(token: &str) -> Result<Self, MappingError> {
        let bad = || MappingError::BadCapture(token.to_owned());
        match token {
            "*" => return Ok(Self::Star),
            ">" => return Ok(Self::Tail),
            _ => {}
        }
        if let Some(digits) = token.strip_prefix('$') {
            // `$JS` and its like are ordinary tokens.
            return if is_number(digits) {
                digits.parse().map(Self::Numbered).map_err(|_| bad())
            } else {
                Ok(Self::Literal)
            };
        }
        let inside = if let Some(call) = token.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            let argument = call.trim().strip_prefix("wildcard(").and_then(|rest| rest.strip_suffix(')'));
            argument.ok_or_else(bad)?.trim()
        } else if let Some(inside) = token.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            inside
        } else if token.contains(['{', '}']) {
            return Err(bad());
        } else {
            return Ok(Self::Literal);
        };
        if is_number(inside) { inside.parse().map(Self::Numbered).map_err(|_| bad()) } else { Err(bad()) }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
