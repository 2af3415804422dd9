//! Log lines in the shape of nats-server's, for scripts that wait for one of them:
//! `[PID] 2026/11/21 03:35:51.123456 [INF] message key=value`, times in UTC.

use std::fmt::{self, Write};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Errors with this target end the process; nats-server calls their level `FTL`.
pub(super) const FATAL_TARGET: &str = "gatehouse::fatal";

/// Writes one event as one line: message, its fields, then those of the spans around it.
#[derive(Debug)]
pub(super) struct NatsFormat {
    pid: u32,
}

impl NatsFormat {
    pub(super) fn new() -> Self {
        Self { pid: std::process::id() }
    }
}

impl<S, N> FormatEvent<S, N> for NatsFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write_head(&mut writer, self.pid, OffsetDateTime::now_utc(), level_of(event))?;
        let mut line = OneLine { inner: &mut writer };
        let mut fields = Fields { message: String::new(), rest: String::new() };
        event.record(&mut fields);
        write!(line, "{}{}", fields.message, fields.rest)?;
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(line, " {}", fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

fn level_of(event: &Event<'_>) -> &'static str {
    match *event.metadata().level() {
        Level::TRACE => "TRC",
        Level::DEBUG => "DBG",
        Level::INFO => "INF",
        Level::WARN => "WRN",
        Level::ERROR if event.metadata().target() == FATAL_TARGET => "FTL",
        Level::ERROR => "ERR",
    }
}

fn write_head(writer: &mut impl Write, pid: u32, now: OffsetDateTime, level: &str) -> fmt::Result {
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    let (hour, minute, second) = now.to_hms();
    let micros = now.microsecond();
    write!(
        writer,
        "[{pid}] {year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} [{level}] "
    )
}

/// The message of an event, and its other fields as ` key=value` each.
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ignored: fmt::Result = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        if field.name() == "message" || plain {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }
}

/// Keeps what is written on one line: peers choose parts of it, and must not be able to forge another line.
struct OneLine<'a, W> {
    inner: &'a mut W,
}

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.char_indices().next_back() {
                Some((at, control)) if control.is_control() => {
                    self.inner.write_str(part.get(..at).unwrap_or_default())?;
                    write!(self.inner, "{}", control.escape_default())?;
                }
                _ => self.inner.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_line() {
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_795_232_151_123_456_789).unwrap();
        let mut head = String::new();
        write_head(&mut head, 4711, now, "INF").unwrap();
        assert_eq!(head, "[4711] 2026/11/21 03:35:51.123456 [INF] ");
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut text = String::new();
        write!(OneLine { inner: &mut text }, "a\nb\x1b[31mc\t\r").unwrap();
        assert_eq!(text, r"a\nb\u{1b}[31mc\t\r");
    }
}
