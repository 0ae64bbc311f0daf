//! Covers: which buckets make up a stretch of time, and what is left for the
//! events themselves.
//!
//! Sums are exact, so that a cover may also take off: the month but for its
//! first two days is two rows off one instead of the sum of twenty-nine, and a
//! day of a zone east of Greenwich is a day of UTC with an hour more at one end
//! and an hour less at the other.

use super::super::clock::Timestamp;
use super::Grain;

/// A stretch of time that is added to an interval, or taken off it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first instant of the interval that it belongs to.
    pub at: Timestamp,
    /// The stretch's first instant.
    pub from: Timestamp,
    /// The instant after it.
    pub until: Timestamp,
    /// 1 if it is added, -1 if it is taken off.
    pub sign: i64,
}

/// What makes up some intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Whole buckets of a grain that follow each other.
    pub buckets: Vec<(Grain, Stretch)>,
    /// What is shorter than any bucket: to be read from the events.
    pub rest: Vec<Stretch>,
}

/// The first instant of an interval, and the one after its last.
pub type Interval = (Timestamp, Timestamp);

/// The intervals between borders.
#[must_use]
pub fn intervals(borders: &[Timestamp]) -> Vec<Interval> {
    borders.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect()
}

/// Covers intervals, each by itself, with buckets of these grains, the finest
/// first: as little of the events as possible, then as few buckets.
#[must_use]
pub fn cover(intervals: &[Interval], grains: &[Grain]) -> Cover {
    let mut found = Cover::default();
    for interval in intervals {
        for Piece { grain, from, until, sign } in plan(*interval, grains).pieces {
            let stretch = Stretch { at: interval.0, from, until, sign };
            match grain {
                Some(grain) => found.buckets.push((grain, stretch)),
                None => found.rest.push(stretch),
            }
        }
    }
    found
}

/// A part of an interval: buckets of a grain, or events.
#[derive(Clone, Copy, Debug)]
struct Piece {
    grain: Option<Grain>,
    from: Timestamp,
    until: Timestamp,
    sign: i64,
}

/// A way to make up an interval.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// How many microseconds of events, and how many buckets are read.
    cost: (i64, i64),
    pieces: Vec<Piece>,
}

impl Plan {
    fn of_events((from, until): Interval) -> Self {
        let pieces = vec![Piece { grain: None, from, until, sign: 1 }];
        Self { cost: (until.micros() - from.micros(), 0), pieces }
    }

    fn of_buckets(grain: Grain, (from, until): Interval) -> Self {
        let count = std::iter::successors(Some(from), |at| Some(grain.end(*at))).take_while(|at| *at < until).count();
        let pieces = vec![Piece { grain: Some(grain), from, until, sign: 1 }];
        Self { cost: (0, i64::try_from(count).unwrap_or(i64::MAX)), pieces }
    }

    fn plus(mut self, more: Self) -> Self {
        self.cost = (self.cost.0 + more.cost.0, self.cost.1.saturating_add(more.cost.1));
        self.pieces.extend(more.pieces);
        self
    }

    fn less(self, mut more: Self) -> Self {
        more.pieces.iter_mut().for_each(|piece| piece.sign = -piece.sign);
        self.plus(more)
    }

    fn or(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }
}

fn plan((from, until): Interval, grains: &[Grain]) -> Plan {
    if from >= until {
        return Plan::default();
    }
    let Some((coarsest, finer)) = grains.split_last() else { return Plan::of_events((from, until)) };
    let (first, end) = (coarsest.ceil(from), coarsest.floor(until));
    if first > end {
        return edge((from, until), *coarsest, finer);
    }
    let mut whole = edge((from, first), *coarsest, finer);
    if first < end {
        whole = whole.plus(Plan::of_buckets(*coarsest, (first, end)));
    }
    whole.plus(edge((end, until), *coarsest, finer))
}

