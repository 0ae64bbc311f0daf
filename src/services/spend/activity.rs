//! `GetActivity` and `GetModelActivity`: calls, tokens and spend by day.

use std::collections::HashMap;

use super::access;
use super::daily::days_to_wire;
use super::filters::{self, filters};
use crate::domain::role::MemberPermission::TeamDailyActivity;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::DayRange;
use crate::services::reports::parts;
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Metrics;

/// How many models are shown, if the request says nothing, and at most.
const MODELS: (i32, i32) = (10, 100);

/// Shows activity by day.
pub(super) async fn get_activity(ctx: Ctx, request: pb::GetActivityRequest) -> Result<pb::GetActivityResponse, Error> {
    let mut faults = Faults::default();
    let (start, end, zone) = (&request.start_date, &request.end_date, &request.time_zone);
    let range = DayRange::required(start, end, zone, ctx.now, &mut faults);
    let filters = filters::take(&filters!(request), &mut faults);
    faults.finish()?;
    let range = range.ok_or_else(|| Error::internal("a range vanished"))?;
    let filter = filters.of(&ctx, access::scope(&ctx, TeamDailyActivity)).await?;
    let snapshot = ctx.app.store.snapshot().await?;
    let metrics = parts::by_interval(&snapshot.view(), range.borders(), &filter).await?;
    let totals = Some(parts::total(&metrics).to_wire());
    Ok(pb::GetActivityResponse { days: days_to_wire(&range, &metrics), totals })
}

/// Shows the activity of each of the busiest models.
pub(super) async fn get_model_activity(
    ctx: Ctx,
    request: pb::GetModelActivityRequest,
) -> Result<pb::GetModelActivityResponse, Error> {
    let mut faults = Faults::default();
    let (start, end, zone) = (&request.start_date, &request.end_date, &request.time_zone);
    let range = DayRange::required(start, end, zone, ctx.now, &mut faults);
    let filters = filters::take(&filters!(request), &mut faults);
    if !(0..=MODELS.1).contains(&request.page_size) {
        faults.add("page_size", format!("must be 1-{}", MODELS.1));
    }
    faults.finish()?;
    let range = range.ok_or_else(|| Error::internal("a range vanished"))?;
    let most = if request.page_size == 0 { MODELS.0 } else { request.page_size };
    let filter = filters.of(&ctx, access::scope(&ctx, TeamDailyActivity)).await?;
    let snapshot = ctx.app.store.snapshot().await?;
    let days = parts::by_part(&snapshot.view(), range.borders(), &filter, Some(Dimension::ModelGroup)).await?;

    let mut models: HashMap<String, Vec<Metrics>> = HashMap::new();
    for (index, parts) in days.into_iter().enumerate() {
        for (model, metrics) in parts {
            let of_model = models.entry(model).or_insert_with(|| vec![Metrics::default(); range.days().len()]);
            of_model[index] = metrics;
        }
    }
    let requests = |days: &[Metrics]| parts::total(days).requests;
    let mut ranked: Vec<(String, Vec<Metrics>)> = models.into_iter().collect();
    ranked.sort_by(|(left_name, left), (right_name, right)| {
        requests(right).cmp(&requests(left)).then_with(|| left_name.cmp(right_name))
    });
    let rest = ranked.split_off(ranked.len().min(usize::try_from(most).unwrap_or_default()));
    let others = sum_by_day(&range, rest.iter().map(|(_, days)| days));
    let shown = sum_by_day(&range, ranked.iter().map(|(_, days)| days));
    let mut totals = parts::total(&others);
    totals.merge(&parts::total(&shown));
    let activity = |model_group: String, days: &[Metrics]| pb::ModelActivity {
        model_group,
        days: days_to_wire(&range, days),
        totals: Some(parts::total(days).to_wire()),
    };
    Ok(pb::GetModelActivityResponse {
        models: ranked.into_iter().map(|(model, days)| activity(model, &days)).collect(),
        others: (!rest.is_empty()).then(|| activity(String::new(), &others)),
        totals: Some(totals.to_wire()),
    })
}

fn sum_by_day<'a>(range: &DayRange, of: impl Iterator<Item = &'a Vec<Metrics>>) -> Vec<Metrics> {
    let mut sums = vec![Metrics::default(); range.days().len()];
    for days in of {
        sums.iter_mut().zip(days).for_each(|(sum, day)| sum.merge(day));
    }
    sums
}
