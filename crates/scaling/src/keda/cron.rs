//! Cron expressions of five fields, and their next moment in a time zone.
//!
//! Follows `robfig/cron` v3, KEDA's library, field by field and across daylight saving: a moment
//! that the clock skips is skipped (not made up for), one that comes twice comes twice, a day whose
//! midnight does not exist can be missed, and day-of-month and day-of-week are joined by *or* when both are restricted.
//! Only the five-field form is read, as KEDA does; `@daily` and seven for Sunday are refused.

use std::fmt;

use super::cron_field::{Values, parse};
use super::zone::Zone;
use crate::moment::Moment;

/// A parsed expression. `Display` gives the text it was read from, with single spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minute: Values,
    hour: Values,
    day_of_month: Values,
    month: Values,
    day_of_week: Values,
}

/// A field of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronField {
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31.
    DayOfMonth,
    /// 1–12 or JAN–DEC.
    Month,
    /// 0–6 or SUN–SAT; Sunday is 0 only.
    DayOfWeek,
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CronField::Minute => "minute",
            CronField::Hour => "hour",
            CronField::DayOfMonth => "day of month",
            CronField::Month => "month",
            CronField::DayOfWeek => "day of week",
        })
    }
}

/// Why a text is not a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("{found} fields where five are needed: minute, hour, day of month, month, day of week")]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A part is neither number, name, range nor star.
    #[error("{field}: {text:?} is not a number, name or range")]
    NotANumber {
        /// Where.
        field: CronField,
        /// The part.
        text: String,
    },
    /// A value outside the field's range.
    #[error("{field}: {text:?} is outside {least}–{most}")]
    OutOfRange {
        /// Where.
        field: CronField,
        /// The part.
        text: String,
        /// The smallest value.
        least: u32,
        /// The largest value.
        most: u32,
    },
    /// A range that ends before it starts.
    #[error("{field}: {text:?} ends before it starts")]
    Backwards {
        /// Where.
        field: CronField,
        /// The part.
        text: String,
    },
    /// A step of 0.
    #[error("{field}: a step must be at least 1")]
    ZeroStep {
        /// Where.
        field: CronField,
    },
}

/// Years after which the search gives up; no expression needs more, except one that never matches.
const SEARCH_YEARS: i64 = 5;

