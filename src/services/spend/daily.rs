//! `GetDailySpend`: spend and usage by day, from rollups.

use std::collections::HashMap;

use crate::domain::clock::Timestamp;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Metrics;
use crate::services::wire::{key_ref, text};
use crate::store::{BucketRow, RollupFilter};

use super::access::{self, Named};
use super::days::DayRange;

/// How many parts of a day are shown by one dimension.
const SLICES_MAX: usize = 100;

/// A valid request.
struct Command {
    range: DayRange,
    filter: RollupFilter,
    named: Named,
    breakdowns: Vec<(pb::SpendDimension, Dimension)>,
}

/// Shows spend by day.
pub(super) async fn get_daily_spend(
    ctx: Ctx,
    request: pb::GetDailySpendRequest,
) -> Result<pb::GetDailySpendResponse, Error> {
    let Command { range, mut filter, named, breakdowns } = parse(&ctx, &request)?;
    filter.key_id = access::check(&ctx, &named, MemberPermission::TeamDailyActivity).await?;
    filter.visible_to = access::scope(&ctx, MemberPermission::TeamDailyActivity);

    let mut metrics = vec![Metrics::default(); range.days().len()];
    for (day, row) in rows(&ctx, &range, &filter, None).await? {
        if let Some(metrics) = metrics.get_mut(day) {
            metrics.add(&row);
        }
    }
    let mut totals = Metrics::default();
    for day in &metrics {
        totals.merge(day);
    }
    let mut days: Vec<pb::DailySpend> = range
        .days()
        .iter()
        .zip(metrics)
        .map(|(day, metrics)| pb::DailySpend {
            date: day.to_string(),
            metrics: Some(metrics.to_wire()),
            breakdowns: Vec::new(),
        })
        .collect();
    for (name, dimension) in breakdowns {
        let slices = slices(&ctx, &range, &filter, dimension).await?;
        for (day, slices) in days.iter_mut().zip(slices) {
            day.breakdowns.push(breakdown(name, slices));
        }
    }
    Ok(pb::GetDailySpendResponse { days, totals: Some(totals.to_wire()) })
}

fn parse(ctx: &Ctx, request: &pb::GetDailySpendRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let range = DayRange::take(&request.start_date, &request.end_date, &request.time_zone, ctx.now, &mut faults);
    text::check("model", &request.model, MODEL_NAME_MAX_BYTES, &mut faults);
    text::check("provider", &request.provider, text::LABEL_MAX_BYTES, &mut faults);
    let named = Named {
        key: key_ref::optional("key", &request.key, &mut faults),
        user_id: text::user_id("user_id", &request.user_id, &mut faults),
        team_id: text::team_id("team_id", &request.team_id, &mut faults),
        organization_id: text::organization_id("organization_id", &request.organization_id, &mut faults),
    };
    let breakdowns = breakdowns(&request.breakdowns, &mut faults);
    faults.finish()?;
    let range = range.ok_or_else(|| Error::internal("a range vanished"))?;
    let (from, until) = range.buckets();
    let filter = RollupFilter {
        from,
        until,
        key_id: None,
        user_id: named.user_id.clone(),
        team_id: named.team_id.clone(),
        organization_id: named.organization_id.clone(),
        model: request.model.clone(),
        provider: request.provider.clone(),
        ..RollupFilter::default()
    };
    Ok(Command { range, filter, named, breakdowns })
}

fn breakdowns(asked: &[i32], faults: &mut Faults) -> Vec<(pb::SpendDimension, Dimension)> {
    let mut taken = Vec::new();
    for (index, number) in asked.iter().enumerate() {
        let name = pb::SpendDimension::try_from(*number).unwrap_or_default();
        let dimension = match name {
            pb::SpendDimension::Key => Dimension::Key,
            pb::SpendDimension::User => Dimension::User,
            pb::SpendDimension::Team => Dimension::Team,
            pb::SpendDimension::Organization => Dimension::Organization,
            pb::SpendDimension::Model => Dimension::Model,
            pb::SpendDimension::Provider => Dimension::Provider,
            pb::SpendDimension::Unspecified => {
                faults.add(format!("breakdowns[{index}]"), "must be a named dimension");
                continue;
            }
        };
        if !taken.contains(&(name, dimension)) {
            taken.push((name, dimension));
        }
    }
    taken
}

/// The rows of the range, each with the day that it belongs to. Buckets that a
/// day's border cuts through are taken from the events themselves.
async fn rows(
    ctx: &Ctx,
    range: &DayRange,
    filter: &RollupFilter,
    by: Option<Dimension>,
) -> Result<Vec<(usize, BucketRow)>, Error> {
    let view = ctx.app.store.view();
    let cut = range.cut_buckets();
    let mut rows = view.usage_by_bucket(filter, by).await?;
    if !cut.is_empty() {
        rows.retain(|row| !cut.contains(&Timestamp::from_micros(row.bucket_at)));
        rows.extend(view.usage_by_quarter_hour(filter, &cut, by).await?);
    }
    let place = |row: BucketRow| Some((range.index_of(Timestamp::from_micros(row.bucket_at))?, row));
    Ok(rows.into_iter().filter_map(place).collect())
}

/// Each day's parts by one dimension.
async fn slices(
    ctx: &Ctx,
    range: &DayRange,
    filter: &RollupFilter,
    dimension: Dimension,
) -> Result<Vec<HashMap<String, Metrics>>, Error> {
    let mut days: Vec<HashMap<String, Metrics>> = vec![HashMap::new(); range.days().len()];
    for (day, row) in rows(ctx, range, filter, Some(dimension)).await? {
        if let Some(parts) = days.get_mut(day) {
            parts.entry(row.slice.clone()).or_default().add(&row);
        }
    }
    Ok(days)
}

/// A day's parts, the largest first; what is too many in one sum.
fn breakdown(name: pb::SpendDimension, parts: HashMap<String, Metrics>) -> pb::SpendBreakdown {
    let mut parts: Vec<(String, Metrics)> = parts.into_iter().collect();
    parts.sort_by(|(left_id, left), (right_id, right)| right.spent.cmp(&left.spent).then(left_id.cmp(right_id)));
    let rest = parts.split_off(parts.len().min(SLICES_MAX));
    let others = rest.iter().fold(None, |sum: Option<Metrics>, (_, metrics)| {
        let mut sum = sum.unwrap_or_default();
        sum.merge(metrics);
        Some(sum)
    });
    pb::SpendBreakdown {
        dimension: name.into(),
        slices: parts
            .into_iter()
            .map(|(id, metrics)| pb::SpendSlice { id, metrics: Some(metrics.to_wire()) })
            .collect(),
        others: others.map(Metrics::to_wire),
    }
}
