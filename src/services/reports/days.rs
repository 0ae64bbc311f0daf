//! Days: the calendar days of a report, in the time zone asked for.

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;

use crate::domain::clock::Timestamp;
use crate::domain::reason::Reason;
use crate::domain::rollup::Grain;
use crate::domain::usage::MAX_FUTURE_SECONDS;
use crate::domain::window::Calendar;
use crate::services::wire::faults::Faults;
use crate::services::wire::zone;

/// The longest range of a report.
const DAYS_MAX: i64 = 400;
/// How many days a report covers that names none.
const DAYS_DEFAULT: u64 = 30;

/// The days of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DayRange {
    days: Vec<NaiveDate>,
    /// Where each day begins, and after the last one where it ends.
    borders: Vec<Timestamp>,
}

impl DayRange {
    /// Takes the range of a request: both days included, both or neither given.
    pub(crate) fn take(start: &str, end: &str, zone: &str, now: Timestamp, faults: &mut Faults) -> Option<Self> {
        let zone = match zone {
            "" => Tz::UTC,
            name => zone::take("time_zone", name, faults)?,
        };
        let (first, last) = if let ("", "") = (start, end) {
            let today = now.to_utc().with_timezone(&zone).date_naive();
            (today - Days::new(DAYS_DEFAULT - 1), today)
        } else {
            let first = date("start_date", start, faults);
            let last = date("end_date", end, faults);
            (first?, last?)
        };
        if last < first {
            faults.add_named("end_date", Reason::RangeReversed, "must not lie before start_date");
            return None;
        }
        let count = (last - first).num_days() + 1;
        if count > DAYS_MAX {
            faults.add_named(
                "end_date",
                Reason::RangeTooLong,
                format!("must be such that the range has at most {DAYS_MAX} days"),
            );
            return None;
        }
        let calendar = Calendar { zone, ..Calendar::UTC };
        let days: Vec<NaiveDate> = first.iter_days().take(usize::try_from(count).unwrap_or(0)).collect();
        let ends = days.iter().copied().chain([last + Days::new(1)]);
        let borders = ends.map(|day| calendar.day_start_at(day)).collect();
        Some(Self { days, borders })
    }

    /// Takes the range of a request that must have one.
    pub(crate) fn required(start: &str, end: &str, zone: &str, now: Timestamp, faults: &mut Faults) -> Option<Self> {
        if start.is_empty() && end.is_empty() {
            faults.add("start_date", "is required");
            faults.add("end_date", "is required");
            return None;
        }
        Self::take(start, end, zone, now, faults)
    }

    /// Days of it, as a range of their own.
    pub(crate) fn part(&self, from: usize, until: usize) -> Self {
        Self { days: self.days[from..until].to_vec(), borders: self.borders[from..=until].to_vec() }
    }

    /// The days.
    pub(crate) fn days(&self) -> &[NaiveDate] {
        &self.days
    }

    /// Where each day begins, and after the last one where it ends.
    pub(crate) fn borders(&self) -> &[Timestamp] {
        &self.borders
    }

    /// The instants from which and before which it lasts.
    pub(crate) fn ends(&self) -> (Timestamp, Timestamp) {
        let end = |border: Option<&Timestamp>| border.copied().unwrap_or_default();
        (end(self.borders.first()), end(self.borders.last()))
    }

    /// Its days joined to periods: those that follow each other and are the
    /// same by `of`.
    pub(crate) fn periods<K: PartialEq>(&self, of: impl Fn(NaiveDate) -> K) -> Periods {
        let mut periods = Periods { days: Vec::new(), borders: Vec::new() };
        for (day, begins) in self.days.iter().zip(&self.borders) {
            match periods.days.last_mut() {
                Some((first, last)) if of(*first) == of(*day) => *last = *day,
                _ => {
                    periods.days.push((*day, *day));
                    periods.borders.push(*begins);
                }
            }
        }
        periods.borders.extend(self.borders.last());
        periods
    }
}

/// The first instant of a day of UTC in the words of reports.
pub(crate) fn day_of(field: &str, text: &str, faults: &mut Faults) -> Option<Timestamp> {
    let day = date(field, text, faults)?;
    Some(Calendar::UTC.day_start_at(day))
}

