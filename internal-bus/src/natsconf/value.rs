//! The value tree: what a configuration file says, before anyone asks what it means.

use std::collections::HashMap;
use std::fmt;

use super::report::Position;

/// A value and where it starts.
#[derive(Clone)]
pub(super) struct Value {
    /// Where the value starts; for a variable, where it is referred to.
    pub(super) at: Position,
    /// The value.
    pub(super) kind: Kind,
}

/// The kinds of values the language has.
#[derive(Clone)]
pub(super) enum Kind {
    /// Text, quoted or not.
    Text(String),
    /// A whole number, its suffix (`k`, `MB`, …) already applied.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true`/`false`, `yes`/`no`, `on`/`off`.
    Boolean(bool),
    /// A date and time in the form `2006-01-02T15:04:05Z`, kept as text.
    DateTime(String),
    /// `[ … ]`
    List(Vec<Value>),
    /// `{ … }`
    Map(Map),
}

impl Kind {
    /// The kind in words, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "a boolean",
            Self::DateTime(_) => "a date",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Says the kind only: any value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::List(items) => f.debug_list().entries(items).finish(),
            Kind::Map(map) => map.fmt(f),
            other => write!(f, "<{}>", other.name()),
        }
    }
}

/// What a value costs, so that variables can't multiply it without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.values = self.values.saturating_add(other.values);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Value {
    pub(super) fn weight(&self) -> Weight {
        let mut sum = Weight { values: 1, bytes: 0 };
        match &self.kind {
            Kind::Text(text) | Kind::DateTime(text) => sum.bytes = text.len(),
            Kind::List(items) => items.iter().for_each(|item| sum.add(item.weight())),
            Kind::Map(map) => sum.add(map.weight()),
            Kind::Integer(_) | Kind::Float(_) | Kind::Boolean(_) => {}
        }
        sum
    }
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry {
    /// The key as written. Settings are looked up without regard to case, variables with it.
    pub(super) key: String,
    /// Where the key starts.
    pub(super) at: Position,
    /// Its value.
    pub(super) value: Value,
    /// Some `$key` refers to it: then it may be a variable and no setting at all.
    pub(super) used_as_variable: bool,
}

/// Keys in the order they were written; of a key given twice the last one counts.
#[derive(Clone, Default)]
pub(super) struct Map {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Map {
    /// The entries, in order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry with exactly this key.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.get_mut(*self.index.get(key)?)
    }

    /// Adds an entry; one with the same key is replaced, in its place.
    pub(super) fn insert(&mut self, entry: Entry) {
        if let Some(old) = self.get_mut(&entry.key) {
            let used = old.used_as_variable;
            *old = entry;
            old.used_as_variable |= used;
            return;
        }
        self.index.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn weight(&self) -> Weight {
        let mut sum = Weight::default();
        for entry in &self.entries {
            sum.add(Weight { values: 0, bytes: entry.key.len() });
            sum.add(entry.value.weight());
        }
        sum
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|entry| (&entry.key, &entry.value))).finish()
    }
}
