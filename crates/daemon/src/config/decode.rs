//! Decodes a [`Node`] tree into a serde type and finds every fault it can in doing so.
//!
//! serde stops at the first error, so decoding runs again after each one with the offending value taken out, until
//! nothing new is found. An error that may only follow from what was taken out is not told.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::error::{ConfigError, Place};
use super::fault::{Fault, FaultKind, choices, unknown_key};
use super::keypath::{KeyPath, Segment};
use super::tree::{Entry, Node, State, Value};

/// Faults told about one document; more would not be read.
const MAX_FAULTS: usize = 64;

/// Decodes the document, or tells what is wrong with it; `file` names it in errors.
pub(super) fn decode<T: DeserializeOwned>(document: &Node, file: &str) -> Result<T, Vec<ConfigError>> {
    let mut root = document.clone();
    let mut errors = Vec::new();
    // Each round marks at least one more node, so the bound is never met by a document of sane size.
    for _ in 0..=MAX_FAULTS {
        let context = Context::default();
        let outcome = T::deserialize(Decoder { node: &root, context: &context, known: &[] });
        for (path, message) in context.unknown.into_inner() {
            errors.push(error_at(document, file, path.clone(), message));
            mark(&mut root, &path, State::Unknown);
        }
        match outcome {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(fault) => {
                if !note(&mut root, document, file, fault, &mut errors) || errors.len() >= MAX_FAULTS {
                    break;
                }
            }
        }
    }
    if errors.is_empty() {
        errors.push(ConfigError::file(file, "the configuration could not be decoded"));
    }
    Err(errors)
}

/// Adds `fault` to `errors` unless an earlier one explains it, and takes its node out; false when that is the root.
fn note(root: &mut Node, document: &Node, file: &str, fault: Fault, errors: &mut Vec<ConfigError>) -> bool {
    let path = fault.path.clone().unwrap_or_default();
    let explained = root.find(&path).is_some_and(Node::has_faulty_child);
    match fault.kind {
        FaultKind::Unknown(name, known) => {
            let path = path.key(name.clone());
            errors.push(error_at(document, file, path.clone(), unknown_key(&name, known)));
            return mark(root, &path, State::Unknown);
        }
        FaultKind::Missing(name) => {
            let missing = path.clone().key(name);
            if root.find(&missing).is_none() {
                errors.push(error_at(document, file, missing, "required key is missing".to_owned()));
            }
        }
        FaultKind::Message(message) if !explained => {
            errors.push(error_at(document, file, path.clone(), message));
        }
        FaultKind::Message(_) => {}
    }
    !path.is_root() && mark(root, &path, State::Faulty)
}

fn mark(root: &mut Node, path: &KeyPath, state: State) -> bool {
    match root.find_mut(path) {
        Some(node) if node.state == State::Live => {
            node.state = state;
            true
        }
        _ => false,
    }
}

/// An error about `path`, placed at its value, or where its key would belong.
pub(super) fn error_at(document: &Node, file: &str, path: KeyPath, message: String) -> ConfigError {
    let place = match document.place_of_key(&path) {
        Place::File => path.parent().map_or(Place::File, |parent| document.place_of_key(&parent)),
        place => place,
    };
    ConfigError { file: file.to_owned(), place, key: path, message }
}

/// What all decoders of one run share.
#[derive(Default)]
struct Context {
    path: RefCell<Vec<Segment>>,
    unknown: RefCell<Vec<(KeyPath, String)>>,
}

impl Context {
    /// Runs `step` one level further down and notes the place of its fault.
    fn enter<T>(&self, segment: Segment, step: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.path.borrow_mut().push(segment);
        let outcome = step().map_err(|fault| fault.located(|| self.here()));
        self.path.borrow_mut().pop();
        outcome
    }

    fn here(&self) -> KeyPath {
        KeyPath::from_segments(&self.path.borrow())
    }
}

/// Decodes one node. `known` are the keys of the table around it, for the message about one it does not have.
#[derive(Clone, Copy)]
struct Decoder<'a> {
    node: &'a Node,
    context: &'a Context,
    known: &'static [&'static str],
}

impl<'a> Decoder<'a> {
    fn mismatch(&self, expected: &str) -> Fault {
        Fault::mismatch(expected, self.node.value.kind())
    }

    fn entries(&self) -> Result<&'a [Entry], Fault> {
        match &self.node.value {
            Value::Table(entries) => Ok(entries),
            _ => Err(self.mismatch("a table")),
        }
    }

    fn table(&self, entries: &'a [Entry], known: &'static [&'static str]) -> Table<'a> {
        Table { entries: entries.iter(), current: None, context: self.context, known }
    }

    fn array(&self) -> Result<Array<'a>, Fault> {
        match &self.node.value {
            Value::Array(items) => Ok(Array { items: items.iter().enumerate(), context: self.context }),
            _ => Err(self.mismatch("an array")),
        }
    }

    fn text(&self) -> Result<&'a str, Fault> {
        match (&self.node.value, &self.node.raw) {
            (Value::Text(text), _) | (_, Some(text)) => Ok(text),
            _ => Err(self.mismatch("a string")),
        }
    }

    /// An integer within the limits of the Rust type asked for.
    fn integer(&self, lowest: i64, highest: i64) -> Result<i64, Fault> {
        let expected = || match (lowest, highest) {
            (i64::MIN, i64::MAX) => "an integer".to_owned(),
            (0, i64::MAX) => "an integer, 0 or more".to_owned(),
            _ => format!("an integer from {lowest} to {highest}"),
        };
        match self.node.value {
            Value::Integer(value) if (lowest..=highest).contains(&value) => Ok(value),
            Value::Integer(value) => Err(Fault::mismatch(&expected(), &value.to_string())),
            _ => Err(self.mismatch(&expected())),
        }
    }
}

