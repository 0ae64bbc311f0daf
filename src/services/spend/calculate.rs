//! `CalculateCost`: what a usage would cost now.

use prost_types::Struct;
use prost_types::value::Kind;

use crate::domain::clock::Timestamp;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::pricing::{Cost, Counts, Price, PriceError};
use crate::domain::reason::Reason;
use crate::domain::usage::Usage;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{instant, text, usage};

use super::{breakdown, tokens};

/// A valid request.
struct Command {
    /// What is to be priced: model, provider and deployment, and all that a
    /// cost depends on.
    usage: Usage,
    at: Option<Timestamp>,
    token_count: Option<pb::TokenCount>,
}

/// Prices a usage; records nothing.
pub(super) async fn calculate_cost(
    ctx: Ctx,
    request: pb::CalculateCostRequest,
) -> Result<pb::CalculateCostResponse, Error> {
    // Counting tokens of long texts takes a while.
    let parsed = tokio::task::spawn_blocking(move || parse(&request)).await.map_err(Error::internal)?;
    let command = parsed?;
    let prices = ctx.app.gate.prices();
    let at = command.at.unwrap_or(ctx.now);
    let price = prices.find_for(&command.usage, at).filter(|price| price.is_priced());
    let price = price.ok_or_else(|| not_priced(&command.usage))?;
    let cost = cost_of(&ctx, price, &command.usage, at)?;
    if !cost.priced && !cost.unpriced_parts.is_empty() {
        return Err(not_priced(&command.usage).into());
    }
    let booked = cost.booked().ok_or_else(out_of_range)?;
    Ok(pb::CalculateCostResponse {
        cost: booked.to_string(),
        breakdown: Some(breakdown::to_wire(&cost)),
        unpriced_parts: cost.unpriced_parts.iter().map(ToString::to_string).collect(),
        price_id: price.price_id.clone(),
        usage_inconsistent: cost.inconsistent,
        token_count: command.token_count,
    })
}

fn not_priced(usage: &Usage) -> Refusal {
    let message = format!("the price table has no price for such a call of model {:?}", usage.model);
    let refusal = Refusal::precondition(Reason::ModelNotPriced, message);
    refusal.with("model", &usage.model).with("provider", &usage.provider)
}

fn out_of_range() -> Error {
    Error::invalid(Violation::named("usage", Reason::CostOutOfRange, "costs more than can be counted"))
}

fn cost_of(ctx: &Ctx, price: &Price, usage: &Usage, at: Timestamp) -> Result<Cost, Error> {
    breakdown::price(ctx, price, usage, at).map_err(|error| match error {
        PriceError::OutOfRange => out_of_range(),
        PriceError::CallType(_) => {
            let refusal = Refusal::precondition(Reason::CallTypeNotPriced, error.to_string());
            refusal.with("model", &usage.model).with("call_type", &usage.call_type).into()
        }
    })
}

fn parse(request: &pb::CalculateCostRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    text::check("provider", &request.provider, text::LABEL_MAX_BYTES, &mut faults);
    text::check("deployment", &request.deployment, MODEL_NAME_MAX_BYTES, &mut faults);
    let at = instant::from_wire("at", request.at.as_ref(), &mut faults);
    let ways = usize::from(request.usage.is_some())
        + usize::from(!request.messages.is_empty())
        + usize::from(request.completion_response.is_some());
    if ways == 0 {
        faults.add_named("usage", Reason::UsageRequired, "is required, or messages, or completion_response");
    }
    if ways > 1 {
        faults.add("usage", "messages and completion_response exclude each other");
    }
    let mut taken = match &request.usage {
        Some(event) => usage::take(event, "usage.", &mut faults).usage,
        None => Usage::default(),
    };
    for (told, field) in [
        (&request.model, &mut taken.model),
        (&request.provider, &mut taken.provider),
        (&request.deployment, &mut taken.deployment),
    ] {
        if !told.is_empty() {
            field.clone_from(told);
        }
    }
    let mut command = Command { usage: taken, at, token_count: None };
    if let Some(body) = &request.completion_response {
        take_body(body, &mut command.usage, &mut faults);
    }
    let model = &command.usage.model;
    if model.is_empty() || model.len() > MODEL_NAME_MAX_BYTES {
        faults.add("model", format!("must have 1-{MODEL_NAME_MAX_BYTES} bytes"));
    }
    faults.finish()?;
    if !request.messages.is_empty() {
        let (prompt_tokens, encoding) = tokens::count(&command.usage.model, &request.messages);
        command.usage.counts = Counts::text(prompt_tokens, 0);
        command.token_count = Some(pb::TokenCount { encoding: encoding.to_owned(), prompt_tokens });
    }
    Ok(command)
}

/// Takes model and counts from a provider's response body: the style of OpenAI,
/// or that of Anthropic, which counts the cache apart.
fn take_body(body: &Struct, taken: &mut Usage, faults: &mut Faults) {
    const FIELD: &str = "completion_response";
    if taken.model.is_empty() {
        taken.model = string(body, "model").unwrap_or_default();
    }
    taken.terms.service_tier = string(body, "service_tier").unwrap_or_default();
    let Some(used) = object(body, "usage") else {
        faults.add(format!("{FIELD}.usage"), "is required");
        return;
    };
    let mut count = |object: Option<&Struct>, path: &str, name: &str| {
        let value = object.and_then(|object| object.fields.get(name));
        value.map_or(0, |value| {
            whole(value).unwrap_or_else(|| {
                faults.add(format!("{FIELD}.usage.{path}{name}"), "must be a whole number");
                0
            })
        })
    };
    let used_by = Some(used);
    let input_details = object(used, "prompt_tokens_details").or_else(|| object(used, "input_tokens_details"));
    let output_details = object(used, "completion_tokens_details").or_else(|| object(used, "output_tokens_details"));
    let is_anthropic = used.fields.contains_key("cache_read_input_tokens")
        || used.fields.contains_key("cache_creation_input_tokens")
        || (used.fields.contains_key("input_tokens")
            && input_details.is_none()
            && !used.fields.contains_key("total_tokens"));
    let by_life = object(used, "cache_creation");
    let mut counts = Counts {
        prompt: count(used_by, "", "prompt_tokens") + count(used_by, "", "input_tokens"),
        completion: count(used_by, "", "completion_tokens") + count(used_by, "", "output_tokens"),
        cache_read: count(input_details, "prompt_tokens_details.", "cached_tokens")
            + count(used_by, "", "cache_read_input_tokens"),
        cache_write: count(used_by, "", "cache_creation_input_tokens"),
        cache_write_1h: count(by_life, "cache_creation.", "ephemeral_1h_input_tokens"),
        input_audio: count(input_details, "prompt_tokens_details.", "audio_tokens"),
        output_audio: count(output_details, "completion_tokens_details.", "audio_tokens"),
        reasoning: count(output_details, "completion_tokens_details.", "reasoning_tokens"),
        ..Counts::default()
    };
    if is_anthropic {
        counts = counts.with_cache_in_prompt();
    }
    counts.check(&format!("{FIELD}.usage."), &mut faults.0);
    taken.counts = counts;
}

fn string(object: &Struct, name: &str) -> Option<String> {
    match &object.fields.get(name)?.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    }
}

fn object<'a>(object: &'a Struct, name: &str) -> Option<&'a Struct> {
    match &object.fields.get(name)?.kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

/// A number without a fraction, as JSON sends counts; null is 0.
fn whole(value: &prost_types::Value) -> Option<i64> {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Some(0),
        Some(Kind::NumberValue(number)) => {
            let text = number.to_string();
            text.parse().ok()
        }
        _ => None,
    }
}
