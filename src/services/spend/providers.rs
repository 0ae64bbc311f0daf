//! `GetProviderBudgets`.

use crate::domain::account::{Line, Scope};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::budget;

/// Shows how the budgets of providers stand.
pub(super) async fn get_provider_budgets(
    ctx: Ctx,
    _request: pb::GetProviderBudgetsRequest,
) -> Result<pb::GetProviderBudgetsResponse, Error> {
    let found = ctx.app.store.view().list_scope_budgets(Some(Scope::Provider), None, None).await?;
    let lines: Vec<Line<'_>> = found.iter().map(|of| Line::of_money(&of.account, &of.budget)).collect();
    let (standings, _) = ctx.app.gate.standings(&lines, ctx.now).await?;
    let status = standings.iter().map(budget::to_wire);
    Ok(pb::GetProviderBudgetsResponse { providers: status.map(|status| (status.id.clone(), status)).collect() })
}
