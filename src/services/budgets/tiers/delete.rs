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
use crate::store::{StoreError, TierUsers, Tx};

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
    let counts = tx.view().users_of_tiers(&ids).await?;
    let mut detached = TierUsers::default();
    for id in &ids {
        let Some(tier) = tiers.remove(id) else { continue };
        let users = counts.get(id).copied().unwrap_or_default();
        if users != TierUsers::default() && !request.detach {
            return Err(in_use(id, users).into());
        }
        let left = delete(&mut tx, &tier, request.detach).await?;
        detached = TierUsers { keys: detached.keys + left.keys, customers: detached.customers + left.customers };
    }
    ctx.commit(tx).await?;
    let deleted_budget_ids = ids.iter().map(ToString::to_string).collect();
    let TierUsers { keys: detached_key_count, customers: detached_customer_count } = detached;
    Ok(pb::DeleteBudgetsResponse { deleted_budget_ids, detached_key_count, detached_customer_count })
}

/// Says how many left the tier.
async fn delete(tx: &mut Tx, tier: &Tier, detach: bool) -> Result<TierUsers, Error> {
    let left = if detach { tx.leave_tier(tier).await? } else { TierUsers::default() };
    tx.delete_tier(tier).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("budget", &tier.budget_id)),
        // One joined in between.
        StoreError::Reference(_) => in_use(&tier.budget_id, TierUsers::default()).into(),
        error => error.into(),
    })?;
    Ok(left)
}

fn in_use(id: &BudgetId, users: TierUsers) -> Refusal {
    let TierUsers { keys, customers } = users;
    let message = format!(
        "{keys} keys and {customers} customers are in budget {:?}; take them out of it, or set detach",
        id.as_str()
    );
    let refusal = Refusal::precondition(Reason::BudgetInUse, message);
    refusal.with("keys", keys).with("customers", customers).about("budget", id)
}
