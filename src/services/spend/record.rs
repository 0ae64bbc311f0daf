//! `RecordUsage`: usage events, each by itself, durable when it returns.

use prost::Message;

use crate::domain::reason::Reason;
use crate::error::Error;
use crate::gate::{RecordError, Recorded, Report};
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Taken;
use crate::services::wire::{record_error, usage};

/// The most events of one call.
const EVENTS_MAX: usize = 10_000;

/// How many bad fields are reported: a broken reporter sends many.
const FAULTS_MAX: usize = 100;

/// Records usage.
pub(super) async fn record_usage(ctx: Ctx, request: pb::RecordUsageRequest) -> Result<pb::RecordUsageResponse, Error> {
    let reports = parse(&request.events)?;
    record(&ctx, reports).await
}

/// Records reports; answers when they are durable.
///
/// # Errors
/// `UNAVAILABLE` if the database fails; then any of them may be recorded, and
/// all are to be sent again.
pub(super) async fn record(ctx: &Ctx, reports: Vec<Report>) -> Result<pb::RecordUsageResponse, Error> {
    let ids: Vec<String> = reports.iter().map(|report| report.usage.request_id.clone()).collect();
    let outcomes = ctx.app.gate.record(reports, &ctx.reporter(), ctx.now).await;
    let mut response = pb::RecordUsageResponse::default();
    for (index, (outcome, request_id)) in outcomes.into_iter().zip(ids).enumerate() {
        let result = match outcome {
            Ok(recorded) => booked(request_id, recorded),
            Err(error) => refused(error, index, request_id)?,
        };
        response.recorded += i64::from(result.status() == pb::UsageResult::Recorded);
        response.duplicates += i64::from(result.status() == pb::UsageResult::Duplicate);
        response.results.push(result);
    }
    Ok(response)
}

/// Takes the events of a message.
///
/// # Errors
/// Every fault of every event.
pub(super) fn parse(events: &[pb::UsageEvent]) -> Result<Vec<Report>, Error> {
    let mut faults = Faults::default();
    if events.is_empty() || events.len() > EVENTS_MAX {
        faults.add("events", format!("must have 1-{EVENTS_MAX} entries"));
        return faults.finish().map(|()| Vec::new());
    }
    let mut reports = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let prefix = format!("events[{index}].");
        usage::take_request_id(event, &prefix, &mut faults);
        let Taken { usage, key, reservation_id } = usage::take(event, &prefix, &mut faults);
        if reservation_id.is_empty() {
            if event.key.is_empty() && event.key_hash.is_empty() {
                faults.add_named(format!("{prefix}key"), Reason::KeyRequired, "is required, or key_hash");
            }
            if event.model.is_empty() {
                faults.add(format!("{prefix}model"), "is required");
            }
        }
        if faults.0.len() > FAULTS_MAX {
            break;
        }
        reports.push(Report { usage, key, reservation_id });
    }
    faults.finish()?;
    Ok(reports)
}

fn booked(request_id: String, recorded: Recorded) -> pb::RecordUsageResult {
    let status = if recorded.duplicate { pb::UsageResult::Duplicate } else { pb::UsageResult::Recorded };
    pb::RecordUsageResult { request_id, status: status.into(), cost: recorded.cost.to_string(), error: None }
}

/// A bad event is reported by itself; a database that fails fails the call, for
/// the caller must repeat it.
fn refused(error: RecordError, index: usize, request_id: String) -> Result<pb::RecordUsageResult, Error> {
    let status = match &error {
        RecordError::Conflict => pb::UsageResult::Conflict,
        RecordError::Store(_) | RecordError::Booking(_) => {
            return Err(record_error::explain(error, "", &request_id));
        }
        RecordError::ReservationUnknown
        | RecordError::KeyUnknown
        | RecordError::Invalid(_)
        | RecordError::NotCosted(_) => pb::UsageResult::Rejected,
    };
    let told = record_error::explain(error, &format!("events[{index}]."), &request_id).to_status();
    let error = tonic_types::pb::Status::decode(told.details()).ok();
    Ok(pb::RecordUsageResult { request_id, status: status.into(), cost: String::new(), error })
}
