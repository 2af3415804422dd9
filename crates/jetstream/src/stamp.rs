//! A point in time as the API writes it: RFC 3339 in UTC with up to nine decimals, as Go's encoder does.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Nanoseconds since 1970 in UTC. The year 1, Go's zero time, is [`Stamp::ZERO`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub i64);

impl Stamp {
    /// No time at all: written as `0001-01-01T00:00:00Z`.
    pub const ZERO: Self = Self(i64::MIN);

    /// The time of the clock on the wall.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self(time.duration_since(UNIX_EPOCH).map_or_else(|before| -nanos(before.duration()), nanos))
    }

    /// Reads RFC 3339, with any offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_at_checked(10)?;
        let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 2)?, number(date, 8, 2)?);
        let bytes = text.as_bytes();
        let dashes = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
        if !dashes || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        if time.as_bytes().get(3) != Some(&b':') || time.as_bytes().get(6) != Some(&b':') {
            return None;
        }
        let (hour, minute, second) = (number(time, 1, 2)?, number(time, 4, 2)?, number(time, 7, 2)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = fraction(time.get(9..)?)?;
        let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
        if year <= 1 {
            return Some(Self::ZERO);
        }
        seconds.checked_mul(SECOND)?.checked_add(nanos).map(Self)
    }

    /// Appends it as it is displayed; for places where that happens for every message.
    pub fn write(self, out: &mut Vec<u8>) {
        let (seconds, mut nanos) = (self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND));
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        if self.is_zero() || !(1000..10_000).contains(&year) {
            return out.extend_from_slice(self.to_string().as_bytes());
        }
        let clock = seconds.rem_euclid(DAY);
        wire::encode::decimal(out, year.unsigned_abs());
        let parts =
            [(b'-', month), (b'-', day), (b'T', clock / 3600), (b':', clock / 60 % 60), (b':', clock % 60)];
        for (before, value) in parts {
            out.extend([before, digit(value / 10), digit(value % 10)]);
        }
        if nanos != 0 {
            out.push(b'.');
            while nanos != 0 {
                out.push(digit(nanos / (SECOND / 10)));
                nanos = nanos % (SECOND / 10) * 10;
            }
        }
        out.push(b'Z');
    }

    /// Whether there is no time.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0001-01-01T00:00:00Z");
        }
        let (seconds, nanos) = (self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND));
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let clock = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a time (RFC 3339)")))
    }
}

fn digit(value: i64) -> u8 {
    b'0' + value.rem_euclid(10).unsigned_abs() as u8
}

/// `len` digits at `at`.
fn number(text: &str, at: usize, len: usize) -> Option<i64> {
    let digits = text.get(at..at + len)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// `.digits` as nanoseconds, and what follows.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = digits.split_at(len);
    if len == 0 {
        return None;
    }
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    Some((nine.parse().ok()?, zone))
}

/// Seconds a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if zone.len() != 6 || zone.as_bytes().get(3) != Some(&b':') {
        return None;
    }
    Some(sign * (number(zone, 1, 2)? * 3600 + number(zone, 4, 2)? * 60))
}

/// Days since 1970 of a date in the Gregorian calendar. Years are counted from March, so that the leap day ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970; the other way round.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = (if month < 10 { month + 3 } else { month - 9 }, of_year - (153 * month + 2) / 5 + 1);
    (year + era * 400 + i64::from(date.0 <= 2), date.0, date.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_are_written_and_read() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_764_054_559_123_456_789, "2025-11-25T07:09:19.123456789Z"),
            (1_709_164_800 * SECOND, "2024-02-29T00:00:00Z"),
            (-SECOND / 2, "1969-12-31T23:59:59.5Z"),
        ] {
            assert_eq!(Stamp(nanos).to_string(), text);
            assert_eq!(Stamp::parse(text), Some(Stamp(nanos)));
        }
        assert_eq!(Stamp::parse("2025-11-25T09:09:19.5+02:00"), Stamp::parse("2025-11-25T07:09:19.5Z"));
        assert_eq!(Stamp::parse("0001-01-01T00:00:00Z"), Some(Stamp::ZERO));
        assert_eq!(Stamp::ZERO.to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "2025-11-25", "2025-13-25T07:09:19Z", "2025-11-25T07:09:19", "2025-11-25T07:09:19.Z", "é"]
        {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos in -SECOND * DAY * 300..SECOND * DAY * 365 * 250) {
            prop_assert_eq!(Stamp::parse(&Stamp(nanos).to_string()), Some(Stamp(nanos)));
            let mut out = Vec::new();
            Stamp(nanos).write(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), Stamp(nanos).to_string());
        }

        #[test]
        fn anything_may_be_read(text in ".{0,40}") {
            prop_assert!(Stamp::parse(&text).is_none_or(|_| text.len() >= 20));
        }
    }
}
