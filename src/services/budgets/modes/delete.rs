//! `DeleteBudgetMode`.

use super::take_budget;
use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;

/// Removes a mode.
pub(in crate::services::budgets) async fn delete_budget_mode(
    ctx: Ctx,
    request: pb::DeleteBudgetModeRequest,
) -> Result<pb::DeleteBudgetModeResponse, Error> {
    let mut faults = Faults::default();
    let scope = take_budget(request.scope, &request.id, &mut faults);
    faults.finish()?;
    let scope = scope.ok_or_else(|| Error::internal("a scope vanished"))?;
    let mut tx = ctx.begin().await?;
    let found = tx.view().find_budget_mode(scope, &request.id).await?;
    let gone = found.ok_or_else(|| {
        let refusal = Refusal::not_found(Reason::BudgetModeNotFound, "budget mode", [request.id.as_str()]);
        let whose = if request.id.is_empty() { "all" } else { request.id.as_str() };
        refusal.saying(format!("no mode is set for {whose:?} of the scope {}", scope.in_words()))
    })?;
    tx.delete_budget_mode(&gone).await?;
    ctx.commit(tx).await?;
    Ok(pb::DeleteBudgetModeResponse {})
}
