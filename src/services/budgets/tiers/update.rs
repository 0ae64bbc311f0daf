//! `UpdateBudget`: for all keys of the tier at once.

use super::{fields, not_found, to_wire};
use crate::domain::fault::Refusal;
use crate::domain::ids::BudgetId;
use crate::domain::key_limits::KeyLimits;
use crate::domain::tier::Tier;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::{etag, text};
use crate::store::StoreError;

/// The fields that a mask may name.
const FIELDS: [&str; 8] = [
    "max_budget",
    "soft_budget",
    "budget_duration",
    "time_zone",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "model_max_budget",
];

/// Changes a tier.
pub(in crate::services::budgets) async fn update_budget(
    ctx: Ctx,
    request: pb::UpdateBudgetRequest,
) -> Result<pb::UpdateBudgetResponse, Error> {
    let mut faults = Faults::default();
    let nothing = pb::Budget::default();
    let sent = request.budget.as_ref().unwrap_or(&nothing);
    let id = text::required_id("budget.budget_id", &sent.budget_id, BudgetId::parse, &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    let wanted = fields::take(sent, id.unwrap_or_else(|| BudgetId::stored("")), &ctx, &mut faults);
    faults.finish()?;

    let mut tx = ctx.begin().await?;
    let id = &wanted.budget_id;
    let before = tx.lock_tiers(std::slice::from_ref(id)).await?.remove(id).ok_or_else(|| not_found(id))?;
    etag::check(&sent.etag, before.version, "budget", id)?;
    let mut after = apply(&ctx, &before, &wanted, sent, &mask);
    after.budget.check_updated()?;
    tx.update_tier(&before, &mut after).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("budget", id)),
        error => error.into(),
    })?;
    ctx.commit(tx).await?;
    Ok(pb::UpdateBudgetResponse { budget: to_wire(&ctx, vec![after]).await?.pop() })
}

fn apply(ctx: &Ctx, before: &Tier, wanted: &Tier, sent: &pb::Budget, mask: &Mask<'_>) -> Tier {
    let mut after = before.clone();
    mask.field("max_budget", wanted.budget.max).apply(&mut after.budget.max);
    mask.field("soft_budget", wanted.budget.soft).apply(&mut after.budget.soft);
    let duration = mask.field("budget_duration", wanted.budget.duration);
    after.budget.set_duration(duration, &ctx.app.rules.calendar, ctx.now);
    let mut zone = after.budget.zone;
    mask.list("time_zone", wanted.budget.zone, sent.time_zone.is_empty()).apply_or_default(&mut zone);
    after.budget.set_zone(zone, ctx.now);
    mask.field("tpm_limit", wanted.rates.tpm).apply(&mut after.rates.tpm);
    mask.field("rpm_limit", wanted.rates.rpm).apply(&mut after.rates.rpm);
    mask.field("max_parallel_requests", wanted.rates.parallel).apply(&mut after.rates.parallel);
    let models = mask.list("model_max_budget", wanted.models.clone(), sent.model_max_budget.is_empty());
    models.apply_or_default(&mut after.models);
    let limits = |tier: &Tier| KeyLimits { models: tier.models.clone(), ..KeyLimits::default() };
    after.models = limits(&after).following(&limits(before), ctx.now).models;
    after
}
