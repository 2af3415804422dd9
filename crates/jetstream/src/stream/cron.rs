//! Cron patterns of six fields: second, minute, hour, day of the month, month, day of the week.
//!
//! With a time zone a pattern is due when clocks there show it: a time that they leave out is passed over, one that they
//! show twice is due twice.

use super::zone::Zone;

/// One second, in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// One day, in seconds.
const DAY: i64 = 86_400;
/// How far ahead a pattern may be due, in days: the 29th of February that is a given day of the week comes within 28
/// years, but for the turn of some centuries.
const FARTHEST: i64 = 366 * 40;

struct Field {
    /// Bit n: the value n fits.
    fits: u64,
    /// Written as `*` or `?`, each of them.
    any: bool,
}

struct Cron {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

/// The first time after `after` (ns since 1970) that fits. `None`: the pattern can't be read, or never fits.
pub(super) fn next(pattern: &str, zone: Option<&Zone>, after: i64) -> Option<i64> {
    let cron = Cron::parse(pattern)?;
    let mut at = after.div_euclid(SECOND) + 1;
    let end = at + FARTHEST * DAY;
    while at < end {
        let (offset, until) = zone.map_or((0, end), |zone| zone.offset(at));
        let until = until.min(end);
        if let Some(found) = cron.find(at + offset, until + offset) {
            return (found - offset).checked_mul(SECOND);
        }
        at = until;
    }
    None
}

impl Cron {
    fn parse(pattern: &str) -> Option<Self> {
        let pattern = match pattern {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = pattern.split_ascii_whitespace().collect();
        let [second, minute, hour, day, month, weekday] = fields.as_slice() else { return None };
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        Some(Self {
            second: field(second, 0, 59, &[])?,
            minute: field(minute, 0, 59, &[])?,
            hour: field(hour, 0, 23, &[])?,
            day: field(day, 1, 31, &[])?,
            month: field(month, 1, 12, &months)?,
            weekday: field(weekday, 0, 6, &weekdays)?,
        })
    }

    /// The first time from `from` on, before `end`, that fits: in seconds since 1970 of some clock.
    fn find(&self, from: i64, end: i64) -> Option<i64> {
        let (mut day, mut clock) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        while day * DAY + clock < end {
            let left = (end - day * DAY).min(DAY);
            if self.has_day(day)
                && let Some(found) = (clock..left).find(|at| self.has_clock(*at))
            {
                return Some(day * DAY + found);
            }
            (day, clock) = (day + 1, 0);
        }
        None
    }

    fn has_day(&self, day: i64) -> bool {
        let (_, month, of_month) = crate::stamp::civil(day);
        let (by_day, by_week) = (self.day.has(of_month), self.weekday.has((day + 4).rem_euclid(7)));
        // With both given, either is enough.
        let fits = if self.day.any || self.weekday.any { by_day && by_week } else { by_day || by_week };
        fits && self.month.has(month)
    }

    fn has_clock(&self, at: i64) -> bool {
        self.hour.has(at / 3600) && self.minute.has(at / 60 % 60) && self.second.has(at % 60)
    }
}

impl Field {
    fn has(&self, value: i64) -> bool {
        u32::try_from(value).is_ok_and(|value| value < 64 && self.fits >> value & 1 == 1)
    }
}

fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Option<Field> {
    let (mut fits, mut any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range {
            "*" | "?" => {
                any |= step == 1;
                (low, high)
            }
            _ => match range.split_once('-') {
                Some((from, to)) => (value(from, low, names)?, value(to, low, names)?),
                None => {
                    let only = value(range, low, names)?;
                    (only, if part.contains('/') { high } else { only })
                }
            },
        };
        if from < low || to > high || from > to {
            return None;
        }
        (from..=to).step_by(step as usize).for_each(|value| fits |= 1u64 << value);
    }
    // What nothing fits would be looked for in vain, second by second.
    (fits != 0).then_some(Field { fits, any })
}

fn value(text: &str, low: u32, names: &[&str]) -> Option<u32> {
    match names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(at) => Some(low + u32::try_from(at).ok()?),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    #[test]
    fn the_next_time_is_found() {
        let after = Stamp::parse("2025-11-25T07:09:19.5Z").unwrap().0;
        for (pattern, due) in [
            ("* * * * * *", "2025-11-25T07:09:20Z"),
            ("0 */5 * * * *", "2025-11-25T07:10:00Z"),
            ("0 0 0 1 1 *", "2026-01-01T00:00:00Z"),
            ("@hourly", "2025-11-25T08:00:00Z"),
            ("@weekly", "2025-11-30T00:00:00Z"),
            ("0 30 8-10 * * MON-FRI", "2025-11-25T08:30:00Z"),
            ("0 0 0 29 feb *", "2028-02-29T00:00:00Z"),
            ("0 0 0 13 * fri", "2025-11-28T00:00:00Z"),
            ("0 0 0 */2 * fri", "2025-11-27T00:00:00Z"),
            ("0 0 0 1,* * fri", "2025-11-28T00:00:00Z"),
            ("0 0 ,8,,9 * * *", "2025-11-25T08:00:00Z"),
        ] {
            assert_eq!(
                next(pattern, None, after).map(|due| Stamp(due).to_string()).as_deref(),
                Some(due),
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in
            ["", "* * * * *", "60 * * * * *", "* * * 0 * *", "*/0 * * * * *", "5-1 * * * * *", "x * * * * *"]
        {
            assert_eq!(next(pattern, None, 0), None, "{pattern}");
        }
        assert_eq!(next("0 0 0 30 2 *", None, 0), None);
        assert_eq!(next(", * * * * *", None, 0), None);
    }

    #[test]
    fn clocks_of_a_zone_decide() {
        for (zone, pattern, after, due) in [
            ("America/New_York", "0 0 9 * * *", "2026-01-10T15:00:00Z", "2026-01-11T14:00:00Z"),
            ("America/New_York", "0 0 9 * * *", "2026-07-10T15:00:00Z", "2026-07-11T13:00:00Z"),
            ("Asia/Kathmandu", "@daily", "2026-07-10T15:00:00Z", "2026-07-10T18:15:00Z"),
            // Berlin leaves out 02:30 on the 29th of March, and shows it twice on the 25th of October.
            ("Europe/Berlin", "0 30 2 * * *", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"),
            ("Europe/Berlin", "0 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", "0 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
            ("Europe/Berlin", "0 30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
            ("UTC", "@hourly", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
        ] {
            let zone = Zone::named(zone.as_bytes()).unwrap();
            let found = next(pattern, Some(&zone), Stamp::parse(after).unwrap().0);
            assert_eq!(found.map(|due| Stamp(due).to_string()).as_deref(), Some(due), "{zone:?} {pattern}");
        }
    }
}
