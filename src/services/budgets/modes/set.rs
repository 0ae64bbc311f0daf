//! `SetBudgetMode`: how a budget is applied, new or replaced.

use super::{take_budget, to_wire};
use crate::domain::account::Scope;
use crate::domain::budget_mode::{BudgetMode, Mode};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::store::StoreError;

/// A valid request.
struct Command {
    scope: Scope,
    id: String,
    mode: Mode,
}

/// Sets a mode.
pub(in crate::services::budgets) async fn set_budget_mode(
    ctx: Ctx,
    request: pb::SetBudgetModeRequest,
) -> Result<pb::SetBudgetModeResponse, Error> {
    let Command { scope, id, mode } = parse(request)?;
    let mut tx = ctx.begin().await?;
    let set = if let Some(before) = tx.view().find_budget_mode(scope, &id).await? {
        let mut after = BudgetMode { mode, ..before.clone() };
        tx.update_budget_mode(&before, &mut after).await?;
        after
    } else {
        let made = BudgetMode { scope, id, mode, created_at: ctx.now, updated_at: ctx.now, version: 1 };
        // Whoever made the same one meanwhile has changed what this looked at.
        tx.insert_budget_mode(&made).await.map_err(|error| match error {
            StoreError::Taken(_) => StoreError::Stale,
            other => other,
        })?;
        made
    };
    ctx.commit(tx).await?;
    Ok(pb::SetBudgetModeResponse { budget_mode: Some(to_wire(&set)) })
}

fn parse(request: pb::SetBudgetModeRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let scope = take_budget(request.scope, &request.id, &mut faults);
    let learns = match pb::BudgetEstimates::try_from(request.estimates) {
        Ok(pb::BudgetEstimates::Unspecified | pb::BudgetEstimates::Strict) => false,
        Ok(pb::BudgetEstimates::Learned) => true,
        Err(_) => {
            faults.add("estimates", "must be BUDGET_ESTIMATES_STRICT or BUDGET_ESTIMATES_LEARNED");
            false
        }
    };
    faults.finish()?;
    let scope = scope.ok_or_else(|| Error::internal("a scope vanished"))?;
    Ok(Command { scope, id: request.id, mode: Mode { shadow: request.shadow, learns } })
}
