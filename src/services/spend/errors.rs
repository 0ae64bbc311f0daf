//! `GetErrorActivity`: how many calls failed, by day and by deployment, and how
//! many were denied.

use std::collections::BTreeMap;

use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::DayRange;
use crate::services::reports::parts;
use crate::services::wire::faults::Faults;
use crate::services::wire::{denial, text};
use crate::store::{Among, EventScope, UsageFilter, View};

/// The code that is counted, if the request names none: too many requests.
const DEFAULT_CODE: &str = "429";

/// The most codes of a request.
const CODES_MAX: usize = 50;

/// How many deployments are shown by themselves.
const DEPLOYMENTS: usize = 10;

/// Counts failures.
pub(super) async fn get_error_activity(
    ctx: Ctx,
    request: pb::GetErrorActivityRequest,
) -> Result<pb::GetErrorActivityResponse, Error> {
    let mut faults = Faults::default();
    let (start, end, zone) = (&request.start_date, &request.end_date, &request.time_zone);
    let range = DayRange::required(start, end, zone, ctx.now, &mut faults);
    text::check("model_group", &request.model_group, MODEL_NAME_MAX_BYTES, &mut faults);
    if request.error_codes.len() > CODES_MAX {
        faults.add("error_codes", format!("must have at most {CODES_MAX} entries"));
    }
    faults.finish()?;
    let range = range.ok_or_else(|| Error::internal("a range vanished"))?;
    let codes =
        if request.error_codes.is_empty() { vec![DEFAULT_CODE.to_owned()] } else { request.error_codes.clone() };
    let mut filter =
        UsageFilter::of(Source::Failure, EventScope::All).only(Dimension::ModelGroup, Some(&request.model_group));
    filter.among.push(Among { ids: codes, of_some: false, ..Among::some(Dimension::ErrorCode) });
    let snapshot = ctx.app.store.snapshot().await?;
    let by_deployment = ranked(&snapshot.view(), &range, &filter, Dimension::Deployment).await?;
    let mut whole = vec![0; range.days().len()];
    for (_, counts) in &by_deployment {
        whole.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let deployment = |(deployment, counts): (String, Vec<i64>)| pb::DeploymentErrors {
        deployment,
        days: shown(&range, &counts),
        total: counts.iter().sum(),
    };
    let denied =
        UsageFilter::of(Source::Denial, EventScope::All).only(Dimension::ModelGroup, Some(&request.model_group));
    let by_reason = ranked(&snapshot.view(), &range, &denied, Dimension::ErrorCode).await?;
    let denial = |(reason, counts): (String, Vec<i64>)| pb::DenialActivity {
        // A reason of a later version has no name here.
        reason: reason.parse().map_or(pb::DenyReason::Unspecified, denial::reason_to_wire).into(),
        days: shown(&range, &counts),
        total: counts.iter().sum(),
    };
    Ok(pb::GetErrorActivityResponse {
        days: shown(&range, &whole),
        total: whole.iter().sum(),
        deployments: by_deployment.into_iter().take(DEPLOYMENTS).map(deployment).collect(),
        denials: by_reason.into_iter().map(denial).collect(),
    })
}

/// How many calls failed by some parts, each by day: the most first, of equal
/// ones by name.
async fn ranked(
    view: &View<'_>,
    range: &DayRange,
    filter: &UsageFilter,
    by: Dimension,
) -> Result<Vec<(String, Vec<i64>)>, Error> {
    let days = parts::by_part(view, range.borders(), filter, Some(by)).await?;
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (index, parts) in days.into_iter().enumerate() {
        for (part, metrics) in parts {
            found.entry(part).or_insert_with(|| vec![0; range.days().len()])[index] = metrics.failed;
        }
    }
    let mut ranked: Vec<(String, Vec<i64>)> = found.into_iter().collect();
    // By name already, which a stable sort keeps.
    ranked.sort_by_key(|(_, days)| std::cmp::Reverse(days.iter().sum::<i64>()));
    Ok(ranked)
}

fn shown(range: &DayRange, counts: &[i64]) -> Vec<pb::ErrorDay> {
    let days = range.days().iter().zip(counts);
    days.map(|(day, count)| pb::ErrorDay { date: day.to_string(), failed_requests: *count }).collect()
}
