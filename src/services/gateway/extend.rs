//! `Extend`: more room, or more time, for a call that goes on.

use crate::domain::decision::Denial;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::pricing::counts::COUNT_MAX;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::gate::{BudgetStanding, ExtendError, Extended, More, RecordError};
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{budget, denial, instant, record_error};

/// How long a reservation may live from when it is extended, in seconds.
const TTL_SECONDS: std::ops::RangeInclusive<i64> = 10..=86_400;

/// Extends a reservation.
pub(super) async fn extend(ctx: Ctx, request: pb::ExtendRequest) -> Result<pb::ExtendResponse, Error> {
    let more = parse(&request)?;
    let extended = ctx.app.gate.extend(&request.reservation_id, more, &ctx.reporter(), ctx.now).await;
    let Extended { expires_at, budgets } = extended.map_err(|error| explain(error, &ctx))?;
    Ok(pb::ExtendResponse {
        reservation_expires_at: Some(instant::to_wire(expires_at)),
        budgets: budgets.iter().map(budget::to_wire).collect(),
    })
}

fn parse(request: &pb::ExtendRequest) -> Result<More, Error> {
    let mut faults = Faults::default();
    if request.reservation_id.is_empty() {
        faults.add("reservation_id", "is required");
    }
    let cost = faults.money("additional_cost", request.additional_cost.as_ref());
    let output_tokens = request.additional_output_tokens;
    if output_tokens.is_some_and(|tokens| !(0..=COUNT_MAX).contains(&tokens)) {
        faults.add("additional_output_tokens", format!("must be 0-{COUNT_MAX}"));
    }
    let ttl = Some(&request.ttl).filter(|ttl| !ttl.is_empty());
    let seconds = faults.length("ttl", ttl).map(crate::domain::window::Length::nominal_seconds);
    if seconds.is_some_and(|seconds| !TTL_SECONDS.contains(&seconds)) {
        faults.add("ttl", "must be between 10s and 24h");
    }
    faults.finish()?;
    if request.additional_cost.is_none() && output_tokens.is_none() && ttl.is_none() {
        let rule = "or additional_output_tokens or ttl is required";
        return Err(Error::invalid(Violation::new("additional_cost", rule)));
    }
    Ok(More { cost, output_tokens, seconds })
}

fn explain(error: ExtendError, ctx: &Ctx) -> Error {
    match error {
        ExtendError::ReservationUnknown => record_error::explain(RecordError::ReservationUnknown, "", ""),
        ExtendError::NotLive => {
            let message = "the reservation expired, was settled or released, or is in the memory of another instance";
            Refusal::precondition(Reason::ReservationNotLive, message).into()
        }
        ExtendError::Denied(denied) => {
            let reason = denial::name(denial::reason_to_wire(denied.reason));
            Refusal::denied(Reason::CallDenied, denied.message).with("deny_reason", reason).into()
        }
        ExtendError::NoRoom { denial, budgets, retry_at } => {
            let seconds = retry_at.map(|at| at.micros_since(ctx.now).max(0) / 1_000_000 + 1);
            no_room(denial, budgets.first(), seconds, ctx).into()
        }
        ExtendError::Store(error) => error.into(),
        ExtendError::Booking(error) => record_error::not_booked(error),
    }
}

/// A key that asks for itself is not told what all keys together spent.
fn no_room(denied: Denial, full: Option<&BudgetStanding>, seconds: Option<i64>, ctx: &Ctx) -> Refusal {
    let shown = full.filter(|full| ctx.scope.is_all() || ctx.caller.is_gateway() || !full.account.scope().is_shared());
    let quota = full.map_or_else(|| "a budget".to_owned(), |full| full.account.to_string());
    let refusal = Refusal::exhausted(Reason::BudgetExceeded, denied.message, quota, seconds);
    let Some(full) = shown else { return refusal };
    let wire = budget::to_wire(full);
    refusal
        .with("scope", budget::scope_name(wire.scope()))
        .with("id", wire.id)
        .with("max_budget", wire.max_budget.unwrap_or_default())
        .with("spend", wire.spend)
        .with("reserved", wire.reserved)
}
