//! Copies of other streams: mirrors, which keep sequences, and sources, which say where each message is from.

mod run;
mod transforms;

use store::Filter;

use crate::config::Source;
use crate::errors::ApiError;
use crate::stamp::Stamp;
use crate::stream::info::SourceInfo;
use transforms::Transforms;

/// One origin, and how far it is read.
#[derive(Debug)]
pub(crate) struct State {
    source: Source,
    /// What tells it apart, as `Nats-Stream-Source` has it: stream, filters, destinations.
    index: Index,
    filter: Filter,
    transforms: Transforms,
    /// The sequence of the origin to be read next; `None` before it is known.
    next: Option<u64>,
    lag: u64,
    heard: Option<Stamp>,
    error: Option<ApiError>,
}

/// The parts of a source's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    stream: String,
    filters: String,
    destinations: String,
}

impl Index {
    fn of(source: &Source) -> Self {
        let or_all = |text: &str| if text.is_empty() { ">".to_owned() } else { text.to_owned() };
        let (filters, destinations) = if source.subject_transforms.is_empty() {
            (or_all(&source.filter_subject), ">".to_owned())
        } else {
            let join = |parts: Vec<String>| parts.join("\u{c}");
            (
                join(source.subject_transforms.iter().map(|pair| or_all(&pair.src)).collect()),
                join(source.subject_transforms.iter().map(|pair| or_all(&pair.dest)).collect()),
            )
        };
        Self { stream: source.name.clone(), filters, destinations }
    }

    /// The header of a message that was copied.
    fn header(&self, sequence: u64, subject: &[u8]) -> String {
        let Self { stream, filters, destinations } = self;
        format!("{stream} {sequence} {filters} {destinations} {}", String::from_utf8_lossy(subject))
    }

    /// The origin's sequence in a header, if it is of this source.
    fn sequence(&self, header: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(header).ok()?;
        let mut fields = text.split(' ');
        let (stream, sequence) = (fields.next()?, fields.next()?.parse().ok()?);
        let same = stream == self.stream
            && fields.next().is_none_or(|filters| filters == self.filters)
            && fields.next().is_none_or(|destinations| destinations == self.destinations);
        same.then_some(sequence)
    }
}

impl State {
    pub(crate) fn new(source: &Source) -> Self {
        let patterns: Vec<&str> = if source.subject_transforms.is_empty() {
            vec![source.filter_subject.as_str()]
        } else {
            source.subject_transforms.iter().map(|pair| pair.src.as_str()).collect()
        };
        let all = patterns.iter().any(|pattern| pattern.is_empty());
        Self {
            index: Index::of(source),
            filter: if all { Filter::all() } else { Filter::new(patterns) },
            transforms: Transforms::new(&source.subject_transforms),
            source: source.clone(),
            next: None,
            lag: 0,
            heard: None,
            error: None,
        }
    }

    /// What the API tells of it.
    pub(crate) fn info(&self, now: Stamp) -> SourceInfo {
        SourceInfo {
            name: self.source.name.clone(),
            external: self.source.external.clone(),
            lag: self.lag,
            active: self.heard.map_or(-1, |heard| now.0.saturating_sub(heard.0).max(0)),
            error: self.error.clone(),
            filter_subject: self.source.filter_subject.clone(),
            subject_transforms: self.source.subject_transforms.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_knows_its_own_messages() {
        let source = Source { name: "ORDERS".into(), filter_subject: "orders.*".into(), ..Source::default() };
        let index = Index::of(&source);
        let header = index.header(7, b"orders.1");
        assert_eq!(header, "ORDERS 7 orders.* > orders.1");
        assert_eq!(index.sequence(header.as_bytes()), Some(7));
        assert_eq!(index.sequence(b"ORDERS 7"), Some(7));
        assert_eq!(index.sequence(b"ORDERS 7 other.* > orders.1"), None);
        assert_eq!(index.sequence(b"OTHER 7 orders.* > orders.1"), None);
    }
}
