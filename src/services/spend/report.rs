//! `GetSpendReport`: spend by period, each split by one thing.

use chrono::{Datelike, NaiveDate};

use super::access;
use super::filters::{self, Filters, filters};
use super::list;
use crate::domain::role::MemberPermission::TeamDailyActivity;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::{DayRange, Periods};
use crate::services::reports::parts::{self, dimension_of};
use crate::services::wire::faults::Faults;
use crate::store::EventFilter;

/// How many parts of a period are shown, if the request says nothing, and at
/// most.
const TOP: (i32, i32) = (100, 1_000);

/// How many parts of all periods are shown, so that a report fits a message.
const PARTS_OF_ALL_MAX: usize = 10_000;

/// A valid request.
struct Command {
    periods: Periods,
    filters: Filters,
    calls: Option<EventFilter>,
    by: (pb::SpendDimension, Dimension),
    top: usize,
}

/// Shows spend by period.
pub(super) async fn get_spend_report(
    ctx: Ctx,
    request: pb::GetSpendReportRequest,
) -> Result<pb::GetSpendReportResponse, Error> {
    let Command { periods, filters, calls, by, top } = parse(&ctx, &request)?;
    let visible_to = access::scope_by(&ctx, std::iter::once(by.1), TeamDailyActivity)?;
    let mut filter = filters.of(&ctx, visible_to).await?;
    filter.calls = calls.map(Box::new);
    let snapshot = ctx.app.store.snapshot().await?;
    let (view, borders) = (snapshot.view(), &periods.borders);
    let split = [parts::split(&view, borders, &filter, by, top).await?];
    let metrics = parts::whole(&view, borders, &filter, &split).await?;
    let [split] = split;
    let totals = Some(parts::total(&metrics).to_wire());
    let shown = periods.days.into_iter().zip(metrics).zip(split.breakdowns);
    let period = |(((first, last), metrics), breakdown): (((NaiveDate, NaiveDate), _), _)| {
        let metrics: crate::services::wire::usage::Metrics = metrics;
        pb::SpendPeriod {
            start_date: first.to_string(),
            end_date: last.to_string(),
            metrics: Some(metrics.to_wire()),
            breakdown: Some(breakdown),
        }
    };
    Ok(pb::GetSpendReportResponse { periods: shown.map(period).collect(), totals })
}

fn parse(ctx: &Ctx, request: &pb::GetSpendReportRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let (start, end, zone) = (&request.start_date, &request.end_date, &request.time_zone);
    let range = DayRange::required(start, end, zone, ctx.now, &mut faults);
    let filters = filters::take(&filters!(request), &mut faults);
    let calls = calls(request, &mut faults);
    let by = match pb::SpendDimension::try_from(request.group_by) {
        Ok(pb::SpendDimension::Unspecified) => Some((pb::SpendDimension::Team, Dimension::Team)),
        Ok(name) => dimension_of(name).map(|dimension| (name, dimension)),
        Err(_) => None,
    };
    if by.is_none() {
        faults.add("group_by", "must be a dimension that this server knows");
    }
    let top = match request.top {
        0 => TOP.0,
        top if (1..=TOP.1).contains(&top) => top,
        _ => {
            faults.add("top", format!("must be 1-{}", TOP.1));
            TOP.0
        }
    };
    let top = usize::try_from(top).unwrap_or_default();
    let periods = range.and_then(|range| periods(&range, request.bucket, &mut faults));
    if periods.as_ref().is_some_and(|periods| periods.days.len() * top > PARTS_OF_ALL_MAX) && request.top != 0 {
        let rule = format!("must be such that all periods together show at most {PARTS_OF_ALL_MAX} parts");
        faults.add("top", rule);
    }
    faults.finish()?;
    let periods = periods.ok_or_else(|| Error::internal("periods vanished"))?;
    // What nobody asked for is no fault of the request.
    let top = top.min(PARTS_OF_ALL_MAX / periods.days.len().max(1));
    let by = by.ok_or_else(|| Error::internal("a dimension vanished"))?;
    Ok(Command { periods, filters, calls, by, top })
}

/// The filters about single calls, which are those of `ListUsage`; `None` if
/// there are none.
fn calls(request: &pb::GetSpendReportRequest, faults: &mut Faults) -> Option<EventFilter> {
    let asked = pb::ListUsageRequest {
        session_id: request.session_id.clone(),
        status: request.status,
        min_spend: request.min_spend.clone(),
        max_spend: request.max_spend.clone(),
        call_type: request.call_type.clone(),
        cache_hit: request.cache_hit,
        cost_source: request.cost_source,
        ..pb::ListUsageRequest::default()
    };
    (asked != pb::ListUsageRequest::default()).then(|| list::take_filter("", asked, faults).0)
}

/// The periods of a range.
fn periods(range: &DayRange, bucket: i32, faults: &mut Faults) -> Option<Periods> {
    match pb::ReportBucket::try_from(bucket) {
        Ok(pb::ReportBucket::Unspecified | pb::ReportBucket::Day) => Some(range.periods(|day| day)),
        Ok(pb::ReportBucket::Week) => Some(range.periods(|day| day.iso_week())),
        Ok(pb::ReportBucket::Month) => Some(range.periods(|day| (day.year(), day.month()))),
        Ok(pb::ReportBucket::None) => Some(range.periods(|_| ())),
        Err(_) => {
            faults.add("bucket", "must be a bucket that this server knows");
            None
        }
    }
}
