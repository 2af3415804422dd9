//! The path of one key in a configuration document, such as `routes[0].subject`.

use std::fmt;

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Segment {
    /// A key of a table.
    Key(String),
    /// A position in an array, from 0.
    Index(usize),
}

/// Where a value stands in a configuration document; the empty path is the document itself.
///
/// Build one from text (`"routes[2].subject"`, bare keys only) or step by step with [`KeyPath::key`] and
/// [`KeyPath::index`], which also take keys that contain dots.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct KeyPath(Vec<Segment>);

impl KeyPath {
    /// The path of the document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// This path followed by the key `name` of a table.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.0.push(Segment::Key(name.into()));
        self
    }

    /// This path followed by a position in an array, from 0.
    #[must_use]
    pub fn index(mut self, position: usize) -> Self {
        self.0.push(Segment::Index(position));
        self
    }

    /// The steps, outermost first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// True for the document itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn from_segments(segments: &[Segment]) -> Self {
        Self(segments.to_vec())
    }

    pub(super) fn parent(&self) -> Option<Self> {
        let (_, head) = self.0.split_last()?;
        Some(Self(head.to_vec()))
    }
}

impl From<&str> for KeyPath {
    fn from(text: &str) -> Self {
        let mut path = Self::root();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let (name, positions) = part.split_once('[').unwrap_or((part, ""));
            if !name.is_empty() {
                path = path.key(name);
            }
            for position in positions.split('[').filter_map(|item| item.strip_suffix(']')) {
                path = match position.parse() {
                    Ok(position) => path.index(position),
                    Err(_) => path.key(position),
                };
            }
        }
        path
    }
}

impl From<String> for KeyPath {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(name) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(name) {
                        f.write_str(name)?;
                    } else {
                        write!(f, "{name:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// TOML's rule for keys that need no quotes.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_path_round_trip() {
        for text in ["", "log", "log.level", "routes[0]", "routes[12].to", "a[0][1].b"] {
            assert_eq!(KeyPath::from(text).to_string(), text);
        }
    }

    #[test]
    fn a_key_with_dots_is_quoted() {
        let path = KeyPath::from("bindings[1].when").key("claims.groups");
        assert_eq!(path.to_string(), "bindings[1].when.\"claims.groups\"");
    }
}
