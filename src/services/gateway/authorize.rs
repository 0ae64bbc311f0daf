//! Authorize: may this key call this model now?

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use crate::domain::clock::Timestamp;
use crate::domain::decision::Denial;
use crate::domain::fault::Refusal;
use crate::domain::identity::Identity;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::pricing::counts::COUNT_MAX;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::gate::{AuthorizeError, Call, Decision, Estimate};
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{budget, denial, instant, record_error, text};

use super::who::{Who, who_calls};

/// The most parameters that a call names.
const PARAMS_MAX: usize = 1_000;

/// Decides about a model call.
pub(in crate::services) async fn authorize(
    ctx: Ctx,
    request: pb::AuthorizeRequest,
) -> Result<pb::AuthorizeResponse, Error> {
    let estimate = parse(&request)?;
    let (calling, customer_id) = match who_calls(&ctx, &request).await? {
        Who::Known(calling, customer_id) => (calling, customer_id),
        Who::Stranger(denial) => {
            ctx.app.gate.count_stranger(ctx.now);
            ctx.app.metrics.denied(denial.reason);
            return Ok(denied(denial));
        }
    };
    let customer_id = customer(&request, customer_id);
    let call = Call {
        caller: ctx.caller.ticket_tag(),
        calling: &calling,
        model: &request.model,
        customer_id: &customer_id,
        tags: &request.tags,
        params: &request.params,
        estimate,
        reserve: request.reserve.then_some(request.request_id.as_str()),
        falls_back: request.allow_fallback,
        payload: if request.reserve { FixedState::default().hash_one(&request) } else { 0 },
    };
    let decision = ctx.app.gate.authorize(&call, ctx.now).await.map_err(explain)?;
    ctx.app.gate.count_denial(&call, &decision, ctx.now);
    ctx.app.metrics.decision(&decision);
    let sees_all = ctx.scope.is_all();
    Ok(render(if sees_all { decision } else { without_others(decision) }, customer_id, ctx.now))
}

/// The end user of a call: the one that it names, else the one of a token.
pub(super) fn customer(request: &pb::AuthorizeRequest, of_token: Option<String>) -> String {
    of_token.filter(|_| request.customer_id.is_empty()).unwrap_or_else(|| request.customer_id.clone())
}

/// Checks a request; returns what the call may cost.
pub(super) fn parse(request: &pb::AuthorizeRequest) -> Result<Estimate, Error> {
    let mut faults = Faults::default();
    if request.model.is_empty() || request.model.len() > MODEL_NAME_MAX_BYTES {
        faults.add("model", format!("must have 1-{MODEL_NAME_MAX_BYTES} bytes"));
    }
    text::check("customer_id", &request.customer_id, text::LABEL_MAX_BYTES, &mut faults);
    text::tags("tags", &request.tags, &mut faults);
    if request.params.len() > PARAMS_MAX {
        faults.add("params", format!("must have at most {PARAMS_MAX} entries"));
    }
    if request.reserve && request.request_id.is_empty() {
        faults.add("request_id", "is required with reserve");
    }
    text::request_id("request_id", &request.request_id, &mut faults);
    if !request.key.is_empty() && !request.key_hash.is_empty() {
        faults.add("key_hash", "must not be set together with key");
    }
    let mut tokens = |field: &str, count: Option<i64>| {
        if count.is_some_and(|count| !(0..=COUNT_MAX).contains(&count)) {
            faults.add(field, format!("must be 0-{COUNT_MAX}"));
        }
        count
    };
    let input_tokens = tokens("estimated_input_tokens", request.estimated_input_tokens);
    let max_output_tokens = tokens("max_output_tokens", request.max_output_tokens);
    let cost = faults.money("estimated_cost", request.estimated_cost.as_ref());
    faults.finish()?;
    Ok(Estimate { cost, input_tokens, max_output_tokens })
}

fn explain(error: AuthorizeError) -> Error {
    match error {
        AuthorizeError::RequestIdReused => {
            let message = "request_id was used for another request; use a new one";
            Refusal::exists(Reason::RequestIdReused, message).into()
        }
        AuthorizeError::Store(error) => error.into(),
        AuthorizeError::Booking(error) => record_error::not_booked(error),
    }
}

/// The answer to whoever is nobody.
fn denied(denial: Denial) -> pb::AuthorizeResponse {
    pb::AuthorizeResponse {
        decision: pb::Decision::Deny.into(),
        deny_reason: denial::reason_to_wire(denial.reason).into(),
        message: denial.message,
        ..pb::AuthorizeResponse::default()
    }
}

/// What a key may know that asks about itself: not what all keys together
/// spent.
fn without_others(mut decision: Decision) -> Decision {
    decision.budgets.retain(|standing| !standing.account.scope().is_shared());
    decision.rates.retain(|standing| !standing.account.scope().is_shared());
    decision
}

/// Whose call it is, on the wire.
pub(super) fn identity_to_wire(identity: &Identity, customer_id: String) -> pb::CallIdentity {
    pb::CallIdentity {
        key_hash: identity.key.hash().as_ref().map(ToString::to_string).unwrap_or_default(),
        key_id: identity.key.id().as_ref().map(ToString::to_string).unwrap_or_default(),
        user_id: identity.key.user_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        team_id: identity.key.team_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        organization_id: identity.organization_id().map(ToString::to_string).unwrap_or_default(),
        customer_id,
    }
}

fn render(decision: Decision, customer_id: String, now: Timestamp) -> pb::AuthorizeResponse {
    let identity = decision.identity.map(|identity| identity_to_wire(&identity, customer_id));
    let (reservation_id, expires_at) = decision.reservation.unzip();
    let verdict = if decision.denial.is_some() { pb::Decision::Deny } else { pb::Decision::Allow };
    let (deny_reason, deny_scope, message) = match decision.denial {
        None => (pb::DenyReason::Unspecified, pb::BudgetScope::Unspecified, String::new()),
        Some(found) => (
            denial::reason_to_wire(found.reason),
            found.scope.map_or(pb::BudgetScope::Unspecified, budget::scope_to_wire),
            found.message,
        ),
    };
    pb::AuthorizeResponse {
        decision: verdict.into(),
        deny_reason: deny_reason.into(),
        deny_scope: deny_scope.into(),
        message,
        resolved_model: decision.resolved_model,
        identity,
        budgets: decision.budgets.iter().map(budget::answered).collect(),
        rate_limits: decision.rates.iter().map(budget::rate_to_wire).collect(),
        reservation_id: reservation_id.unwrap_or_default(),
        reservation_expires_at: expires_at.map(instant::to_wire),
        retry_after: decision.retry_at.map(|at| instant::wait(at, now)),
        exhausted_providers: decision.exhausted_providers,
        fallback_models: decision.fallback_models,
    }
}
