//! `DeleteScopeBudget`.

use super::take_account;
use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;

/// Removes a budget.
pub(in crate::services::budgets) async fn delete_scope_budget(
    ctx: Ctx,
    request: pb::DeleteScopeBudgetRequest,
) -> Result<pb::DeleteScopeBudgetResponse, Error> {
    let mut faults = Faults::default();
    let account = take_account(request.scope, &request.id, &mut faults);
    faults.finish()?;
    let account = account.ok_or_else(|| Error::internal("an account vanished"))?;
    let mut tx = ctx.begin().await?;
    let found = tx.view().find_scope_budget(&account).await?;
    let gone = found.ok_or_else(|| {
        let refusal = Refusal::not_found(Reason::ScopeBudgetNotFound, "scope budget", [account.name()]);
        refusal.saying(format!("{account} has no budget"))
    })?;
    tx.delete_scope_budget(&gone).await?;
    ctx.commit(tx).await?;
    Ok(pb::DeleteScopeBudgetResponse {})
}
