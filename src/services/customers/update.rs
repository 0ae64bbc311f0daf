//! `UpdateCustomer`.

use super::{fields, not_found, stale, to_wire};
use crate::domain::customer::Customer;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::CustomerId;
use crate::domain::model_limit::following;
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::tier::{Tier, anchor_after};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::correction::{Owner, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{etag, text};
use crate::store::Tx;

/// The fields that a mask may name.
const FIELDS: [&str; 14] = [
    "alias",
    "blocked",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "budget_id",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "model_max_budget",
    "allowed_models",
    "metadata",
    "metadata.*",
    "spend",
];

/// A valid request.
struct Command<'a> {
    sent: &'a pb::Customer,
    wanted: Customer,
    mask: Mask<'a>,
    metadata: MetadataPatch,
    spend: Patch<Usd>,
}

/// Changes a customer.
pub(super) async fn update_customer(
    ctx: Ctx,
    request: pb::UpdateCustomerRequest,
) -> Result<pb::UpdateCustomerResponse, Error> {
    let nothing = pb::Customer::default();
    let sent = request.customer.as_ref().unwrap_or(&nothing);
    let command = parse(&ctx, sent, request.update_mask.as_ref())?;
    let id = command.wanted.customer_id.clone();
    let mut tx = ctx.begin().await?;
    // Before the customer, as whoever deletes a tier does.
    let joins = match &command.wanted.budget_id {
        Some(tier) => tx.hold_tier(tier).await?,
        None => None,
    };
    let before = tx.lock_customers(std::slice::from_ref(&id)).await?.remove(&id).ok_or_else(|| not_found([&id]))?;
    let after = change(&ctx, &mut tx, before, command, joins.as_ref()).await?;
    let customer = to_wire(&ctx, tx.view(), vec![after]).await?.pop();
    ctx.commit(tx).await?;
    Ok(pb::UpdateCustomerResponse { customer })
}

fn parse<'a>(
    ctx: &Ctx,
    sent: &'a pb::Customer,
    mask: Option<&'a prost_types::FieldMask>,
) -> Result<Command<'a>, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("customer.customer_id", &sent.customer_id, CustomerId::parse, &mut faults);
    let mask = Mask::new(mask, &FIELDS, &mut faults);
    let spend = mask.field("spend", faults.money("customer.spend", sent.spend.as_ref()));
    let metadata = MetadataPatch::take("customer.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default());
    let wanted = fields::take(sent, id.unwrap_or_else(|| CustomerId::stored("")), ctx.now, &mut faults);
    faults.finish()?;
    Ok(Command { sent, wanted, mask, metadata, spend })
}

/// `joins` is the tier that the request names, if it exists.
async fn change(
    ctx: &Ctx,
    tx: &mut Tx,
    before: Customer,
    command: Command<'_>,
    joins: Option<&Tier>,
) -> Result<Customer, Error> {
    let Command { sent, wanted, mask, metadata, spend } = command;
    let id = &before.customer_id;
    etag::check(&sent.etag, before.version, "customer", id)?;
    let mut after = apply(&before, wanted, sent, &mask);
    after.model_limits = following(after.model_limits, &before.model_limits, ctx.now);
    if !metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("customer.metadata", "must have at most 65536 bytes as JSON")));
    }
    after.budget.check_updated()?;
    if let Some(tier) = after.budget_id.as_ref().filter(|_| joins.is_none() && after.budget_id != before.budget_id) {
        return Err(Refusal::not_found(Reason::BudgetNotFound, "budget", [tier]).into());
    }
    let defaults = &ctx.app.gate.rules().customers;
    let (was, _) = tx.view().limits_of_customer(&before, defaults).await?;
    let (is, _) = tx.view().limits_of_customer(&after, defaults).await?;
    after.budget.anchor = anchor_after(&was, &is, &ctx.app.rules.calendar, ctx.now);
    tx.update_customer(&before, &mut after).await.map_err(|error| stale(error, id))?;
    let (is, _) = tx.view().limits_of_customer(&after, defaults).await?;
    keep_window(ctx, tx, &Owner::Customer(id), &was, &is).await?;
    if let Patch::Set(spend) = spend {
        set_spend(ctx, tx, &Owner::Customer(id), &is, spend).await?;
    }
    Ok(after)
}

fn apply(before: &Customer, wanted: Customer, sent: &pb::Customer, mask: &Mask<'_>) -> Customer {
    let mut after = before.clone();
    mask.list("alias", wanted.alias, sent.alias.is_empty()).apply_or_default(&mut after.alias);
    mask.field("blocked", sent.blocked).apply_or_default(&mut after.blocked);
    mask.field("max_budget", wanted.budget.max).apply(&mut after.budget.max);
    mask.field("soft_budget", wanted.budget.soft).apply(&mut after.budget.soft);
    mask.field("budget_duration", wanted.budget.duration).apply(&mut after.budget.duration);
    // An empty name of a tier is none.
    let budget_id = sent.budget_id.as_ref().map(|_| wanted.budget_id);
    mask.field("budget_id", budget_id).apply_or_default(&mut after.budget_id);
    mask.field("tpm_limit", wanted.rates.tpm).apply(&mut after.rates.tpm);
    mask.field("rpm_limit", wanted.rates.rpm).apply(&mut after.rates.rpm);
    mask.field("max_parallel_requests", wanted.rates.parallel).apply(&mut after.rates.parallel);
    mask.list("model_max_budget", wanted.model_limits, sent.model_max_budget.is_empty())
        .apply_or_default(&mut after.model_limits);
    mask.list("allowed_models", wanted.allowed_models, sent.allowed_models.is_empty())
        .apply_or_default(&mut after.allowed_models);
    after
}