/// `deserialize_u16` and its kin: type, smallest, largest.
macro_rules! integers {
    ($($method:ident $lowest:expr, $highest:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.visit_i64(self.integer($lowest, $highest)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::Date => {
                Err(serde::de::Error::invalid_type(serde::de::Unexpected::Other("date"), &visitor))
            }
            Value::Array(_) => visitor.visit_seq(self.array()?),
            Value::Table(entries) => visitor.visit_map(self.table(entries, &[])),
        }
    }

    integers! {
        deserialize_i8 i64::from(i8::MIN), i64::from(i8::MAX);
        deserialize_i16 i64::from(i16::MIN), i64::from(i16::MAX);
        deserialize_i32 i64::from(i32::MIN), i64::from(i32::MAX);
        deserialize_i64 i64::MIN, i64::MAX;
        deserialize_u8 0, i64::from(u8::MAX);
        deserialize_u16 0, i64::from(u16::MAX);
        deserialize_u32 0, i64::from(u32::MAX);
        deserialize_u64 0, i64::MAX;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Boolean(value) => visitor.visit_bool(value),
            _ => Err(self.mismatch("true or false")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Float(value) => visitor.visit_f64(value),
            Value::Integer(value) => visitor.visit_i64(value),
            _ => Err(self.mismatch("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(self.array()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(self.array()?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(self.table(self.entries()?, &[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_map(self.table(self.entries()?, known))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Value::Table(entries) = &self.node.value {
            let mut live = entries.iter().filter(|entry| entry.node.state == State::Live);
            return match (live.next(), live.next()) {
                (Some(entry), None) => visitor.visit_enum(Variant { entry, context: self.context }),
                _ => Err(Fault::message(format!("expected a table with exactly {}", choices(known)))),
            };
        }
        match self.text() {
            Ok(name) => visitor.visit_enum(name.into_deserializer()),
            Err(_) => Err(self.mismatch(&choices(known))),
        }
    }

    /// serde asks for this when nobody wants the value: its key is not known.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.context.here();
        if let Some(Segment::Key(name)) = path.segments().last() {
            let message = unknown_key(name, self.known);
            self.context.unknown.borrow_mut().push((path, message));
        }
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { bytes byte_buf unit unit_struct tuple_struct }
}

/// The live entries of a table.
struct Table<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    context: &'a Context,
    known: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Table<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.by_ref().find(|entry| entry.node.state == State::Live);
        let Some(entry) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        match seed.deserialize(key) {
            Ok(key) => Ok(Some(key)),
            // A table of free keys may still check them: such a fault is about this key, not the table.
            Err(fault) if matches!(fault.kind, FaultKind::Message(_)) => {
                self.context.enter(Segment::Key(entry.key.clone()), || Err(fault))
            }
            Err(fault) => Err(fault.located(|| self.context.here())),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.current else { return Err(Fault::message("value asked for before its key")) };
        let decoder = Decoder { node: &entry.node, context: self.context, known: self.known };
        self.context.enter(Segment::Key(entry.key.clone()), || seed.deserialize(decoder))
    }
}

/// The live items of an array; positions stay those of the document.
struct Array<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    context: &'a Context,
}

impl<'de> SeqAccess<'de> for Array<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.by_ref().find(|(_, item)| item.state == State::Live) else {
            return Ok(None);
        };
        let decoder = Decoder { node, context: self.context, known: &[] };
        self.context.enter(Segment::Index(index), || seed.deserialize(decoder)).map(Some)
    }
}

/// A choice written as a table of one key: `{ contains = "partners" }`.
struct Variant<'a> {
    entry: &'a Entry,
    context: &'a Context,
}

impl<'a> Variant<'a> {
    fn enter<T>(self, step: impl FnOnce(Decoder<'a>) -> Result<T, Fault>) -> Result<T, Fault> {
        let decoder = Decoder { node: &self.entry.node, context: self.context, known: &[] };
        self.context.enter(Segment::Key(self.entry.key.clone()), || step(decoder))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let key: StrDeserializer<'_, Fault> = self.entry.key.as_str().into_deserializer();
        Ok((seed.deserialize(key)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Err(Fault::message(format!("`{}` takes no value; write it as a string", self.entry.key)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.enter(|decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.enter(|decoder| decoder.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.enter(|decoder| decoder.deserialize_struct("", known, visitor))
    }
}