impl Cron {
    /// Reads five fields separated by blanks.
    ///
    /// # Errors
    /// The first field that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(CronError::FieldCount { found: fields.len() });
        };
        Ok(Cron {
            text: fields.join(" "),
            minute: parse(minute, CronField::Minute)?,
            hour: parse(hour, CronField::Hour)?,
            day_of_month: parse(day_of_month, CronField::DayOfMonth)?,
            month: parse(month, CronField::Month)?,
            day_of_week: parse(day_of_week, CronField::DayOfWeek)?,
        })
    }

    /// The first matching second strictly after the second of `after`; `None` if none lies within
    /// five years.
    #[must_use]
    pub fn next(&self, zone: &Zone, after: Moment) -> Option<Moment> {
        let start = after.millis().div_euclid(1000).checked_add(1)?;
        let mut clock = Clock::new(zone, start);
        let last_year = clock.wall.year() + SEARCH_YEARS;
        // Whether a field was moved; the smaller ones then start from their beginning.
        let mut moved = false;
        'wrapped: loop {
            if clock.wall.year() > last_year {
                return None;
            }
            while !self.month.hold(clock.wall.month()) {
                if !moved {
                    moved = true;
                    clock.set(clock.wall.start_of_month());
                }
                clock.set(clock.wall.plus_month());
                if clock.wall.month() == 1 {
                    continue 'wrapped;
                }
            }
            while !self.day_matches(clock.wall) {
                if !moved {
                    moved = true;
                    clock.set(clock.wall.start_of_day());
                }
                clock.set(clock.wall.plus_day());
                // Midnight may not exist.
                match clock.wall.hour() {
                    0 => {}
                    hour if hour > 12 => clock.add((24 - hour) * 3600),
                    hour => clock.add(-hour * 3600),
                }
                if clock.wall.day() == 1 {
                    continue 'wrapped;
                }
            }
            while !self.hour.hold(clock.wall.hour()) {
                if !moved {
                    moved = true;
                    clock.set(clock.wall.start_of_hour());
                }
                clock.add(3600);
                if clock.wall.hour() == 0 {
                    continue 'wrapped;
                }
            }
            while !self.minute.hold(clock.wall.minute()) {
                if !moved {
                    moved = true;
                    clock.truncate(60);
                }
                clock.add(60);
                if clock.wall.minute() == 0 {
                    continue 'wrapped;
                }
            }
            // The expression has no seconds: it means second 0.
            while clock.wall.second() != 0 {
                moved = true;
                clock.add(1);
                if clock.wall.second() == 0 {
                    continue 'wrapped;
                }
            }
            return Some(Moment::from_millis(clock.utc.saturating_mul(1000)));
        }
    }

    fn day_matches(&self, wall: Wall) -> bool {
        let by_month = self.day_of_month.hold(wall.day());
        let by_week = self.day_of_week.hold(wall.day_of_week());
        if self.day_of_month.star || self.day_of_week.star {
            by_month && by_week
        } else {
            by_month || by_week
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A moment with its wall clock reading.
struct Clock<'a> {
    zone: &'a Zone,
    utc: i64,
    wall: Wall,
}

impl<'a> Clock<'a> {
    fn new(zone: &'a Zone, utc: i64) -> Self {
        Clock { zone, utc, wall: Wall(utc.saturating_add(zone.offset_at(utc))) }
    }

    fn set(&mut self, wall: Wall) {
        *self = Clock::new(self.zone, self.zone.utc_of_wall(wall.0));
    }

    fn add(&mut self, seconds: i64) {
        *self = Clock::new(self.zone, self.utc.saturating_add(seconds));
    }

    fn truncate(&mut self, unit: i64) {
        *self = Clock::new(self.zone, self.utc - self.utc.rem_euclid(unit));
    }
}

/// A wall clock reading: seconds since the epoch as if the zone were UTC.
#[derive(Clone, Copy)]
struct Wall(i64);

const DAY: i64 = 86_400;

impl Wall {
    fn hour(self) -> i64 {
        self.0.rem_euclid(DAY) / 3600
    }

    fn minute(self) -> i64 {
        self.0.rem_euclid(3600) / 60
    }

    fn second(self) -> i64 {
        self.0.rem_euclid(60)
    }

    /// 0 is Sunday; 1970-01-01 was a Thursday.
    fn day_of_week(self) -> i64 {
        (self.0.div_euclid(DAY) + 4).rem_euclid(7)
    }

    fn year(self) -> i64 {
        self.date().0
    }

    fn month(self) -> i64 {
        self.date().1
    }

    fn day(self) -> i64 {
        self.date().2
    }

    fn start_of_hour(self) -> Self {
        Wall(self.0 - self.0.rem_euclid(3600))
    }

    fn start_of_day(self) -> Self {
        Wall(self.0 - self.0.rem_euclid(DAY))
    }

    fn start_of_month(self) -> Self {
        let (year, month, _) = self.date();
        Wall(days_of(year, month, 1) * DAY)
    }

    fn plus_day(self) -> Self {
        Wall(self.0 + DAY)
    }

    /// The same day of the next month; only called on the first of one.
    fn plus_month(self) -> Self {
        let (year, month, day) = self.date();
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        Wall(days_of(year, month, day) * DAY + self.0.rem_euclid(DAY))
    }

    /// Year, month and day of the proleptic Gregorian calendar.
    fn date(self) -> (i64, i64, i64) {
        let shifted = self.0.div_euclid(DAY) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

/// Days from the epoch to a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, zone: &str, after: &str) -> String {
        let zone = Zone::named(zone).expect("bundled");
        let after: jiff::Timestamp = after.parse().expect("a time");
        let cron = Cron::parse(text).expect("an expression");
        match cron.next(&zone, Moment::from_millis(after.as_millisecond())) {
            Some(at) => at.to_string(),
            None => "never".into(),
        }
    }

    #[test]
    fn a_weekday_morning_is_found_in_its_own_zone() {
        assert_eq!(next("0 8 * * 1-5", "Europe/Berlin", "2026-01-09T12:00:00Z"), "2026-01-12T07:00:00Z");
        assert_eq!(next("0 8 * * MON-FRI", "Europe/Berlin", "2026-07-10T12:00:00Z"), "2026-07-13T06:00:00Z");
    }

    #[test]
    fn the_matching_second_itself_is_not_next() {
        assert_eq!(next("*/15 * * * *", "UTC", "2026-01-01T00:15:00Z"), "2026-01-01T00:30:00Z");
        assert_eq!(next("*/15 * * * *", "UTC", "2026-01-01T00:14:59.999Z"), "2026-01-01T00:15:00Z");
    }

    #[test]
    fn a_moment_that_the_clock_skips_is_skipped() {
        // Berlin goes from 02:00 to 03:00 on 2026-03-29.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn a_moment_that_comes_twice_comes_twice() {
        // Berlin goes from 03:00 back to 02:00 on 2026-10-25.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn a_day_without_midnight_is_found_west_and_missed_east_of_greenwich_as_upstream_does() {
        // São Paulo skipped from 00:00 to 01:00 on 2018-11-04, Cairo on 2023-04-28.
        assert_eq!(next("0 5 4 11 *", "America/Sao_Paulo", "2018-11-01T00:00:00Z"), "2018-11-04T07:00:00Z");
        assert_eq!(next("0 5 28 4 *", "Africa/Cairo", "2023-04-01T00:00:00Z"), "2024-04-28T02:00:00Z");
    }

    #[test]
    fn restricted_day_fields_are_joined_by_or() {
        assert_eq!(next("0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z"), "2026-01-02T00:00:00Z");
        assert_eq!(next("0 0 13 * *", "UTC", "2026-01-01T00:00:00Z"), "2026-01-13T00:00:00Z");
        // A step loses the star: this restricts.
        assert_eq!(next("0 0 */31 * 5", "UTC", "2026-01-03T00:00:00Z"), "2026-01-09T00:00:00Z");
    }

    #[test]
    fn the_29th_of_february_waits_for_a_leap_year() {
        assert_eq!(next("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00Z");
        assert_eq!(next("0 0 31 2 *", "UTC", "2026-01-01T00:00:00Z"), "never");
    }

    #[test]
    fn errors_name_the_field() {
        let error = |text| Cron::parse(text).expect_err("bad").to_string();
        insta::assert_snapshot!(
            [
                error("* * * *"),
                error("60 * * * *"),
                error("* * * * 7"),
                error("* 5-3 * * *"),
                error("* */0 * * *"),
                error("* * * foo *"),
                error("@daily"),
            ]
            .join("\n"),
            @r#"
        4 fields where five are needed: minute, hour, day of month, month, day of week
        minute: "60" is outside 0–59
        day of week: "7" is outside 0–6
        hour: "5-3" ends before it starts
        hour: a step must be at least 1
        month: "foo" is not a number, name or range
        1 fields where five are needed: minute, hour, day of month, month, day of week
        "#
        );
    }

    #[test]
    fn extreme_moments_do_not_panic() {
        let zone = Zone::named("Pacific/Apia").expect("bundled");
        let cron = Cron::parse("0 0 1 1 *").expect("an expression");
        for millis in [i64::MIN, i64::MAX, -62_135_596_800_000, 253_402_300_799_000] {
            let _next = cron.next(&zone, Moment::from_millis(millis));
        }
    }
}
