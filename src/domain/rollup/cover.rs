//! Covers: which buckets make up a stretch of time, the coarsest first, and
//! what is left for the events themselves.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::super::clock::Timestamp;

/// How long a bucket is. Every grain is a multiple of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Grain {
    /// Half an hour, so that a day in nearly every time zone is a sum of
    /// buckets.
    HalfHour,
    /// A day of UTC.
    Day,
    /// Sixteen days: long reports read few rows.
    Span,
}

impl Grain {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Its length in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        const HALF_HOUR: i64 = 1_800_000_000;
        match self {
            Self::HalfHour => HALF_HOUR,
            Self::Day => 48 * HALF_HOUR,
            Self::Span => 16 * 48 * HALF_HOUR,
        }
    }

    /// The bucket that an instant falls into, by its first instant.
    #[must_use]
    pub const fn floor(self, instant: Timestamp) -> Timestamp {
        Timestamp::from_micros(instant.micros().div_euclid(self.micros()) * self.micros())
    }

    /// The first bucket that begins at an instant or after it.
    const fn ceil(self, instant: Timestamp) -> Timestamp {
        let floor = self.floor(instant).micros();
        Timestamp::from_micros(if floor == instant.micros() { floor } else { floor + self.micros() })
    }
}

/// Buckets of one grain that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// How long each is.
    pub grain: Grain,
    /// The first one's first instant.
    pub from: Timestamp,
    /// The instant after the last one.
    pub until: Timestamp,
}

/// What makes up some intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Buckets, none of which lies in two intervals.
    pub stretches: Vec<Stretch>,
    /// From each first instant to before the second: shorter than any bucket.
    pub rest: Vec<(Timestamp, Timestamp)>,
}

/// Covers the intervals between borders, each by itself, with buckets of these
/// grains, the finest first.
#[must_use]
pub fn cover(borders: &[Timestamp], grains: &[Grain]) -> Cover {
    let mut found = Cover::default();
    for interval in borders.windows(2) {
        if let [from, until] = interval {
            found.add((*from, *until), grains);
        }
    }
    found.join()
}

impl Cover {
    fn add(&mut self, (from, until): (Timestamp, Timestamp), grains: &[Grain]) {
        if from >= until {
            return;
        }
        let Some((coarsest, finer)) = grains.split_last() else {
            self.rest.push((from, until));
            return;
        };
        let (first, end) = (coarsest.ceil(from), coarsest.floor(until));
        if first >= end {
            return self.add((from, until), finer);
        }
        self.add((from, first), finer);
        self.stretches.push(Stretch { grain: *coarsest, from: first, until: end });
        self.add((end, until), finer);
    }

    /// Joins what follows each other.
    fn join(mut self) -> Self {
        self.stretches.sort_by_key(|stretch| (stretch.grain, stretch.from));
        self.stretches.dedup_by(|next, last| {
            let follows = next.grain == last.grain && next.from == last.until;
            if follows {
                last.until = next.until;
            }
            follows
        });
        self.rest.dedup_by(|next, last| {
            let follows = next.0 == last.1;
            if follows {
                last.1 = next.1;
            }
            follows
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: &[Grain] = &[Grain::HalfHour, Grain::Day, Grain::Span];

    fn at(text: &str) -> Timestamp {
        Timestamp::try_from(text.to_owned()).expect("an instant")
    }

    #[test]
    fn whole_days_are_days_and_others_half_hours() {
        let days = ["2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", "2025-03-03T00:00:00Z"].map(at);
        let stretch = |grain| Stretch { grain, from: days[0], until: days[2] };
        assert_eq!(cover(&days, ALL).stretches, [stretch(Grain::Day)]);
        assert_eq!(cover(&days, &ALL[..1]).stretches, [stretch(Grain::HalfHour)]);
        let berlin = ["2025-02-28T23:00:00Z", "2025-03-01T23:00:00Z"].map(at);
        let found = cover(&berlin, ALL);
        assert_eq!(found.stretches, [Stretch { grain: Grain::HalfHour, from: berlin[0], until: berlin[1] }]);
        assert!(found.rest.is_empty());
    }

    #[test]
    fn what_no_bucket_covers_is_left() {
        let nepal = ["2025-03-08T18:15:00Z", "2025-03-09T18:15:00Z"].map(at);
        let found = cover(&nepal, ALL);
        assert_eq!(found.rest, [(nepal[0], at("2025-03-08T18:30:00Z")), (at("2025-03-09T18:00:00Z"), nepal[1])]);
        assert_eq!(cover(&nepal, &[]).rest, [(nepal[0], nepal[1])]);
    }

    #[test]
    fn a_year_is_few_buckets() {
        let year = ["2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"].map(at);
        let count = |stretch: &Stretch| (stretch.until.micros() - stretch.from.micros()) / stretch.grain.micros();
        let buckets: i64 = cover(&year, ALL).stretches.iter().map(count).sum();
        assert!(buckets <= 22 + 2 * 15, "{buckets}");
    }

    #[test]
    fn buckets_are_floored() {
        for (grain, instant, floor) in [
            (Grain::HalfHour, "2025-01-31T23:59:59.999999Z", "2025-01-31T23:30:00Z"),
            (Grain::HalfHour, "2025-02-01T00:00:00Z", "2025-02-01T00:00:00Z"),
            (Grain::HalfHour, "1969-12-31T23:59:00Z", "1969-12-31T23:30:00Z"),
            (Grain::Day, "2025-01-31T23:59:59.999999Z", "2025-01-31T00:00:00Z"),
            (Grain::Span, "1970-01-16T12:00:00Z", "1970-01-01T00:00:00Z"),
            (Grain::Span, "1970-01-17T00:00:00Z", "1970-01-17T00:00:00Z"),
        ] {
            assert_eq!(grain.floor(at(instant)), at(floor));
        }
    }

    proptest! {
        #[test]
        fn a_cover_is_each_instant_once(mut minutes in prop::collection::vec(0_i64..200_000, 2..8), kept in 0_usize..4) {
            minutes.sort_unstable();
            let borders: Vec<Timestamp> = minutes.iter().map(|minute| Timestamp::from_micros(minute * 60_000_000)).collect();
            let found = cover(&borders, &ALL[..kept]);
            let mut pieces: Vec<(Timestamp, Timestamp)> = found.rest.clone();
            for stretch in &found.stretches {
                prop_assert_eq!(stretch.grain.floor(stretch.from), stretch.from);
                prop_assert_eq!(stretch.grain.floor(stretch.until), stretch.until);
                pieces.push((stretch.from, stretch.until));
            }
            pieces.sort_unstable();
            // Without gap or overlap from the first border to the last.
            let (first, last) = (borders[0], borders[borders.len() - 1]);
            let mut end = first;
            for (from, until) in pieces {
                prop_assert_eq!(from, end);
                end = until;
            }
            prop_assert_eq!(end, last);
            // And no bucket in two intervals: no border inside one.
            for stretch in &found.stretches {
                for border in &borders {
                    let inside = stretch.from < *border && *border < stretch.until;
                    prop_assert!(!inside || stretch.grain.floor(*border) == *border);
                }
            }
        }
    }
}
