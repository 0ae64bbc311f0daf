//! `GetErrorActivity`: how many calls failed, by day and by deployment.

use std::collections::BTreeMap;

use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::DayRange;
use crate::services::reports::parts;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::{Among, EventScope, UsageFilter};

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
    let days = parts::by_part(&ctx.app.store.view(), range.borders(), &filter, Some(Dimension::Deployment)).await?;

    let mut deployments: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut whole = vec![0; range.days().len()];
    for (index, parts) in days.into_iter().enumerate() {
        for (deployment, metrics) in parts {
            whole[index] += metrics.failed;
            let of_deployment = deployments.entry(deployment).or_insert_with(|| vec![0; range.days().len()]);
            of_deployment[index] = metrics.failed;
        }
    }
    let mut ranked: Vec<(String, Vec<i64>)> = deployments.into_iter().collect();
    // By name already, which a stable sort keeps.
    ranked.sort_by_key(|(_, days)| std::cmp::Reverse(days.iter().sum::<i64>()));
    ranked.truncate(DEPLOYMENTS);
    let shown = |counts: &[i64]| -> Vec<pb::ErrorDay> {
        let days = range.days().iter().zip(counts);
        days.map(|(day, count)| pb::ErrorDay { date: day.to_string(), failed_requests: *count }).collect()
    };
    Ok(pb::GetErrorActivityResponse {
        days: shown(&whole),
        total: whole.iter().sum(),
        deployments: ranked
            .into_iter()
            .map(|(deployment, counts)| pb::DeploymentErrors {
                deployment,
                days: shown(&counts),
                total: counts.iter().sum(),
            })
            .collect(),
    })
}
