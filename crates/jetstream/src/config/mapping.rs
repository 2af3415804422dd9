//! Subject transforms as streams have them: nats-server's destinations with `{{wildcard(1)}}`, `{{partition(..)}}` and
//! their like.

use crate::errors::ApiError;

/// A compiled transform. An empty source stands for every subject.
#[derive(Debug, Clone)]
pub struct SubjectMapping {
    mapping: subject::Mapping,
}

impl SubjectMapping {
    /// Compiles a transform.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(src: &str, dest: &str) -> Result<Self, String> {
        let src = if src.is_empty() { ">" } else { src };
        let dest = if dest.is_empty() { src } else { dest };
        subject::Mapping::new(src, dest).map(|mapping| Self { mapping }).map_err(|error| error.to_string())
    }

    /// Whether a subject is rewritten; the new one is appended to `out`.
    pub fn apply(&self, subject: &[u8], out: &mut Vec<u8>) -> bool {
        self.mapping.apply(subject, out)
    }

    /// The pattern of what is rewritten.
    #[must_use]
    pub fn source(&self) -> &str {
        self.mapping.source()
    }
}

/// Compiles a configured transform that was checked before; an error names it.
pub(crate) fn compiled(transform: &super::Transform) -> Result<SubjectMapping, ApiError> {
    SubjectMapping::new(&transform.src, &transform.dest)
        .map_err(|words| crate::errors::STREAM_TRANSFORM_INVALID_DESTINATION.with(words))
}
