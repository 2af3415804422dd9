//! Time zones of schedules, by the names of the IANA database.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::stamp::Stamp;

/// One second, in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// Longer is no name.
const MAX_NAME: usize = 64;

/// Where a schedule's clock stands.
#[derive(Debug, Clone)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The zone of that name, as `Europe/Berlin`.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok().filter(|name| (1..=MAX_NAME).contains(&name.len()))?;
        TimeZone::get(name).ok().map(Self)
    }

    /// How many seconds its clocks are ahead of UTC at a time, and until when: both times in seconds since 1970.
    pub(super) fn offset(&self, at: i64) -> (i64, i64) {
        let Ok(at) = Timestamp::from_second(at) else { return (0, i64::MAX) };
        let next = self.0.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_second());
        (i64::from(self.0.to_offset(at).seconds()), next)
    }

    /// A time as its clocks show it, with the offset.
    pub(super) fn shown(&self, at: Stamp) -> String {
        let (offset, _) = self.offset(at.0.div_euclid(SECOND));
        let local = Stamp(at.0.saturating_add(offset.saturating_mul(SECOND))).to_string();
        if offset == 0 {
            return local;
        }
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        format!("{}{sign}{:02}:{:02}", local.trim_end_matches('Z'), minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_name() {
        for name in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"] {
            assert!(Zone::named(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["", "Nowhere/Atall", "../etc/passwd", "/etc/localtime", "EST5EDT4,x", "\u{0}"] {
            assert!(Zone::named(name.as_bytes()).is_none(), "{name}");
        }
        assert!(Zone::named(&[b'a'; 10_000]).is_none() && Zone::named(b"\xff").is_none());
    }

    #[test]
    fn times_are_shown_as_clocks_show_them() {
        let shown =
            |zone: &str, at: &str| Zone::named(zone.as_bytes()).unwrap().shown(Stamp::parse(at).unwrap());
        assert_eq!(shown("Europe/Berlin", "2026-01-01T11:00:00Z"), "2026-01-01T12:00:00+01:00");
        assert_eq!(shown("Europe/Berlin", "2026-07-01T10:00:00Z"), "2026-07-01T12:00:00+02:00");
        assert_eq!(shown("America/St_Johns", "2026-01-01T11:00:00Z"), "2026-01-01T07:30:00-03:30");
        assert_eq!(shown("Europe/London", "2026-01-01T11:00:00Z"), "2026-01-01T11:00:00Z");
    }
}
