//! Parts: usage by day, and each day split by a dimension.

use std::collections::HashMap;

use super::days::interval_of;
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::usage::Metrics;
use crate::store::{Names, UsageFilter};

/// How many parts of a day are shown by one dimension, at most.
pub(crate) const PARTS_MAX: usize = 100;

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

/// What was used in each interval between borders.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn by_interval(ctx: &Ctx, borders: &[Timestamp], filter: &UsageFilter) -> Result<Vec<Metrics>, Error> {
    let mut whole = by_part(ctx, borders, filter, None).await?;
    Ok(whole.iter_mut().map(|parts| parts.remove("").unwrap_or_default()).collect())
}

/// What was used in each interval between borders, by the parts of a
/// dimension.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn by_part(
    ctx: &Ctx,
    borders: &[Timestamp],
    filter: &UsageFilter,
    by: Option<Dimension>,
) -> Result<Vec<HashMap<String, Metrics>>, Error> {
    let mut intervals: Vec<HashMap<String, Metrics>> = vec![HashMap::new(); borders.len().saturating_sub(1)];
    for row in ctx.app.store.view().usage(filter, borders, by).await? {
        let index = interval_of(borders, Timestamp::from_micros(row.at));
        if let Some(parts) = index.and_then(|index| intervals.get_mut(index)) {
            parts.entry(row.slice.clone()).or_default().add(&row);
        }
    }
    Ok(intervals)
}

/// The sum of days.
pub(crate) fn total(days: &[Metrics]) -> Metrics {
    days.iter().fold(Metrics::default(), |mut sum, day| {
        sum.merge(day);
        sum
    })
}

/// Each interval split by a dimension, the largest parts first and by
/// themselves, `most` of them.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn split(
    ctx: &Ctx,
    borders: &[Timestamp],
    filter: &UsageFilter,
    (name, dimension): (pb::SpendDimension, Dimension),
    most: usize,
) -> Result<Vec<pb::SpendBreakdown>, Error> {
    // By tags a call counts under each; whatever else it is asked for by, once.
    let source = if dimension == Dimension::Tag { Source::Tag } else { filter.source };
    let filter = UsageFilter { source, ..filter.clone() };
    let days = by_part(ctx, borders, &filter, Some(dimension)).await?;
    let days: Vec<Parts> = days.into_iter().map(|parts| Parts::rank(parts, most)).collect();
    let mut ids: Vec<String> = days.iter().flat_map(|day| day.shown.iter().map(|(id, _)| id.clone())).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = ctx.app.store.view().names(dimension, &ids).await?;
    Ok(days.into_iter().map(|day| day.into_wire(name, &names)).collect())
}

/// The parts of a day.
struct Parts {
    /// Those that are shown by themselves.
    shown: Vec<(String, Metrics)>,
    /// Those that are not.
    rest: Vec<(String, Metrics)>,
}

impl Parts {
    fn rank(parts: HashMap<String, Metrics>, most: usize) -> Self {
        let mut shown: Vec<(String, Metrics)> = parts.into_iter().collect();
        shown.sort_by(|(left_id, left), (right_id, right)| right.spent.cmp(&left.spent).then(left_id.cmp(right_id)));
        let rest = shown.split_off(shown.len().min(most));
        Self { shown, rest }
    }

    fn into_wire(self, name: pb::SpendDimension, names: &Names) -> pb::SpendBreakdown {
        let rest: Vec<Metrics> = self.rest.into_iter().map(|(_, metrics)| metrics).collect();
        let distinct = self.shown.len() + rest.len();
        let slice = |(id, metrics): (String, Metrics)| {
            let name = names.get(&id).cloned().unwrap_or_default();
            pb::SpendSlice { id, metrics: Some(metrics.to_wire()), alias: name.alias, key_hash: name.key_hash }
        };
        pb::SpendBreakdown {
            dimension: name.into(),
            slices: self.shown.into_iter().map(slice).collect(),
            others: (!rest.is_empty()).then(|| total(&rest).to_wire()),
            distinct: i64::try_from(distinct).unwrap_or(i64::MAX),
        }
    }
}
