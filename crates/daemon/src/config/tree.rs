//! A TOML document as a tree in which every key and value knows where it was written.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Place;
use super::keypath::{KeyPath, Segment};

/// A value and the place of its text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// The text of an environment override, for a key that wants a string where the text reads as a number.
    pub(super) raw: Option<String>,
    pub(super) state: State,
}

/// Whether decoding still looks at a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Yes.
    Live,
    /// No: its key is not known.
    Unknown,
    /// No: it was found wrong and reported, and its parent may miss it.
    Faulty,
}

/// What TOML can hold. A date stays text: nothing here is configured by date.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Date,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Value {
    /// What to call it in "expected …, found …"; never the value, which may be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Date => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    pub(super) fn new(place: Place, value: Value) -> Self {
        Self { place, value, raw: None, state: State::Live }
    }

    /// The direct child of that name or position.
    fn child(&self, segment: &Segment) -> Option<(&Place, &Self)> {
        match (&self.value, segment) {
            (Value::Table(entries), Segment::Key(name)) => {
                entries.iter().find(|entry| entry.key == *name).map(|entry| (&entry.place, &entry.node))
            }
            (Value::Array(items), Segment::Index(index)) => items.get(*index).map(|item| (&item.place, item)),
            _ => None,
        }
    }

    /// The node at `path`, if the document has it.
    pub(super) fn find(&self, path: &KeyPath) -> Option<&Self> {
        path.segments().iter().try_fold(self, |node, segment| Some(node.child(segment)?.1))
    }

    /// As [`Node::find`], to change it.
    pub(super) fn find_mut(&mut self, path: &KeyPath) -> Option<&mut Self> {
        let mut node = self;
        for segment in path.segments() {
            node = match (&mut node.value, segment) {
                (Value::Table(entries), Segment::Key(name)) => {
                    &mut entries.iter_mut().find(|entry| entry.key == *name)?.node
                }
                (Value::Array(items), Segment::Index(index)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Where the key at `path` is written; for one that is not, its nearest parent that is.
    pub(super) fn place_of_key(&self, path: &KeyPath) -> Place {
        let (mut node, mut place) = (self, &self.place);
        for segment in path.segments() {
            let Some((key_place, child)) = node.child(segment) else { break };
            (node, place) = (child, key_place);
        }
        place.clone()
    }

    /// True when a direct child was reported as wrong, so that errors about this node may only follow from it.
    pub(super) fn has_faulty_child(&self) -> bool {
        match &self.value {
            Value::Array(items) => items.iter().any(|item| item.state == State::Faulty),
            Value::Table(entries) => entries.iter().any(|entry| entry.node.state == State::Faulty),
            _ => false,
        }
    }
}

/// Turns byte offsets of a text into lines and columns.
pub(super) struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Place::Line { line, column }
    }
}

/// A fault of the text itself.
pub(super) struct SyntaxError {
    pub(super) place: Place,
    pub(super) message: String,
}

/// Reads `text`; nesting is bounded by the TOML reader (80 levels), so recursion over the tree is safe.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let lines = LineIndex::new(text);
    let table = DeTable::parse(text).map_err(|error| SyntaxError {
        place: error.span().map_or(Place::File, |span| lines.place(span.start)),
        message: error.message().to_owned(),
    })?;
    let entries = convert_table(table.into_inner(), &lines)?;
    Ok(Node::new(Place::File, Value::Table(entries)))
}

/// Reads one value, as an environment variable holds it; `None` when the text is not a TOML value.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = convert(value, &LineIndex::new(text)).ok()?;
    replace_places(&mut node, place);
    Some(node)
}

fn convert(value: Spanned<DeValue<'_>>, lines: &LineIndex<'_>) -> Result<Node, SyntaxError> {
    let place = lines.place(value.span().start);
    let value = match value.into_inner() {
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => return Err(SyntaxError { place, message: "integer beyond 64 bits".to_owned() }),
        },
        DeValue::Float(value) => match value.as_str().parse() {
            Ok(value) => Value::Float(value),
            Err(_) => return Err(SyntaxError { place, message: "not a number".to_owned() }),
        },
        DeValue::String(value) => Value::Text(Cow::into_owned(value)),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| convert(item, lines)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(convert_table(table, lines)?),
    };
    Ok(Node::new(place, value))
}

fn convert_table(table: DeTable<'_>, lines: &LineIndex<'_>) -> Result<Vec<Entry>, SyntaxError> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let place = lines.place(key.span().start);
        entries.push(Entry { key: key.into_inner().into_owned(), place, node: convert(value, lines)? });
    }
    // The reader's map is sorted by name; errors are told in the order of the file.
    entries.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(entries)
}

fn replace_places(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_places(item, place)),
        Value::Table(entries) => {
            for entry in entries {
                entry.place = place.clone();
                replace_places(&mut entry.node, place);
            }
        }
        _ => {}
    }
}
