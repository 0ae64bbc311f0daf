//! `ExplainDecision`: what Authorize would say, and why.

use super::authorize::{self, identity_to_wire, parse};
use super::who::{Who, who_calls};
use crate::domain::account::Scope;
use crate::domain::decision::{Denial, Finding};
use crate::error::Error;
use crate::gate::{Call, Explained, Step};
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::{budget, denial};

/// Explains a decision.
pub(super) async fn explain_decision(
    ctx: Ctx,
    request: pb::ExplainDecisionRequest,
) -> Result<pb::ExplainDecisionResponse, Error> {
    let request = as_authorize(request);
    let estimate = parse(&request)?;
    let (calling, customer_id) = match who_calls(&ctx, &request).await? {
        Who::Known(calling, customer_id) => (calling, customer_id),
        Who::Stranger(denied) => return Ok(of_stranger(&denied)),
    };
    let customer_id = authorize::customer(&request, customer_id);
    let call = Call {
        caller: ctx.caller.ticket_tag(),
        calling: &calling,
        model: &request.model,
        customer_id: &customer_id,
        tags: &request.tags,
        params: &request.params,
        estimate,
        reserve: request.reserve.then_some(""),
        falls_back: request.allow_fallback,
        payload: 0,
    };
    let explained = ctx.app.gate.explain(&call, ctx.now).await?;
    Ok(render(explained, customer_id, ctx.scope.is_all()))
}

fn as_authorize(request: pb::ExplainDecisionRequest) -> pb::AuthorizeRequest {
    let pb::ExplainDecisionRequest {
        key,
        key_hash,
        model,
        customer_id,
        tags,
        estimated_input_tokens,
        max_output_tokens,
        estimated_cost,
        reserve,
        // Nothing is reserved under it.
        request_id: _,
        params,
        allow_fallback,
    } = request;
    let request_id = if reserve { "explain".to_owned() } else { String::new() };
    pb::AuthorizeRequest {
        key,
        key_hash,
        model,
        customer_id,
        tags,
        estimated_input_tokens,
        max_output_tokens,
        estimated_cost,
        reserve,
        request_id,
        params,
        allow_fallback,
    }
}

fn of_stranger(denied: &Denial) -> pb::ExplainDecisionResponse {
    let check = pb::DecisionCheck {
        name: denial::name(denial::reason_to_wire(denied.reason)).to_owned(),
        applies: true,
        message: denied.message.clone(),
        ..pb::DecisionCheck::default()
    };
    pb::ExplainDecisionResponse {
        decision: pb::Decision::Deny.into(),
        deny_reason: denial::reason_to_wire(denied.reason).into(),
        message: denied.message.clone(),
        checks: vec![check],
        ..pb::ExplainDecisionResponse::default()
    }
}

fn render(explained: Explained, customer_id: String, sees_all: bool) -> pb::ExplainDecisionResponse {
    let Explained { denial: denied, resolved_model, identity, steps } = explained;
    let decision = if denied.is_some() { pb::Decision::Deny } else { pb::Decision::Allow };
    let scope = denied.as_ref().and_then(|denied| denied.scope);
    let is_hidden = |scope: Option<Scope>| !sees_all && scope.is_some_and(Scope::is_shared);
    let message = denied.as_ref().map(|denied| denied.message.clone()).unwrap_or_default();
    let steps = steps.into_iter().filter(|step| !is_hidden(step.checked.scope));
    pb::ExplainDecisionResponse {
        decision: decision.into(),
        deny_reason: denied.as_ref().map(|denied| denial::reason_to_wire(denied.reason)).unwrap_or_default().into(),
        deny_scope: scope.map_or(pb::BudgetScope::Unspecified, budget::scope_to_wire).into(),
        message,
        resolved_model,
        identity: identity.as_ref().map(|identity| identity_to_wire(identity, customer_id)),
        checks: steps.map(check).collect(),
    }
}

fn check(step: Step) -> pb::DecisionCheck {
    let Step { checked, id, values } = step;
    let (passed, applies, message) = match checked.finding {
        Finding::DoesNotApply => (true, false, String::new()),
        Finding::Passes => (true, true, String::new()),
        Finding::Fails(message) => (false, true, message),
    };
    pb::DecisionCheck {
        name: denial::name(denial::reason_to_wire(checked.reason)).to_owned(),
        scope: checked.scope.map_or(pb::BudgetScope::Unspecified, budget::scope_to_wire).into(),
        id,
        passed,
        applies,
        message,
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
