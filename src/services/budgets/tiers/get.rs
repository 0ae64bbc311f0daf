//! `GetBudget`.

use super::{not_found, to_wire};
use crate::domain::ids::BudgetId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

/// Reads a tier.
pub(in crate::services::budgets) async fn get_budget(
    ctx: Ctx,
    request: pb::GetBudgetRequest,
) -> Result<pb::GetBudgetResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("budget_id", &request.budget_id, BudgetId::parse, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an id vanished"))?;
    let tier = ctx.app.store.view().find_tier(&id).await?.ok_or_else(|| not_found(&id))?;
    Ok(pb::GetBudgetResponse { budget: to_wire(&ctx, vec![tier]).await?.pop() })
}
