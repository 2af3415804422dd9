//! What the subjects of an origin are called in its copy.

use crate::config::{SubjectMapping, Transform};

/// The transforms of one origin; the first that matches counts.
#[derive(Debug, Default)]
pub(super) struct Transforms {
    list: Vec<(String, Option<SubjectMapping>)>,
}

impl Transforms {
    pub(super) fn new(list: &[Transform]) -> Self {
        let compile = |pair: &Transform| {
            let source = if pair.src.is_empty() { ">".to_owned() } else { pair.src.clone() };
            let mapping =
                if pair.dest.is_empty() { None } else { SubjectMapping::new(&pair.src, &pair.dest).ok() };
            (source, mapping)
        };
        Self { list: list.iter().map(compile).collect() }
    }

    /// The subject in the copy.
    pub(super) fn apply(&self, subject: &[u8]) -> Vec<u8> {
        for (source, mapping) in &self.list {
            if !subject::matches(source.as_bytes(), subject) {
                continue;
            }
            let mut out = Vec::new();
            return match mapping {
                Some(mapping) if mapping.apply(subject, &mut out) => out,
                _ => subject.to_vec(),
            };
        }
        subject.to_vec()
    }
}
