//! [`Period`]: a length of time, written `150ms` or `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, as_text, leading_number};

const EXPECTED: &str = "a duration with its unit such as \"150ms\", \"2s\", \"5m\", \"1h30m\" or \"2d\" (ns, us, ms, s, m, h, d)";

/// Units in nanoseconds, largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A length of time, to the nanosecond, up to some 584 years.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Period(u64);

impl Period {
    /// A period of that many milliseconds, at most what can be held.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A period of that many seconds, at most what can be held.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The same as a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// True for no time at all, which many keys read as "off".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.duration()
    }
}

/// Durations beyond some 584 years become that.
impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        parse(text.trim()).map(Self).ok_or(ValueError { expected: EXPECTED })
    }
}

/// The nanoseconds of `1h30m`: numbers with units, the larger unit first, each at most once.
fn parse(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    loop {
        let (number, after) = leading_number(rest)?;
        let after = after.trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, factor) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*factor)?)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(total);
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.copied().unwrap_or(("s", 1_000_000_000));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

as_text!(Period, EXPECTED, |_| None);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, millis, canonical) in [
            ("2s", 2_000, "2s"),
            ("150ms", 150, "150ms"),
            ("5m", 300_000, "5m"),
            ("60m", 3_600_000, "1h"),
            ("1h30m", 5_400_000, "90m"),
            ("2d", 172_800_000, "2d"),
            ("2 s", 2_000, "2s"),
            ("1m 30s", 90_000, "90s"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.duration(), Duration::from_millis(millis), "{text}");
            assert_eq!(period.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["", "5", "s", "5 minutes", "1.5s", "-2s", "30m1h", "1s1s", "400000d", "5M"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_periods_read_back(nanos in any::<u64>(), unit in 0usize..7) {
            for period in [Period(nanos), Period(nanos / UNITS[unit].1 * UNITS[unit].1)] {
                prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
            }
        }
    }
}
