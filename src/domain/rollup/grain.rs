//! Grains: how long the buckets are that usage is added up in.

use chrono::{Datelike, Months, NaiveDate, NaiveTime};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::super::clock::Timestamp;

const HALF_HOUR: i64 = 1_800_000_000;

/// How long a bucket is. Buckets of every grain begin where buckets of the one
/// before begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Grain {
    /// Half an hour, so that a day in nearly every time zone is a sum of
    /// buckets.
    HalfHour,
    /// A day of UTC.
    Day,
    /// A month of UTC: what most long reports are about.
    Month,
}

impl Grain {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The bucket that an instant falls into, by its first instant.
    #[must_use]
    pub fn floor(self, instant: Timestamp) -> Timestamp {
        match self {
            Self::HalfHour => floor_to(HALF_HOUR, instant),
            Self::Day => floor_to(48 * HALF_HOUR, instant),
            Self::Month => month_of(instant).map_or(instant, midnight),
        }
    }

    /// The first instant after the bucket that an instant falls into.
    #[must_use]
    pub fn end(self, instant: Timestamp) -> Timestamp {
        let first = self.floor(instant);
        match self {
            Self::HalfHour => Timestamp::from_micros(first.micros() + HALF_HOUR),
            Self::Day => Timestamp::from_micros(first.micros() + 48 * HALF_HOUR),
            Self::Month => {
                month_of(instant).and_then(|day| day.checked_add_months(Months::new(1))).map_or(first, midnight)
            }
        }
    }

    /// The first bucket that begins at an instant or after it.
    #[must_use]
    pub fn ceil(self, instant: Timestamp) -> Timestamp {
        if self.floor(instant) == instant { instant } else { self.end(instant) }
    }
}

fn floor_to(size: i64, instant: Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.micros().div_euclid(size) * size)
}

/// The first day of the month of an instant.
fn month_of(instant: Timestamp) -> Option<NaiveDate> {
    instant.to_utc().date_naive().with_day(1)
}

fn midnight(day: NaiveDate) -> Timestamp {
    Timestamp::from_micros(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::try_from(text.to_owned()).expect("an instant")
    }

    #[test]
    fn an_instant_falls_into_one_bucket_of_each_grain() {
        for (grain, instant, first, end) in [
            (Grain::HalfHour, "2025-01-31T23:59:59.999999Z", "2025-01-31T23:30:00Z", "2025-02-01T00:00:00Z"),
            (Grain::HalfHour, "2025-02-01T00:00:00Z", "2025-02-01T00:00:00Z", "2025-02-01T00:30:00Z"),
            (Grain::HalfHour, "1969-12-31T23:59:00Z", "1969-12-31T23:30:00Z", "1970-01-01T00:00:00Z"),
            (Grain::Day, "2025-01-31T23:59:59.999999Z", "2025-01-31T00:00:00Z", "2025-02-01T00:00:00Z"),
            (Grain::Month, "2025-01-31T23:59:59.999999Z", "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
            (Grain::Month, "2025-12-01T00:00:00Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            (Grain::Month, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Grain::Month, "1969-12-31T12:00:00Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!((grain.floor(at(instant)), grain.end(at(instant))), (at(first), at(end)), "{grain:?} {instant}");
        }
    }
}
