//! Windows: how long a budget counts before it starts again at zero.
//!
//! Windows are computed, never reset: a pure function of the length, the
//! anchor, the calendar and the instant names the window that an instant falls
//! into. Source of the rules: the table of borders in `ARCHITECTURE.md`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

const SECOND: i64 = 1;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The unit of a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// The unit's spellings: the one that is printed first.
    const SPELLINGS: [(&'static str, Unit); 9] = [
        ("s", Unit::Second),
        ("m", Unit::Minute),
        ("h", Unit::Hour),
        ("d", Unit::Day),
        ("w", Unit::Week),
        ("mo", Unit::Month),
        ("y", Unit::Year),
        ("min", Unit::Minute),
        ("hr", Unit::Hour),
    ];

    /// Its seconds: those of 30 days for a month, of 365 for a year.
    const fn nominal_seconds(self) -> i64 {
        match self {
            Unit::Second => SECOND,
            Unit::Minute => MINUTE,
            Unit::Hour => HOUR,
            Unit::Day => DAY,
            Unit::Week => 7 * DAY,
            Unit::Month => 30 * DAY,
            Unit::Year => 365 * DAY,
        }
    }

    /// How many of it make 100 years, which is the longest length.
    const fn most(self) -> u32 {
        match self {
            Unit::Second => 3_155_760_000,
            Unit::Minute => 52_596_000,
            Unit::Hour => 876_600,
            Unit::Day => 36_525,
            Unit::Week => 5_217,
            Unit::Month => 1_200,
            Unit::Year => 100,
        }
    }
}

/// A length of time as people write it: `30s 15m 12h 7d 2w 1mo 1y`. At least
/// one unit, at most 100 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Length {
    count: u32,
    unit: Unit,
}

/// Text that is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number and a unit (s, m, h, d, w, mo, y) such as \"30d\", at least 1 and at most 100 years")]
pub struct ParseLengthError;

impl FromStr for Length {
    type Err = ParseLengthError;

    /// Parses `^[1-9][0-9]*(s|m|min|h|hr|d|w|mo|y)$`.
    fn from_str(text: &str) -> Result<Self, ParseLengthError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        if count.starts_with('0') {
            return Err(ParseLengthError);
        }
        let count: u32 = count.parse().map_err(|_| ParseLengthError)?;
        let spelled = Unit::SPELLINGS.iter().find(|(spelling, _)| *spelling == unit);
        let unit = spelled.map(|(_, unit)| *unit).ok_or(ParseLengthError)?;
        if count <= unit.most() { Ok(Self { count, unit }) } else { Err(ParseLengthError) }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spelling = Unit::SPELLINGS.iter().find(|(_, unit)| *unit == self.unit);
        write!(f, "{}{}", self.count, spelling.map_or("", |(spelling, _)| spelling))
    }
}

impl From<Length> for String {
    fn from(length: Length) -> Self {
        length.to_string()
    }
}

impl TryFrom<String> for Length {
    type Error = ParseLengthError;

    fn try_from(text: String) -> Result<Self, ParseLengthError> {
        text.parse()
    }
}

impl Length {
    /// Its seconds, with months of 30 and years of 365 days: for comparing
    /// lengths with each other.
    #[must_use]
    pub const fn nominal_seconds(self) -> i64 {
        // At most 100 years: far inside an i64.
        self.count as i64 * self.unit.nominal_seconds()
    }

    /// The instant this long after another. Months and years are calendar
    /// units in UTC: 31 January and a month is the last day of February.
    #[must_use]
    pub fn after(self, instant: Timestamp) -> Timestamp {
        let months = match self.unit {
            Unit::Month => self.count,
            Unit::Year => self.count.saturating_mul(12),
            _ => return instant.plus_seconds(self.nominal_seconds()),
        };
        instant.to_utc().checked_add_months(Months::new(months)).map_or(Timestamp::MAX, Timestamp::from_utc)
    }

