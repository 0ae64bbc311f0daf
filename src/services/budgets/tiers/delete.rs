//! `DeleteBudgets`: all or none.

use crate::domain::fault::Refusal;
use crate::domain::ids::BudgetId;
use crate::domain::reason::Reason;
use crate::domain::tier::Tier;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::{StoreError, Tx};

/// Deletes tiers.
pub(in crate::services::budgets) async fn delete_budgets(
    ctx: Ctx,
    request: pb::DeleteBudgetsRequest,
) -> Result<pb::DeleteBudgetsResponse, Error> {
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("budget_ids", &request.budget_ids, BudgetId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let mut tiers = tx.lock_tiers(&ids).await?;
    let unknown: Vec<&BudgetId> = ids.iter().filter(|id| !tiers.contains_key(*id)).collect();
    if !unknown.is_empty() {
        return Err(Refusal::not_found(Reason::BudgetNotFound, "budget", unknown).into());
    }
    let counts = tx.view().keys_in_tiers(&ids).await?;
    let mut detached_key_count = 0;
    for id in &ids {
        let Some(tier) = tiers.remove(id) else { continue };
        let count = counts.get(id).copied().unwrap_or_default();
        if count > 0 && !request.detach {
            return Err(in_use(id, count).into());
        }
        detached_key_count += delete(&mut tx, &tier, request.detach).await?;
    }
    ctx.commit(tx).await?;
    let deleted_budget_ids = ids.iter().map(ToString::to_string).collect();
    Ok(pb::DeleteBudgetsResponse { deleted_budget_ids, detached_key_count })
}

/// Says how many keys left the tier.
async fn delete(tx: &mut Tx, tier: &Tier, detach: bool) -> Result<i64, Error> {
    let left = if detach { tx.leave_tier(tier).await? } else { 0 };
    tx.delete_tier(tier).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("budget", &tier.budget_id)),
        // One joined in between.
        StoreError::Reference(_) => in_use(&tier.budget_id, 1).into(),
        error => error.into(),
    })?;
    Ok(i64::try_from(left).unwrap_or(i64::MAX))
}

fn in_use(id: &BudgetId, count: i64) -> Refusal {
    let message = format!("{count} keys are in budget {:?}; take them out of it, or set detach", id.as_str());
    Refusal::precondition(Reason::BudgetInUse, message).with("keys", count).about("budget", id)
}
