//! Parts: usage by day, and each day split by a dimension.

use std::collections::HashMap;

use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Metrics;
use crate::store::{Names, Ranking, UsageFilter, View};

/// How many parts of a day are shown by one dimension, at most.
pub(crate) const PARTS_MAX: usize = 100;

/// And if the request says nothing.
const PARTS_DEFAULT: usize = 20;

/// Takes how many parts of each day are asked for.
pub(crate) fn top(field: &str, asked: Option<i32>, faults: &mut Faults) -> usize {
    match asked.map(usize::try_from) {
        None => PARTS_DEFAULT,
        Some(Ok(count @ 1..=PARTS_MAX)) => count,
        Some(_) => {
            faults.add(field, format!("must be 1-{PARTS_MAX}"));
            PARTS_DEFAULT
        }
    }
}

/// The dimension with a name; `None` if the name says nothing.
pub(crate) const fn dimension_of(name: pb::SpendDimension) -> Option<Dimension> {
    match name {
        pb::SpendDimension::Key => Some(Dimension::Key),
        pb::SpendDimension::User => Some(Dimension::User),
        pb::SpendDimension::Team => Some(Dimension::Team),
        pb::SpendDimension::Organization => Some(Dimension::Organization),
        pb::SpendDimension::Model => Some(Dimension::Model),
        pb::SpendDimension::Provider => Some(Dimension::Provider),
        pb::SpendDimension::Customer => Some(Dimension::Customer),
        pb::SpendDimension::Tag => Some(Dimension::Tag),
        pb::SpendDimension::ModelGroup => Some(Dimension::ModelGroup),
        pb::SpendDimension::Unspecified => None,
    }
}

/// The interval between borders that begins at an instant, in microseconds.
fn interval_of(borders: &[Timestamp], at: i64) -> Option<usize> {
    // Of two that begin at once the first has no time in it.
    let after = borders.partition_point(|border| border.micros() <= at);
    (1..borders.len()).contains(&after).then(|| after - 1)
}

/// What was used in each interval between borders.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn by_interval(
    view: &View<'_>,
    borders: &[Timestamp],
    filter: &UsageFilter,
) -> Result<Vec<Metrics>, Error> {
    let mut whole = by_part(view, borders, filter, None).await?;
    Ok(whole.iter_mut().map(|parts| parts.remove("").unwrap_or_default()).collect())
}

/// What was used in each interval between borders, by the parts of a
/// dimension.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn by_part(
    view: &View<'_>,
    borders: &[Timestamp],
    filter: &UsageFilter,
    by: Option<Dimension>,
) -> Result<Vec<HashMap<String, Metrics>>, Error> {
    let mut intervals: Vec<HashMap<String, Metrics>> = vec![HashMap::new(); borders.len().saturating_sub(1)];
    for row in view.usage(filter, borders, by).await? {
        if let Some(parts) = interval_of(borders, row.at).and_then(|index| intervals.get_mut(index)) {
            parts.insert(row.slice.clone(), Metrics::from(&row));
        }
    }
    Ok(intervals)
}

/// The sum of days.
pub(crate) fn total(days: &[Metrics]) -> Metrics {
    sum(days.iter())
}

fn sum<'a>(parts: impl Iterator<Item = &'a Metrics>) -> Metrics {
    parts.fold(Metrics::default(), |mut sum, part| {
        sum.merge(part);
        sum
    })
}

/// Intervals split by a dimension.
pub(crate) struct Split {
    /// The parts of each.
    pub(crate) breakdowns: Vec<pb::SpendBreakdown>,
    /// What each adds up to; `None` by tags, under each of which a call counts.
    pub(crate) whole: Option<Vec<Metrics>>,
}

/// What was used in each interval: what some split of them adds up to, if there
/// is one that tells.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn whole(
    view: &View<'_>,
    borders: &[Timestamp],
    filter: &UsageFilter,
    splits: &[Split],
) -> Result<Vec<Metrics>, Error> {
    match splits.iter().find_map(|split| split.whole.clone()) {
        Some(whole) => Ok(whole),
        None => by_interval(view, borders, filter).await,
    }
}

/// Each interval split by a dimension, the largest parts first and by
/// themselves, `most` of them.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn split(
    view: &View<'_>,
    borders: &[Timestamp],
    filter: &UsageFilter,
    (name, dimension): (pb::SpendDimension, Dimension),
    most: usize,
) -> Result<Split, Error> {
    // By tags a call counts under each; whatever else it is asked for by, once.
    let source = if dimension == Dimension::Tag { Source::Tag } else { filter.source };
    let filter = UsageFilter { source, ..filter.clone() };
    let mut intervals: Vec<Parts> = vec![Parts::default(); borders.len().saturating_sub(1)];
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    for ranking in view.ranked_usage(&filter, borders, dimension, most).await? {
        if let Some(interval) = interval_of(borders, ranking.at).and_then(|index| intervals.get_mut(index)) {
            *interval = ranking.into();
        }
    }
    let mut ids: Vec<String> = intervals.iter().flat_map(|of| of.shown.iter().map(|(id, _)| id.clone())).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = view.names(dimension, &ids).await?;
    let whole = (source != Source::Tag).then(|| intervals.iter().map(Parts::whole).collect());
    Ok(Split { breakdowns: intervals.into_iter().map(|interval| interval.into_wire(name, &names)).collect(), whole })
}

/// The parts of an interval.
#[derive(Clone, Debug, Default)]
struct Parts {
    /// Those that are shown by themselves.
    shown: Vec<(String, Metrics)>,
    /// The sum of those that are not.
    others: Option<Metrics>,
    /// How many there are.
    distinct: i64,
}

impl From<Ranking> for Parts {
    fn from(ranking: Ranking) -> Self {
        let Ranking { parts: distinct, largest, whole, .. } = ranking;
        let shown: Vec<(String, Metrics)> =
            largest.into_iter().map(|row| (row.slice.clone(), Metrics::from(&row))).collect();
        let without_shown = |whole| shown.iter().fold(Metrics::from(&whole), |rest, (_, part)| rest.without(part));
        let others = whole.map(without_shown);
        Self { shown, others, distinct }
    }
}

impl Parts {
    fn whole(&self) -> Metrics {
        sum(self.shown.iter().map(|(_, part)| part).chain(&self.others))
    }

    fn into_wire(self, name: pb::SpendDimension, names: &Names) -> pb::SpendBreakdown {
        let slice = |(id, metrics): (String, Metrics)| {
            let name = names.get(&id).cloned().unwrap_or_default();
            pb::SpendSlice { id, metrics: Some(metrics.to_wire()), alias: name.alias, key_hash: name.key_hash }
        };
        pb::SpendBreakdown {
            dimension: name.into(),
            slices: self.shown.into_iter().map(slice).collect(),
            others: self.others.map(Metrics::to_wire),
            distinct: self.distinct,
        }
    }
}
