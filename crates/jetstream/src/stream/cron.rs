//! Cron patterns of six fields: second, minute, hour, day of the month, month, day of the week. In UTC.

/// One second, in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// How far ahead a pattern may be due, in days: the 29th of February that is a given day of the week comes within 28
/// years, but for the turn of some centuries.
const FARTHEST: i64 = 366 * 40;

struct Field {
    /// Bit n: the value n fits.
    fits: u64,
    /// Written as `*` or `?`.
    any: bool,
}

/// The first time after `after` (ns since 1970) that fits. `None`: the pattern can't be read, or never fits.
pub(super) fn next(pattern: &str, after: i64) -> Option<i64> {
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
    let (second, minute) = (field(second, 0, 59, &[])?, field(minute, 0, 59, &[])?);
    let (hour, day) = (field(hour, 0, 23, &[])?, field(day, 1, 31, &[])?);
    let (month, weekday) = (field(month, 1, 12, &months)?, field(weekday, 0, 6, &weekdays)?);
    let start = after.div_euclid(SECOND) + 1;
    let (mut at_day, mut clock) = (start.div_euclid(86_400), start.rem_euclid(86_400));
    let last = at_day + FARTHEST;
    while at_day <= last {
        let (_, m, d) = crate::stamp::civil(at_day);
        let of_week = (at_day + 4).rem_euclid(7);
        let by_day = day.has(d);
        let by_week = weekday.has(of_week);
        // With both given, either is enough.
        let fits = if day.any || weekday.any { by_day && by_week } else { by_day || by_week };
        if month.has(m)
            && fits
            && let Some(found) = (clock..86_400)
                .find(|at| hour.has(at / 3600) && minute.has(at / 60 % 60) && second.has(at % 60))
        {
            return (at_day * 86_400 + found).checked_mul(SECOND);
        }
        (at_day, clock) = (at_day + 1, 0);
    }
    None
}

impl Field {
    fn has(&self, value: i64) -> bool {
        u32::try_from(value).is_ok_and(|value| value < 64 && self.fits >> value & 1 == 1)
    }
}

fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Option<Field> {
    let mut fits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range {
            "*" | "?" => (low, high),
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
    Some(Field { fits, any: text.starts_with(['*', '?']) })
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
        ] {
            assert_eq!(
                next(pattern, after).map(|due| Stamp(due).to_string()).as_deref(),
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
            assert_eq!(next(pattern, 0), None, "{pattern}");
        }
        assert_eq!(next("0 0 0 30 2 *", 0), None);
    }
}
