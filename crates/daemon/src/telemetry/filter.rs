//! [`LogFilter`]: which events are logged, checked when the configuration is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

const EXPECTED: &str =
    "a level (off, error, warn, info, debug, trace), or a list such as \"info,broker=debug\"";

/// A level, or a comma-separated list of levels for single parts (`info,broker::net=debug`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFilter(String);

/// Text that is no [`LogFilter`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected {EXPECTED}")]
pub struct FilterError;

impl LogFilter {
    /// The text of the filter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn env_filter(&self) -> Result<EnvFilter, FilterError> {
        EnvFilter::builder().parse(&self.0).map_err(|_| FilterError)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        for part in &parts {
            // The filter library reads a lone word as the name of a part to log in full: a misspelt level would
            // silence everything else.
            let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
            if !is_level && !part.contains('=') {
                return Err(FilterError);
            }
        }
        let filter = Self(parts.join(","));
        filter.env_filter()?;
        Ok(filter)
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for LogFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["info", "INFO", "off", "info,broker=debug", "warn, broker::net=trace", "[conn]=debug"] {
            assert!(text.parse::<LogFilter>().is_ok(), "{text}");
        }
        for text in ["", "inof", "info,", "info,broker", "broker=loud"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
