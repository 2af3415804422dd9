//! Asking the value tree questions: every accessor checks the kind and notes what is wrong, so that one run
//! reports everything that is wrong with a configuration.

use std::time::Duration;

use super::report::{ConfError, Notice, NoticeKind, Position};
use super::secret::Secret;
use super::units::{self, Port};
use super::value::{Entry, Kind, Map, Value};

/// Longest time a client is given to log in before it is worth a remark, in seconds.
const LONG_TIMEOUT: Duration = Duration::from_secs(60);

/// Collects what is wrong and what is notable.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) notices: Vec<Notice>,
    pub(super) errors: Vec<ConfError>,
    /// Unknown and unsupported settings are notices, not errors.
    ignore_unsupported: bool,
}

impl Reader {
    pub(super) fn new(ignore_unsupported: bool) -> Self {
        Self { ignore_unsupported, ..Self::default() }
    }

    pub(super) fn error(&mut self, at: &Position, what: impl Into<String>) {
        self.errors.push(ConfError { at: at.clone(), what: what.into() });
    }

    pub(super) fn advise(&mut self, at: &Position, what: impl Into<String>) {
        self.notices.push(Notice { at: at.clone(), kind: NoticeKind::Advice, what: what.into() });
    }

    /// The setting is understood and changes nothing.
    pub(super) fn no_effect(&mut self, entry: &Entry, why: &str) {
        let what = format!("`{}` has no effect here: {why}", entry.key);
        self.notices.push(Notice { at: entry.at.clone(), kind: NoticeKind::NoEffect, what });
    }

    /// The setting is one of nats-server's that is not supported.
    pub(super) fn unsupported(&mut self, entry: &Entry, place: &str) {
        self.not_done(&entry.at, format!("`{}`{} is not supported", entry.key, within(place)));
    }

    /// No such setting exists. A key that serves as a variable is not meant as one.
    pub(super) fn unknown(&mut self, entry: &Entry, place: &str) {
        if !entry.used_as_variable {
            self.not_done(
                &entry.at,
                format!("unknown setting `{}`{}", entry.key.escape_debug(), within(place)),
            );
        }
    }

    /// Something that can't be done: an error, or a notice when such things are to be ignored.
    pub(super) fn not_done(&mut self, at: &Position, what: String) {
        if self.ignore_unsupported {
            let what = format!("{what}; ignored");
            self.notices.push(Notice { at: at.clone(), kind: NoticeKind::Unsupported, what });
        } else {
            self.error(at, what);
        }
    }

    fn wrong_kind<T>(&mut self, value: &Value, expected: &str) -> Option<T> {
        let hint = match value.kind {
            Kind::Integer(_) | Kind::Float(_) | Kind::Boolean(_) | Kind::DateTime(_)
                if expected == "text" =>
            {
                "; put it in quotes"
            }
            Kind::Text(ref text) if would_do(text, expected) => "; leave out the quotes",
            _ => "",
        };
        self.error(&value.at, format!("expected {expected}, found {}{hint}", value.kind.name()));
        None
    }