/// A part of one bucket: made of finer ones, or of the bucket without what lies
/// around the part.
fn edge((from, until): Interval, grain: Grain, finer: &[Grain]) -> Plan {
    if from >= until {
        return Plan::default();
    }
    let (start, stop) = (grain.floor(from), grain.end(from));
    let around = plan((start, from), finer).plus(plan((until, stop), finer));
    plan((from, until), finer).or(Plan::of_buckets(grain, (start, stop)).less(around))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use strum::VariantArray;

    use super::*;

    const ALL: &[Grain] = Grain::VARIANTS;

    fn at(text: &str) -> Timestamp {
        Timestamp::try_from(text.to_owned()).expect("an instant")
    }

    /// A cover in words.
    fn words(borders: &[&str], grains: &[Grain]) -> Vec<String> {
        let borders: Vec<Timestamp> = borders.iter().map(|text| at(text)).collect();
        let found = cover(&intervals(&borders), grains);
        let word = |name: &str, it: &Stretch| {
            format!("{}{name} {} {}", if it.sign > 0 { "+" } else { "-" }, it.from, it.until)
                .replace(":00Z", "")
                .replace("T00:00", "")
        };
        let buckets = found.buckets.iter().map(|(grain, stretch)| word(grain.as_str(), stretch));
        buckets.chain(found.rest.iter().map(|stretch| word("events", stretch))).collect()
    }

    #[test]
    fn intervals_are_made_of_few_buckets() {
        let (utc, berlin, nepal) = (
            ["2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"],
            ["2025-02-28T23:00:00Z", "2025-03-01T23:00:00Z"],
            ["2025-03-08T18:15:00Z", "2025-03-09T18:15:00Z"],
        );
        let spring = ["2025-03-03T00:00:00Z", "2025-06-01T00:00:00Z"];
        let fortnight = ["2025-02-24T00:00:00Z", "2025-03-10T00:00:00Z"];
        for (borders, grains, wanted) in [
            (&utc[..], ALL, vec!["+day 2025-03-01 2025-03-02"]),
            (&utc[..], &ALL[..1], vec!["+half_hour 2025-03-01 2025-03-02"]),
            (
                &berlin[..],
                ALL,
                vec![
                    "+half_hour 2025-02-28T23:00 2025-03-01",
                    "+day 2025-03-01 2025-03-02",
                    "-half_hour 2025-03-01T23:00 2025-03-02",
                ],
            ),
            (
                &berlin[..],
                &ALL[1..],
                vec![
                    "+day 2025-03-01 2025-03-02",
                    "+events 2025-02-28T23:00 2025-03-01",
                    "-events 2025-03-01T23:00 2025-03-02",
                ],
            ),
            (
                &spring[..],
                ALL,
                vec!["+month 2025-03-01 2025-04-01", "-day 2025-03-01 2025-03-03", "+month 2025-04-01 2025-06-01"],
            ),
            (&fortnight[..], ALL, vec!["+day 2025-02-24 2025-03-01", "+day 2025-03-01 2025-03-10"]),
            (&nepal[..], &[], vec!["+events 2025-03-08T18:15 2025-03-09T18:15"]),
        ] {
            assert_eq!(words(borders, grains), wanted, "{borders:?} {grains:?}");
        }
        let of_events: Vec<String> = words(&nepal, ALL).into_iter().filter(|piece| piece.contains("events")).collect();
        assert_eq!(of_events.len(), 2, "a quarter of an hour at each end: {of_events:?}");
    }

    #[test]
    fn a_year_is_few_buckets_wherever_it_begins() {
        for day in 1..=28 {
            let year =
                [format!("2025-01-{day:02}T00:00:00Z"), format!("2026-01-{day:02}T00:00:00Z")].map(|text| at(&text));
            let plan = plan((year[0], year[1]), ALL);
            assert!(plan.cost.0 == 0 && plan.cost.1 <= 11 + 2 * 16, "{:?}", plan.cost);
        }
    }

    proptest! {
        /// Every instant of an interval is in it once, every other not at all.
        #[test]
        fn a_cover_is_its_intervals(
            mut quarters in prop::collection::vec(-3_000_i64..20_000, 2..6),
            skipped in 0_usize..4,
            kept in 0_usize..4,
        ) {
            quarters.sort_unstable();
            let instant = |quarter: i64| Timestamp::from_micros(quarter * 900_000_000);
            let borders: Vec<Timestamp> = quarters.iter().map(|quarter| instant(*quarter)).collect();
            let grains: Vec<Grain> = ALL.iter().copied().skip(skipped).take(kept).collect();
            let found = cover(&intervals(&borders), &grains);
            for (grain, stretch) in &found.buckets {
                prop_assert_eq!(grain.floor(stretch.from), stretch.from);
                prop_assert_eq!(grain.floor(stretch.until), stretch.until);
            }
            for interval in borders.windows(2).filter(|interval| interval[0] < interval[1]) {
                // How often each instant is in it changes where a piece begins or ends.
                let mut changes: BTreeMap<Timestamp, i64> = BTreeMap::new();
                let pieces = found.buckets.iter().map(|(_, stretch)| stretch).chain(&found.rest);
                for piece in pieces.filter(|piece| piece.at == interval[0]) {
                    *changes.entry(piece.from).or_default() += piece.sign;
                    *changes.entry(piece.until).or_default() -= piece.sign;
                }
                changes.retain(|_, change| *change != 0);
                prop_assert_eq!(changes, BTreeMap::from([(interval[0], 1), (interval[1], -1)]));
            }
        }
    }
}
