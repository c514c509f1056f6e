//! One field of a cron expression: a set of values, and whether it was a star.

use super::cron::{CronError, CronField};

/// The values a field matches, as bits, and whether it is a plain star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    bits: u64,
    /// `*` or `?` without a step: the day fields then do not restrict.
    pub(super) star: bool,
}

impl Values {
    pub(super) fn hold(self, value: i64) -> bool {
        u32::try_from(value)
            .ok()
            .and_then(|value| 1_u64.checked_shl(value))
            .is_some_and(|bit| self.bits & bit != 0)
    }
}

struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

fn bounds(field: CronField) -> Bounds {
    let (least, most, names): (u32, u32, &[&str]) = match field {
        CronField::Minute => (0, 59, &[]),
        CronField::Hour => (0, 23, &[]),
        CronField::DayOfMonth => (1, 31, &[]),
        CronField::Month => (1, 12, &MONTHS),
        CronField::DayOfWeek => (0, 6, &DAYS),
    };
    Bounds { least, most, names }
}

/// Reads a comma-separated list of ranges.
pub(super) fn parse(text: &str, field: CronField) -> Result<Values, CronError> {
    let bounds = bounds(field);
    let mut values = Values { bits: 0, star: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = range(part, field, &bounds)?;
        values.bits |= one.bits;
        values.star |= one.star;
    }
    Ok(values)
}

fn range(text: &str, field: CronField, bounds: &Bounds) -> Result<Values, CronError> {
    let bad = || CronError::NotANumber { field, text: text.to_owned() };
    let mut halves = text.split('/');
    let span = halves.next().ok_or_else(bad)?;
    let step_text = halves.next();
    if halves.next().is_some() {
        return Err(bad());
    }
    let mut ends = span.split('-');
    let first = ends.next().ok_or_else(bad)?;
    let second = ends.next();
    if ends.next().is_some() {
        return Err(bad());
    }

    let every = first == "*" || first == "?";
    let (start, mut end) = if every {
        (bounds.least, bounds.most)
    } else {
        let start = value(first, bounds).ok_or_else(bad)?;
        let end = match second {
            Some(second) => value(second, bounds).ok_or_else(bad)?,
            None => start,
        };
        (start, end)
    };
    let step = match step_text {
        None => 1,
        Some(step) => step.parse::<u32>().map_err(|_not_a_number| bad())?,
    };
    if step == 0 {
        return Err(CronError::ZeroStep { field });
    }
    if step_text.is_some() && !every && second.is_none() {
        end = bounds.most;
    }
    if start < bounds.least || end > bounds.most {
        let (least, most) = (bounds.least, bounds.most);
        return Err(CronError::OutOfRange { field, text: text.to_owned(), least, most });
    }
    if start > end {
        return Err(CronError::Backwards { field, text: text.to_owned() });
    }
    let mut bits = 0;
    let mut at = start;
    while at <= end {
        bits |= 1_u64 << at;
        at = at.saturating_add(step);
    }
    Ok(Values { bits, star: every && step == 1 })
}

fn value(text: &str, bounds: &Bounds) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(index) => Some(u32::try_from(index).ok()? + bounds.least),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}
