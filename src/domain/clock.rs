//! Time: one instant type, and the clock that hands it out.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds in one second.
const MICROS: i64 = 1_000_000;

/// The same of a day.
const DAY_MICROS: i64 = 86_400 * MICROS;

/// An instant in UTC, exact to the microsecond, which is what both databases
/// keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0001-01-01T00:00:00Z, the first instant of the wire format.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS);
    /// 9999-12-31T23:59:59Z, the last whole second of the wire format.
    pub const MAX: Self = Self(253_402_300_799 * MICROS);

    /// An instant from its microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant some seconds later (earlier if negative), at most
    /// [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        let micros = self.0.saturating_add(seconds.saturating_mul(MICROS));
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds from an earlier instant to this one; negative if it is
    /// later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The day of UTC that it falls into: its first instant, and that of the next.
    #[must_use]
    pub const fn utc_day(self) -> (Self, Self) {
        let day = self.0.div_euclid(DAY_MICROS);
        (Self(day * DAY_MICROS), Self((day + 1) * DAY_MICROS))
    }

    /// The same instant for calendar arithmetic.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// The instant of a calendar date and time, cut to the microsecond.
    #[must_use]
    pub fn from_utc(date_time: DateTime<Utc>) -> Self {
        Self(date_time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many fractional digits as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<Timestamp> for String {
    fn from(instant: Timestamp) -> Self {
        instant.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(&text).map(|instant| Self::from_utc(instant.to_utc()))
    }
}

/// Tells the time. Read once per request; tests hand in their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
            Timestamp::from_utc(Utc::now())
        })
    }

    /// A clock that says what `tell` says.
    pub fn from_fn(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The instant at this moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_rfc_3339_and_come_back() {
        for text in ["1970-01-01T00:00:00Z", "2025-01-15T10:30:15Z", "2025-01-15T10:30:15.000001Z"] {
            let instant = Timestamp::try_from(text.to_owned()).expect("an instant");
            assert_eq!(instant.to_string(), text);
        }
    }

    #[test]
    fn seconds_beyond_the_calendar_stop_at_its_ends() {
        assert_eq!(Timestamp::EPOCH.plus_seconds(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.plus_seconds(i64::MIN), Timestamp::MIN);
    }
}
