//! `GetDailySpend`: spend and usage by day, from rollups.

use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::DayRange;
use crate::services::reports::parts::{self, dimension_of};
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Metrics;

use super::access;
use super::filters::{self, Filters, filters};

/// A valid request.
struct Command {
    range: DayRange,
    filters: Filters,
    breakdowns: Vec<(pb::SpendDimension, Dimension)>,
    top: usize,
}

/// Shows spend by day.
pub(super) async fn get_daily_spend(
    ctx: Ctx,
    request: pb::GetDailySpendRequest,
) -> Result<pb::GetDailySpendResponse, Error> {
    let Command { range, filters, breakdowns, top } = parse(&ctx, &request)?;
    let by = breakdowns.iter().map(|(_, dimension)| *dimension);
    let visible_to = access::scope_by(&ctx, by, MemberPermission::TeamDailyActivity)?;
    let filter = filters.of(&ctx, visible_to).await?;

    let snapshot = ctx.app.store.snapshot().await?;
    let (view, borders) = (snapshot.view(), range.borders());
    let mut splits = Vec::with_capacity(breakdowns.len());
    for by in breakdowns {
        splits.push(parts::split(&view, borders, &filter, by, top).await?);
    }
    let metrics = parts::whole(&view, borders, &filter, &splits).await?;
    let totals = parts::total(&metrics);
    let mut days = days_to_wire(&range, &metrics);
    for split in splits {
        for (day, breakdown) in days.iter_mut().zip(split.breakdowns) {
            day.breakdowns.push(breakdown);
        }
    }
    Ok(pb::GetDailySpendResponse { days, totals: Some(totals.to_wire()) })
}

fn parse(ctx: &Ctx, request: &pb::GetDailySpendRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let range = DayRange::take(&request.start_date, &request.end_date, &request.time_zone, ctx.now, &mut faults);
    let filters = filters::take(&filters!(request), &mut faults);
    let breakdowns = breakdowns(&request.breakdowns, &mut faults);
    let top = parts::top("top", request.top, &mut faults);
    faults.finish()?;
    let range = range.ok_or_else(|| Error::internal("a range vanished"))?;
    Ok(Command { range, filters, breakdowns, top })
}

/// Days with what was used on each.
pub(super) fn days_to_wire(range: &DayRange, metrics: &[Metrics]) -> Vec<pb::DailySpend> {
    let days = range.days().iter().zip(metrics);
    let to_wire = |(day, metrics): (&chrono::NaiveDate, &Metrics)| pb::DailySpend {
        date: day.to_string(),
        metrics: Some(metrics.to_wire()),
        breakdowns: Vec::new(),
    };
    days.map(to_wire).collect()
}

fn breakdowns(asked: &[i32], faults: &mut Faults) -> Vec<(pb::SpendDimension, Dimension)> {
    let mut taken = Vec::new();
    for (index, number) in asked.iter().enumerate() {
        let name = pb::SpendDimension::try_from(*number).unwrap_or_default();
        let Some(dimension) = dimension_of(name) else {
            faults.add(format!("breakdowns[{index}]"), "must be a named dimension");
            continue;
        };
        if !taken.contains(&(name, dimension)) {
            taken.push((name, dimension));
        }
    }
    taken
}
