//! Sizes and times as text with units, and `allow_responses`, which uses them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

use crate::rights::ResponseLimit;

/// A number of bytes: `"64 KiB"`, `"1 MB"`, `"512"`, or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64 KiB\" or a number of bytes")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                u64::try_from(number).map(Bytes).map_err(|_| E::custom("a size is not negative"))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                let bad = || E::custom(format!("`{text}` is not a size such as \"64 KiB\""));
                parse_bytes(text).map(Bytes).ok_or_else(bad)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A limit: a number as it is, or a template for one (`"{{claims.rate}}"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit<T> {
    /// The number.
    Fixed(T),
    /// The fact it comes from, as it was written.
    Template(String),
}

impl<T> Limit<T> {
    /// The same with another type of number.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::Fixed(number) => Limit::Fixed(map(number)),
            Self::Template(text) => Limit::Template(text),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Limit<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a fact such as \"{{claims.rate}}\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limit<T>, E> {
                T::deserialize(number.into_deserializer()).map(Limit::Fixed)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Limit<T>, E> {
                T::deserialize(number.into_deserializer()).map(Limit::Fixed)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit<T>, E> {
                match text.contains("{{") {
                    true => Ok(Limit::Template(text.to_owned())),
                    false => T::deserialize(text.into_deserializer()).map(Limit::Fixed),
                }
            }
        }
        deserializer.deserialize_any(Read(PhantomData))
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads a whole number with a unit: `ms`, `s`, `m`, `h`, `d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let number = number.parse::<u64>().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// The digits at the start and the unit behind them, without white space.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `allow_responses`: a switch, or how many replies and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsesConfig(pub Option<ResponseLimit>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Replies per message; -1 is unlimited, absent is 1.
    max: Option<i64>,
    /// How long; `"unlimited"`, absent is two minutes.
    ttl: Option<String>,
}

impl Table {
    fn limit(self) -> Result<ResponseLimit, String> {
        let mut limit = ResponseLimit::default();
        match self.max {
            None => {}
            Some(-1) => limit.max = None,
            Some(max) => match u32::try_from(max) {
                Ok(max) if max > 0 => limit.max = Some(max),
                _ => return Err("`max` is a number above 0, or -1 for unlimited".to_owned()),
            },
        }
        match self.ttl.as_deref() {
            None => {}
            Some("unlimited") => limit.ttl = None,
            Some(text) => match parse_duration(text) {
                Some(ttl) if !ttl.is_zero() => limit.ttl = Some(ttl),
                _ => return Err(format!("`{text}` is not a time such as \"2m\" or \"unlimited\"")),
            },
        }
        Ok(limit)
    }
}

impl<'de> Deserialize<'de> for ResponsesConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = ResponsesConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a table { max, ttl }")
            }

            fn visit_bool<E>(self, on: bool) -> Result<ResponsesConfig, E> {
                Ok(ResponsesConfig(on.then(ResponseLimit::default)))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ResponsesConfig, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let limit = table.limit().map_err(de::Error::custom)?;
                Ok(ResponsesConfig(Some(limit)))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64 KiB", 65_536), ("1MiB", 1 << 20), ("2 MB", 2_000_000)]
        {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5 MiB", "1 kib", "99999999999 TiB", "1 MiB x"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn responses() {
        let read = |text: &str| serde_json::from_str::<ResponsesConfig>(text).map(|read| read.0);
        let limit = |max, ttl: Option<u64>| Some(ResponseLimit { max, ttl: ttl.map(Duration::from_secs) });
        assert_eq!(read("false").unwrap(), None);
        assert_eq!(read("true").unwrap(), limit(Some(1), Some(120)));
        assert_eq!(read(r#"{"max":5}"#).unwrap(), limit(Some(5), Some(120)));
        assert_eq!(read(r#"{"max":-1,"ttl":"30s"}"#).unwrap(), limit(None, Some(30)));
        assert_eq!(read(r#"{"ttl":"unlimited"}"#).unwrap(), limit(Some(1), None));
        for bad in
            [r#"{"max":0}"#, r#"{"max":-2}"#, r#"{"ttl":"0s"}"#, r#"{"ttl":"soon"}"#, r#"{"x":1}"#, "1"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
