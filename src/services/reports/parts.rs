//! Parts: usage by day, and each day split by a dimension.

use std::collections::HashMap;

use super::days::DayRange;
use crate::domain::clock::Timestamp;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::usage::Metrics;
use crate::store::{BucketRow, Names, RollupFilter};

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
        pb::SpendDimension::Unspecified => None,
    }
}

/// What was used on each day of a range.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn by_day(ctx: &Ctx, range: &DayRange, filter: &RollupFilter) -> Result<Vec<Metrics>, Error> {
    let mut days = vec![Metrics::default(); range.days().len()];
    for (day, row) in rows(ctx, range, filter, None).await? {
        if let Some(metrics) = days.get_mut(day) {
            metrics.add(&row);
        }
    }
    Ok(days)
}

/// The sum of days.
pub(crate) fn total(days: &[Metrics]) -> Metrics {
    days.iter().fold(Metrics::default(), |mut sum, day| {
        sum.merge(day);
        sum
    })
}

/// Each day of a range split by a dimension, the largest parts first and by
/// themselves, `most` of them.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn split(
    ctx: &Ctx,
    range: &DayRange,
    filter: &RollupFilter,
    (name, dimension): (pb::SpendDimension, Dimension),
    most: usize,
) -> Result<Vec<pb::SpendBreakdown>, Error> {
    let mut days: Vec<HashMap<String, Metrics>> = vec![HashMap::new(); range.days().len()];
    for (day, row) in rows(ctx, range, filter, Some(dimension)).await? {
        if let Some(parts) = days.get_mut(day) {
            parts.entry(row.slice.clone()).or_default().add(&row);
        }
    }
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

/// The rows of the range, each with the day that it belongs to. Buckets that a
/// day's border cuts through are taken from the events themselves.
async fn rows(
    ctx: &Ctx,
    range: &DayRange,
    filter: &RollupFilter,
    by: Option<Dimension>,
) -> Result<Vec<(usize, BucketRow)>, Error> {
    let (from, until) = range.buckets();
    let filter = RollupFilter { from, until, ..filter.clone() };
    let view = ctx.app.store.view();
    let cut = range.cut_buckets();
    let mut rows = view.usage_by_bucket(&filter, by).await?;
    if !cut.is_empty() {
        rows.retain(|row| !cut.contains(&Timestamp::from_micros(row.bucket_at)));
        rows.extend(view.usage_by_quarter_hour(&filter, &cut, by).await?);
    }
    let place = |row: BucketRow| Some((range.index_of(Timestamp::from_micros(row.bucket_at))?, row));
    Ok(rows.into_iter().filter_map(place).collect())
}
