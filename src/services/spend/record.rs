//! `RecordUsage`: usage events, each by itself, durable when it returns.

use std::collections::BTreeMap;

use prost::Message;

use crate::domain::fault::Violation;
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

/// How many digits of what tells events apart an id of its own has.
const REKEY_DIGITS: usize = 8;

/// How many bad fields are reported: a broken reporter sends many.
const FAULTS_MAX: usize = 100;

/// Records usage.
pub(super) async fn record_usage(ctx: Ctx, request: pb::RecordUsageRequest) -> Result<pb::RecordUsageResponse, Error> {
    let reports = parse(&request.events)?;
    record(&ctx, reports, Conflicts::take(request.on_id_conflict)?).await
}

/// What becomes of an event whose id another one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflicts {
    /// The reporter is told.
    Report,
    /// It is booked under an id made of its own and its content.
    Rekey,
}

impl Conflicts {
    /// Takes what a request asks for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what this server does not know.
    pub(super) fn take(asked: i32) -> Result<Self, Error> {
        match pb::IdConflict::try_from(asked) {
            Ok(pb::IdConflict::Unspecified | pb::IdConflict::Report) => Ok(Self::Report),
            Ok(pb::IdConflict::Rekey) => Ok(Self::Rekey),
            Err(_) => Err(Error::invalid(Violation::new("on_id_conflict", format!("has no value {asked}")))),
        }
    }
}

/// Records reports; answers when they are durable.
///
/// # Errors
/// `UNAVAILABLE` if the database fails; then any of them may be recorded, and
/// all are to be sent again.
pub(super) async fn record(
    ctx: &Ctx,
    reports: Vec<Report>,
    conflicts: Conflicts,
) -> Result<pb::RecordUsageResponse, Error> {
    let ids: Vec<String> = reports.iter().map(|report| report.usage.request_id.clone()).collect();
    let kept = if conflicts == Conflicts::Rekey { reports.clone() } else { Vec::new() };
    let mut outcomes = ctx.app.gate.record(reports, &ctx.reporter(), ctx.now).await;
    let rekeyed = rekey(ctx, kept, &mut outcomes).await;
    let mut response = pb::RecordUsageResponse::default();
    for (index, (outcome, request_id)) in outcomes.into_iter().zip(ids).enumerate() {
        let mut result = match outcome {
            Ok(recorded) => booked(request_id, recorded),
            Err(error) => refused(error, index, request_id)?,
        };
        result.stored_request_id = rekeyed.get(&index).cloned().unwrap_or_default();
        response.recorded += i64::from(result.status() == pb::UsageResult::Recorded);
        response.duplicates += i64::from(result.status() == pb::UsageResult::Duplicate);
        response.results.push(result);
    }
    Ok(response)
}

/// Books those whose ids others have under ids of their own, which a repeat
/// finds again; returns these by the events' places.
async fn rekey(
    ctx: &Ctx,
    reports: Vec<Report>,
    outcomes: &mut [Result<Recorded, RecordError>],
) -> BTreeMap<usize, String> {
    let mut rekeyed = BTreeMap::new();
    let mut again = Vec::new();
    for (index, (mut report, outcome)) in reports.into_iter().zip(outcomes.iter()).enumerate() {
        if let Err(RecordError::Conflict(fingerprint)) = outcome {
            let digest = fingerprint.get(..REKEY_DIGITS).unwrap_or(fingerprint);
            report.usage.request_id = format!("{}~{digest}", report.usage.request_id);
            rekeyed.insert(index, report.usage.request_id.clone());
            again.push(report);
        }
    }
    if again.is_empty() {
        return rekeyed;
    }
    let booked = ctx.app.gate.record(again, &ctx.reporter(), ctx.now).await;
    for (index, outcome) in rekeyed.keys().zip(booked) {
        outcomes[*index] = outcome;
    }
    rekeyed.retain(|index, _| outcomes[*index].is_ok());
    rekeyed
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
    let cost = recorded.cost.to_string();
    pb::RecordUsageResult { request_id, status: status.into(), cost, ..Default::default() }
}

/// A bad event is reported by itself; a database that fails fails the call, for
/// the caller must repeat it.
fn refused(error: RecordError, index: usize, request_id: String) -> Result<pb::RecordUsageResult, Error> {
    let status = match &error {
        RecordError::Conflict(_) => pb::UsageResult::Conflict,
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
    Ok(pb::RecordUsageResult { request_id, status: status.into(), error, ..Default::default() })
}