    /// Which borders separate the windows of this length.
    const fn rule(self) -> Rule {
        let n = self.count as i64;
        match self.unit {
            Unit::Day if n == 30 => Rule::Months(1),
            Unit::Month => Rule::Months(n),
            Unit::Year => Rule::Years(n),
            Unit::Day if n == 7 => Rule::Mondays,
            Unit::Week if n == 1 => Rule::Mondays,
            Unit::Day => Rule::Days(n),
            Unit::Week => Rule::Days(7 * n),
            Unit::Second | Unit::Minute | Unit::Hour => {
                let unit = self.unit.nominal_seconds();
                let seconds = n * unit;
                if seconds % DAY == 0 {
                    Rule::Days(seconds / DAY)
                } else if DAY % seconds == 0 {
                    Rule::DayParts(seconds)
                } else {
                    Rule::Elapsed { seconds, unit }
                }
            }
        }
    }
}

/// Where the borders between windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The start of every n-th day, counted from the anchor's day.
    Days(i64),
    /// The start of every Monday.
    Mondays,
    /// The start of the first of every n-th month, counted from the anchor's.
    Months(i64),
    /// The start of every n-th fiscal year, counted from the anchor's.
    Years(i64),
    /// Every n elapsed seconds from the start of each day; the last part of a
    /// day ends with the day.
    DayParts(i64),
    /// Every n elapsed seconds from the anchor, floored to the unit, without
    /// regard to the calendar.
    Elapsed { seconds: i64, unit: i64 },
}

/// The day on which fiscal years begin: one that every year has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct YearStart {
    month: u32,
    day: u32,
}

/// Text that is no such day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the month and day on which a fiscal year begins, such as \"04-01\", and one that every year has")]
pub struct ParseYearStartError;

impl YearStart {
    /// 1 January.
    pub const JANUARY: Self = Self { month: 1, day: 1 };

    /// The fiscal year that a day belongs to, by the year in which it began.
    fn year_of(self, day: NaiveDate) -> i64 {
        let has_begun = (day.month(), day.day()) >= (self.month, self.day);
        i64::from(day.year()) - i64::from(!has_begun)
    }

    /// The first day of a fiscal year.
    fn of_year(self, year: i64) -> NaiveDate {
        let year = i32::try_from(year).unwrap_or(i32::MAX);
        NaiveDate::from_ymd_opt(year, self.month, self.day).unwrap_or(NaiveDate::MAX)
    }
}

impl FromStr for YearStart {
    type Err = ParseYearStartError;

    fn from_str(text: &str) -> Result<Self, ParseYearStartError> {
        // A year without a leap day.
        let day: NaiveDate = format!("2001-{text}").parse().map_err(|_| ParseYearStartError)?;
        if text.len() == 5 { Ok(Self { month: day.month(), day: day.day() }) } else { Err(ParseYearStartError) }
    }
}

/// The calendar that budgets follow: a time zone, the hour at which a day begins
/// in it, and the day on which a year does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The time zone.
    pub zone: Tz,
    /// The local time at which a day begins.
    pub day_start: NaiveTime,
    /// The day on which a fiscal year begins.
    pub year_start: YearStart,
}

impl Calendar {
    /// UTC, days that begin at midnight, years that begin in January.
    pub const UTC: Self = Self { zone: Tz::UTC, day_start: NaiveTime::MIN, year_start: YearStart::JANUARY };

    /// The instant at which a day begins. A local time that does not exist is
    /// the first instant after the gap; one that occurs twice is the earlier.
    fn start_of(&self, day: NaiveDate) -> DateTime<Utc> {
        let mut local = day.and_time(self.day_start);
        loop {
            if let Some(start) = self.zone.from_local_datetime(&local).earliest() {
                return start.to_utc();
            }
            // Gaps begin and end on whole minutes and last a day at most.
            local += TimeDelta::minutes(1);
        }
    }

    /// The instant at which a day begins.
    #[must_use]
    pub fn day_start_at(&self, day: NaiveDate) -> Timestamp {
        Timestamp::from_utc(self.start_of(day))
    }

    /// The day that an instant belongs to: the last one that has begun.
    fn day_of(&self, instant: DateTime<Utc>) -> NaiveDate {
        let mut day = instant.with_timezone(&self.zone).date_naive() + Days::new(1);
        while self.start_of(day) > instant {
            day = day - Days::new(1);
        }
        day
    }

    /// The instants at which two days begin.
    fn span(&self, start: NaiveDate, end: NaiveDate) -> (Timestamp, Timestamp) {
        (Timestamp::from_utc(self.start_of(start)), Timestamp::from_utc(self.start_of(end)))
    }

