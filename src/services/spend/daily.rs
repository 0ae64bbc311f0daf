//! `GetDailySpend`: spend and usage by day, from rollups.

use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::DayRange;
use crate::services::reports::parts::{self, PARTS_MAX, dimension_of};
use crate::services::wire::faults::Faults;
use crate::services::wire::{key_ref, text};
use crate::store::RollupFilter;

use super::access::{self, Named};

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

    let metrics = parts::by_day(&ctx, &range, &filter).await?;
    let totals = parts::total(&metrics);
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
    for by in breakdowns {
        let split = parts::split(&ctx, &range, &filter, by, PARTS_MAX).await?;
        for (day, breakdown) in days.iter_mut().zip(split) {
            day.breakdowns.push(breakdown);
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
    let filter = RollupFilter {
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
