//! `mappings` of an account: subjects that stand for others, some of them for several by weight.

use jetstream::config::SubjectMapping;

use super::reader::Reader;
use super::value::{Entry, Kind, Map, Value};

/// What messages of a subject become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectMap {
    /// The pattern of subjects it is about.
    pub source: String,
    /// Where they go. Of a hundred messages, what is left over by the weights stays as it is, unless the source is among
    /// the destinations: then it is lost.
    pub destinations: Vec<Destination>,
}

/// One place messages go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The subject; captures as in a stream's transform.
    pub subject: String,
    /// How many of a hundred.
    pub weight: u8,
}

pub(super) fn mappings(reader: &mut Reader, value: &Value) -> Vec<SubjectMap> {
    let entries = reader.map(value).map(Map::entries).unwrap_or_default();
    entries
        .iter()
        .filter(|entry| !entry.used_as_variable)
        .filter_map(|entry| mapping(reader, entry))
        .collect()
}

fn mapping(reader: &mut Reader, entry: &Entry) -> Option<SubjectMap> {
    let source = entry.key.clone();
    if !subject::valid_pattern(source.as_bytes()) {
        reader.error(&entry.at, format!("`{source}` is not a valid subject"));
        return None;
    }
    let mut destinations = Vec::new();
    match &entry.value.kind {
        Kind::Text(subject) => destinations.push(Destination { subject: subject.clone(), weight: 100 }),
        Kind::List(items) => {
            destinations.extend(items.iter().filter_map(|item| destination(reader, item)).flatten());
        }
        _ => destinations.extend(destination(reader, &entry.value)?),
    }
    for (at, one) in destinations.iter().enumerate() {
        if destinations.iter().take(at).any(|other| other.subject == one.subject) {
            reader.error(&entry.at, format!("`{source}` is mapped to `{}` twice", one.subject));
            return None;
        }
        if let Err(error) = SubjectMapping::new(&source, &one.subject) {
            reader.error(&entry.at, format!("`{source}` can't be mapped to `{}`: {error}", one.subject));
            return None;
        }
    }
    let total: u32 = destinations.iter().map(|one| u32::from(one.weight)).sum();
    if total > 100 {
        reader.error(&entry.at, format!("the weights of `{source}` are {total}: more than 100"));
        return None;
    }
    Some(SubjectMap { source, destinations })
}

/// `None`: it has mistakes. `Some(None)`: it is meant for a cluster.
fn destination(reader: &mut Reader, value: &Value) -> Option<Option<Destination>> {
    let (mut subject, mut weight, mut elsewhere) = (None, None, false);
    reader.map(value)?;
    reader.each(value, |reader, key, entry| match key {
        "dest" | "destination" => subject = reader.text(&entry.value),
        "weight" => weight = self::weight(reader, &entry.value),
        "cluster" => {
            elsewhere = true;
            reader.no_effect(entry, "there is no cluster");
        }
        _ => reader.unknown(entry, "mappings"),
    });
    let (Some(subject), Some(weight)) = (subject, weight) else {
        reader.error(&value.at, "a destination of `mappings` needs a `destination` and a `weight`");
        return None;
    };
    Some((!elsewhere).then_some(Destination { subject, weight }))
}

fn weight(reader: &mut Reader, value: &Value) -> Option<u8> {
    let number = match &value.kind {
        Kind::Text(text) => text.trim_end_matches('%').parse::<u8>().ok(),
        Kind::Integer(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    let number = number.filter(|number| *number <= 100);
    if number.is_none() {
        reader.error(&value.at, "expected a weight from 0 to 100, as in `40%`");
    }
    number
}