    /// The part of a day around `now`; the last one ends with the day.
    fn part_of_day(&self, day: NaiveDate, seconds: i64, now: Timestamp) -> (Timestamp, Timestamp) {
        let (day_start, day_end) = self.span(day, day + Days::new(1));
        let length = seconds * 1_000_000;
        let start = day_start.micros() + now.micros_since(day_start).div_euclid(length) * length;
        let end = day_end.min(Timestamp::from_micros(start + length));
        (Timestamp::from_micros(start), end)
    }
}

/// A stretch of time in which spend adds up: from `start`, included, to `end`,
/// excluded; without an end for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first instant. [`Timestamp::EPOCH`]: since the account exists.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Option<Timestamp>,
}

impl Window {
    /// All time: the window in which lifetime spend adds up.
    pub const LIFETIME: Self = Self { start: Timestamp::EPOCH, end: None };

    /// Whether an instant falls into the window.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && self.end.is_none_or(|end| instant < end)
    }
}

/// The window in which an instant falls.
///
/// `anchor` is the instant at which the length was set: the first window
/// begins there and not at the border before it, so that a new length starts
/// at zero. Without a length there is one open window from the anchor on.
#[must_use]
pub fn current(length: Option<Length>, anchor: Timestamp, calendar: &Calendar, now: Timestamp) -> Window {
    // A clock that stepped back behind the anchor is still in its first window.
    let now = now.max(anchor);
    match length {
        None => Window { start: anchor, end: None },
        Some(length) => {
            let (start, end) = borders(length.rule(), anchor, calendar, now);
            Window { start: start.max(anchor), end: Some(end) }
        }
    }
}

/// The last border at or before `now`, and the first after it.
fn borders(rule: Rule, anchor: Timestamp, calendar: &Calendar, now: Timestamp) -> (Timestamp, Timestamp) {
    let first = || calendar.day_of(anchor.to_utc());
    let today = || calendar.day_of(now.to_utc());
    match rule {
        Rule::Elapsed { seconds, unit } => elapsed(seconds, unit, anchor, now),
        Rule::DayParts(seconds) => calendar.part_of_day(today(), seconds, now),
        Rule::Days(n) => {
            let (first, today) = (first(), today());
            let elapsed = (today - first).num_days().div_euclid(n) * n;
            calendar.span(first + TimeDelta::days(elapsed), first + TimeDelta::days(elapsed + n))
        }
        Rule::Mondays => {
            let today = today();
            let monday = today - Days::new(u64::from(today.weekday().num_days_from_monday()));
            calendar.span(monday, monday + Days::new(7))
        }
        Rule::Months(n) => {
            let (start, end) = every_months(first(), today(), n);
            calendar.span(start, end)
        }
        Rule::Years(n) => {
            let begins = calendar.year_start;
            let (first, today) = (begins.year_of(first()), begins.year_of(today()));
            let start = first + (today - first).div_euclid(n) * n;
            calendar.span(begins.of_year(start), begins.of_year(start + n))
        }
    }
}

/// The borders around `now` that lie whole lengths after the anchor, which is
/// floored to its unit.
fn elapsed(seconds: i64, unit: i64, anchor: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    let (length, unit) = (seconds * 1_000_000, unit * 1_000_000);
    let base = anchor.micros().div_euclid(unit) * unit;
    let start = base + (now.micros() - base).div_euclid(length) * length;
    (Timestamp::from_micros(start), Timestamp::from_micros(start + length))
}

/// The first days of the n-month period around `today`, in the series that
/// begins with the month of `first`.
fn every_months(first: NaiveDate, today: NaiveDate, n: i64) -> (NaiveDate, NaiveDate) {
    let index = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
    let start = index(first) + (index(today) - index(first)).div_euclid(n) * n;
    (first_of_month(start), first_of_month(start + n))
}

/// The first day of a month that is counted from year 0.
fn first_of_month(index: i64) -> NaiveDate {
    let year = i32::try_from(index.div_euclid(12)).unwrap_or(i32::MAX);
    let month0 = u32::try_from(index.rem_euclid(12)).unwrap_or(0);
    NaiveDate::from_ymd_opt(year, month0 + 1, 1).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests;
