//! `CreateBudget`.

use super::fields;
use crate::domain::ids::BudgetId;
use crate::domain::tier::Tier;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::faults::Faults;
use crate::services::wire::{taken, text};
use crate::store::{Constraint, TierUsers};

/// Makes a tier.
pub(in crate::services::budgets) async fn create_budget(
    ctx: Ctx,
    request: pb::CreateBudgetRequest,
) -> Result<pb::CreateBudgetResponse, Error> {
    let mut faults = Faults::default();
    let nothing = pb::Budget::default();
    let sent = request.budget.as_ref().unwrap_or(&nothing);
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = text::budget_id("budget.budget_id", &sent.budget_id, &mut faults).unwrap_or_else(BudgetId::generate);
    let tier = fields::take(sent, id, &ctx, &mut faults);
    faults.finish()?;
    once(&ctx, &request.request_id, &request, |slot| create(&ctx, tier, slot)).await
}

async fn create(ctx: &Ctx, tier: Tier, slot: Slot) -> Result<pb::CreateBudgetResponse, Error> {
    let mut tx = ctx.begin().await?;
    tx.insert_tier(&tier).await.map_err(|error| {
        taken::explain(error, |constraint| (constraint == Constraint::BudgetId).then(|| tier.budget_id.to_string()))
    })?;
    let answer = pb::CreateBudgetResponse { budget: Some(fields::to_wire(&tier, TierUsers::default(), ctx)) };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

impl Answer for pb::CreateBudgetResponse {}