/// The day of UTC of an instant in the words of reports.
pub(crate) fn date_of(at: Timestamp) -> String {
    at.to_utc().date_naive().to_string()
}

/// All time, as far as usage may be recorded, in whole months.
pub(crate) fn all_time(now: Timestamp) -> (Timestamp, Timestamp) {
    (Timestamp::EPOCH, Grain::Month.end(now.plus_seconds(2 * MAX_FUTURE_SECONDS)))
}

/// Days that are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Periods {
    /// The first and the last day of each.
    pub(crate) days: Vec<(NaiveDate, NaiveDate)>,
    /// Where each begins, and after the last one where it ends.
    pub(crate) borders: Vec<Timestamp>,
}

fn date(field: &str, text: &str, faults: &mut Faults) -> Option<NaiveDate> {
    if text.is_empty() {
        faults.add(field, "is required, as the other end of the range is given");
        return None;
    }
    let plain = text.len() == 10;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| plain);
    let sensible = date.filter(|date| (1970..=9_998).contains(&chrono::Datelike::year(date)));
    if sensible.is_none() {
        faults.add(field, "must be a day such as 2025-01-31");
    }
    sensible
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_736_937_015_000_000);

    /// In which of the days an instant lies.
    fn interval_of(borders: &[Timestamp], instant: Timestamp) -> Option<usize> {
        borders.windows(2).position(|day| day[0] <= instant && instant < day[1])
    }

    fn range(start: &str, end: &str, zone: &str) -> Result<DayRange, Vec<Reason>> {
        let mut faults = Faults::default();
        let range = DayRange::take(start, end, zone, NOW, &mut faults);
        range.ok_or_else(|| faults.0.into_iter().map(|violation| violation.reason).collect())
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::try_from(text.to_owned()).expect("an instant")
    }

    #[test]
    fn both_ends_are_included() {
        let range = range("2025-01-31", "2025-01-31", "").expect("a range");
        assert_eq!(interval_of(range.borders(), at("2025-01-31T23:59:59.999999Z")), Some(0));
        assert_eq!(interval_of(range.borders(), at("2025-02-01T00:00:00Z")), None);
        assert_eq!(interval_of(range.borders(), at("2025-01-30T23:59:59Z")), None);
    }

    #[test]
    fn without_dates_it_is_the_last_thirty_days() {
        let range = range("", "", "").expect("a range");
        assert_eq!(range.days().len(), 30);
        assert_eq!(range.days().last().map(ToString::to_string), Some("2025-01-15".to_owned()));
    }

    #[test]
    fn days_follow_the_zone_and_its_clock_changes() {
        let range = range("2025-03-09", "2025-03-10", "America/New_York").expect("a range");
        assert_eq!(interval_of(range.borders(), at("2025-03-09T05:00:00Z")), Some(0));
        assert_eq!(interval_of(range.borders(), at("2025-03-10T03:59:59Z")), Some(0));
        assert_eq!(interval_of(range.borders(), at("2025-03-10T04:00:00Z")), Some(1));
        let nepal = super::tests::range("2025-03-09", "2025-03-09", "Asia/Kathmandu").expect("a range");
        assert_eq!(nepal.borders(), [at("2025-03-08T18:15:00Z"), at("2025-03-09T18:15:00Z")]);
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for (start, end, zone, reason) in [
            ("2025-01-02", "2025-01-01", "", Reason::RangeReversed),
            ("2024-01-01", "2025-02-04", "", Reason::RangeTooLong),
            ("2025-02-30", "2025-03-01", "", Reason::FieldInvalid),
            ("2025-1-1", "2025-03-01", "", Reason::FieldInvalid),
            ("yesterday", "2025-03-01", "", Reason::FieldInvalid),
            ("2025-01-01", "", "", Reason::FieldInvalid),
            ("", "2025-01-01", "", Reason::FieldInvalid),
            ("2025-01-01", "2025-01-01", "Mars", Reason::FieldInvalid),
            ("0001-01-01", "2025-01-01", "", Reason::FieldInvalid),
        ] {
            assert_eq!(range(start, end, zone), Err(vec![reason]), "{start} {end} {zone}");
        }
        assert_eq!(range("2024-01-01", "2025-02-03", "").expect("400 days").days().len(), 400);
    }
}