    pub(super) fn text(&mut self, value: &Value) -> Option<String> {
        match &value.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => self.wrong_kind(value, "text"),
        }
    }

    /// Text, where an empty one means "not set".
    pub(super) fn text_or_unset(&mut self, value: &Value) -> Option<String> {
        self.text(value).filter(|text| !text.is_empty())
    }

    pub(super) fn secret(&mut self, value: &Value) -> Option<Secret> {
        self.text_or_unset(value).map(Secret::new)
    }

    pub(super) fn path(&mut self, value: &Value) -> Option<std::path::PathBuf> {
        self.text_or_unset(value).map(Into::into)
    }

    pub(super) fn boolean(&mut self, value: &Value) -> Option<bool> {
        match value.kind {
            Kind::Boolean(truth) => Some(truth),
            _ => self.wrong_kind(value, "a boolean (true or false)"),
        }
    }

    pub(super) fn integer(&mut self, value: &Value) -> Option<i64> {
        match value.kind {
            Kind::Integer(number) => Some(number),
            _ => self.wrong_kind(value, "a whole number"),
        }
    }

    /// A whole number from 0 to the greatest of its type; 0 means "not set".
    pub(super) fn count<T: TryFrom<i64>>(&mut self, value: &Value, most: i64) -> Option<T> {
        let number = self.integer(value)?;
        if !(0..=most).contains(&number) {
            self.error(&value.at, format!("expected a number from 0 to {most}, found {number}"));
            return None;
        }
        if number == 0 { None } else { T::try_from(number).ok() }
    }

    pub(super) fn port(&mut self, value: &Value) -> Option<Port> {
        let number = self.integer(value)?;
        Port::from_number(number).unwrap_or_else(|what| {
            self.error(&value.at, what);
            None
        })
    }

    /// A port, or `host:port`.
    pub(super) fn address(&mut self, value: &Value) -> Option<(Option<String>, Option<Port>)> {
        let text = match &value.kind {
            Kind::Integer(_) => return Some((None, self.port(value))),
            Kind::Text(text) => text,
            _ => return self.wrong_kind(value, "a port or `host:port`"),
        };
        match units::host_and_port(text) {
            Ok((host, port)) => Some((Some(host).filter(|host| !host.is_empty()), port)),
            Err(what) => {
                self.error(&value.at, what);
                None
            }
        }
    }

    /// A duration such as `"2s"`; a plain number is taken as seconds, with advice.
    pub(super) fn duration(&mut self, value: &Value) -> Option<Duration> {
        match &value.kind {
            Kind::Text(text) => self.duration_text(&value.at, text),
            Kind::Integer(seconds) => {
                let seconds = *seconds;
                let Ok(positive) = u64::try_from(seconds) else {
                    self.error(&value.at, "a duration can't be negative");
                    return None;
                };
                self.advise(&value.at, format!("{seconds} is taken as seconds; better write \"{seconds}s\""));
                Some(Duration::from_secs(positive))
            }
            _ => self.wrong_kind(value, "a duration such as \"2s\""),
        }
    }

    /// A duration that must be text.
    pub(super) fn strict_duration(&mut self, value: &Value) -> Option<Duration> {
        match &value.kind {
            Kind::Text(text) => self.duration_text(&value.at, text),
            _ => self.wrong_kind(value, "a duration such as \"2s\""),
        }
    }

    fn duration_text(&mut self, at: &Position, text: &str) -> Option<Duration> {
        let Some(read) = units::duration(text) else {
            self.error(at, "expected a duration such as \"300ms\", \"2s\" or \"1h30m\"");
            return None;
        };
        let positive = read.positive();
        if positive.is_none() {
            self.error(at, "a duration can't be negative");
        }
        positive
    }

    /// A time limit for a login or a handshake: seconds, with or without a fraction, or a duration.
    pub(super) fn timeout(&mut self, value: &Value) -> Option<Duration> {
        let read = match &value.kind {
            Kind::Text(text) => self.duration_text(&value.at, text)?,
            Kind::Integer(_) | Kind::Float(_) => {
                let seconds = match value.kind {
                    Kind::Float(seconds) => Duration::try_from_secs_f64(seconds).ok(),
                    Kind::Integer(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
                    _ => None,
                };
                let Some(seconds) = seconds else {
                    self.error(&value.at, "a timeout can't be negative");
                    return None;
                };
                seconds
            }
            _ => return self.wrong_kind(value, "a duration such as \"2s\", or a number of seconds"),
        };
        if read > LONG_TIMEOUT {
            let hint = "without quotes `1m` is a million seconds";
            self.advise(&value.at, format!("a timeout of {} seconds is very long; {hint}", read.as_secs()));
        }
        Some(read).filter(|read| !read.is_zero())
    }

    pub(super) fn list<'v>(&mut self, value: &'v Value) -> Option<&'v [Value]> {
        match &value.kind {
            Kind::List(items) => Some(items),
            _ => self.wrong_kind(value, "a list"),
        }
    }

    pub(super) fn map<'v>(&mut self, value: &'v Value) -> Option<&'v Map> {
        match &value.kind {
            Kind::Map(map) => Some(map),
            _ => self.wrong_kind(value, "a map `{ … }`"),
        }
    }

    /// Calls `take` for each entry of a map, with the key in lower case.
    pub(super) fn each(&mut self, value: &Value, mut take: impl FnMut(&mut Self, &str, &Entry)) {
        let Some(map) = self.map(value) else { return };
        for entry in map.entries() {
            take(self, &entry.key.to_ascii_lowercase(), entry);
        }
    }

    /// One text, or a list of texts, each with its place.
    pub(super) fn texts(&mut self, value: &Value) -> Option<Vec<(Position, String)>> {
        match &value.kind {
            Kind::Text(text) => Some(vec![(value.at.clone(), text.clone())]),
            Kind::List(items) => {
                items.iter().map(|item| self.text(item).map(|text| (item.at.clone(), text))).collect()
            }
            _ => self.wrong_kind(value, "text or a list of texts"),
        }
    }

    pub(super) fn plain_texts(&mut self, value: &Value) -> Option<Vec<String>> {
        Some(self.texts(value)?.into_iter().map(|(_, text)| text).collect())
    }
}

fn within(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" in `{place}`") }
}

/// Whether a text would be what is expected, were it not in quotes.
fn would_do(text: &str, expected: &str) -> bool {
    let boolean = matches!(&*text.to_ascii_lowercase(), "true" | "false" | "yes" | "no" | "on" | "off");
    expected.contains("number") && text.parse::<f64>().is_ok() || expected.contains("boolean") && boolean
}
