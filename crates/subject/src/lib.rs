//! Subjects, patterns and the index of who listens to what.
//!
//! A *subject* is a dot-separated list of tokens a message is published to. A *pattern* is what a
//! subscriber or a policy writes: a subject in which the token `*` stands for exactly one token and
//! a last token `>` for one or more. Everything here works on bytes, allocates nothing on the paths
//! a message takes, and uses no recursion: a subject may have as many tokens as a control line has
//! room for.
//!
//! - [`valid_subject`], [`valid_pattern`]: what may be written at all.
//! - [`matches()`], [`covers`], [`overlaps`], [`intersect`]: relations between two of them.
//! - [`PatternMarks`]: rights, "which of these match".
//! - [`Interest`]: subscriptions by pattern, "who gets this".
//! - [`Mapping`]: a subject rewritten with captures, and its inverse.

mod interest;
mod mapping;
mod marks;
mod pattern;
mod validity;

pub use interest::{Entry, Interest, Members};
pub use mapping::{Mapping, MappingError};
pub use marks::PatternMarks;
pub use pattern::{covers, intersect, matches, overlaps};
pub use validity::{has_wildcard, valid_pattern, valid_subject};
