//! Tiers: limits that many keys share.

pub(super) mod create;
pub(super) mod delete;
mod fields;
pub(super) mod get;
pub(super) mod list;
pub(super) mod update;

use crate::domain::fault::Refusal;
use crate::domain::ids::BudgetId;
use crate::domain::reason::Reason;
use crate::domain::tier::Tier;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;

/// No tier has this id.
fn not_found(id: &BudgetId) -> Refusal {
    Refusal::not_found(Reason::BudgetNotFound, "budget", [id])
}

/// Tiers on the wire, with how many are in each.
///
/// # Errors
/// [`Error`] if the database fails.
async fn to_wire(ctx: &Ctx, tiers: Vec<Tier>) -> Result<Vec<pb::Budget>, Error> {
    let ids: Vec<BudgetId> = tiers.iter().map(|tier| tier.budget_id.clone()).collect();
    let counts = ctx.app.store.view().users_of_tiers(&ids).await?;
    let count = |tier: &Tier| counts.get(&tier.budget_id).copied().unwrap_or_default();
    Ok(tiers.iter().map(|tier| fields::to_wire(tier, count(tier), ctx)).collect())
}
