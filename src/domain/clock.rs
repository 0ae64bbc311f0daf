//! Time: one instant type, and the clock that hands it out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds in one second.
const MICROS: i64 = 1_000_000;

/// The same of a day.
const MINUTE_MICROS: i64 = 60_000_000;
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
        self.plus_micros(seconds.saturating_mul(MICROS))
    }

    /// The instant some microseconds later (earlier if negative), within the wire
    /// format.
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds from an earlier instant to this one; negative if it is
    /// later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The minute of UTC that it falls into, counted from 1970.
    #[must_use]
    pub const fn utc_minute(self) -> i64 {
        self.0.div_euclid(MINUTE_MICROS)
    }

    /// The first instant of a minute of UTC.
    #[must_use]
    pub const fn of_utc_minute(minute: i64) -> Self {
        Self(minute * MINUTE_MICROS)
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

/// How far the machine's clock may be off before that is a step: it was set, or
/// everything stood still. Less is drift, which is followed.
const STEP_MICROS: i64 = MICROS / 2;

/// Tells the time. Read once per request; tests hand in their own.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Steady(Arc<Steady>),
    Told(Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

/// The machine's clock as it was, and what has passed since then: it does not jump
/// when the machine's clock is set, until it is told to follow.
struct Steady {
    origin: Instant,
    origin_micros: AtomicI64,
}

impl Steady {
    fn now(&self) -> i64 {
        let passed = i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.origin_micros.load(Ordering::Relaxed).saturating_add(passed)
    }
}

fn machine_now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    Utc::now().timestamp_micros()
}

impl Clock {
    /// The machine's clock, without its steps.
    #[must_use]
    pub fn system() -> Self {
        let origin = Instant::now();
        Self(Source::Steady(Arc::new(Steady { origin, origin_micros: AtomicI64::new(machine_now()) })))
    }

    /// A clock that says what `tell` says.
    pub fn from_fn(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Source::Told(Arc::new(tell)))
    }

    /// Whether it is a machine's, which other machines do not share.
    #[must_use]
    pub const fn is_of_machine(&self) -> bool {
        matches!(self.0, Source::Steady(_))
    }

    /// The instant at this moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Steady(steady) => Timestamp(steady.now()),
            Source::Told(tell) => tell(),
        }
    }

    /// By how many microseconds the machine's clock is ahead of this one; of a
    /// clock that is told, zero.
    #[must_use]
    pub fn behind(&self) -> i64 {
        match &self.0 {
            Source::Steady(steady) => machine_now().saturating_sub(steady.now()),
            Source::Told(_) => 0,
        }
    }

    /// Whether being so much behind is more than drift.
    #[must_use]
    pub const fn is_step(micros: i64) -> bool {
        micros.unsigned_abs() >= STEP_MICROS.unsigned_abs()
    }

    /// Moves on by so many microseconds, or back.
    pub fn follow(&self, micros: i64) {
        if let Source::Steady(steady) = &self.0 {
            steady.origin_micros.fetch_add(micros, Ordering::Relaxed);
        }
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

    #[test]
    fn a_clock_of_the_machine_follows_it_when_it_is_told_to() {
        let clock = Clock::system();
        assert!(clock.is_of_machine() && !Clock::is_step(clock.behind()));
        clock.follow(-3_600 * MICROS);
        let behind = clock.behind();
        assert!(Clock::is_step(behind) && Clock::is_step(-behind));
        clock.follow(behind);
        assert!(!Clock::is_step(clock.behind()));
        let told = Clock::from_fn(|| Timestamp::EPOCH);
        told.follow(MICROS);
        assert_eq!((told.now(), told.behind(), told.is_of_machine()), (Timestamp::EPOCH, 0, false));
    }
}
