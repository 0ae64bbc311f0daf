//! `GetTotalSpend`.

use crate::domain::account::{AccountId, Line, Scope};
use crate::domain::rollup::{Grain, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::all_time;
use crate::services::reports::parts;
use crate::services::wire::budget;
use crate::services::wire::faults::Faults;
use crate::store::{EventScope, UsageFilter};

/// Shows what was spent altogether.
pub(super) async fn get_total_spend(
    ctx: Ctx,
    request: pb::GetTotalSpendRequest,
) -> Result<pb::GetTotalSpendResponse, Error> {
    let window = window(request.window)?;
    let budget = global_budget(&ctx).await?;
    let tomorrow = Grain::Day.end(ctx.now);
    let (from, until) = match (window, &budget) {
        (pb::SpendWindow::Unspecified | pb::SpendWindow::CurrentBudget, Some(budget)) => {
            return Ok(pb::GetTotalSpendResponse {
                spend: budget.spend.clone(),
                metrics: None,
                budget: Some(budget.clone()),
            });
        }
        (pb::SpendWindow::Last30Days, _) => (tomorrow.plus_seconds(-30 * 86_400), tomorrow),
        _ => all_time(ctx.now),
    };
    let filter = UsageFilter::of(Source::Call, EventScope::All);
    let snapshot = ctx.app.store.snapshot().await?;
    let metrics = parts::total(&parts::by_interval(&snapshot.view(), &[from, until], &filter).await?).to_wire();
    Ok(pb::GetTotalSpendResponse { spend: metrics.spend.clone(), metrics: Some(metrics), budget })
}

fn window(number: i32) -> Result<pb::SpendWindow, Error> {
    let mut faults = Faults::default();
    let window = pb::SpendWindow::try_from(number).unwrap_or_else(|_| {
        faults.add("window", format!("has no value {number}"));
        pb::SpendWindow::Unspecified
    });
    faults.finish()?;
    Ok(window)
}

/// How the budget of everything stands, if it is set.
async fn global_budget(ctx: &Ctx) -> Result<Option<pb::BudgetStatus>, Error> {
    let account = AccountId::stored(Scope::Global, "");
    let Some(of) = ctx.app.store.view().find_scope_budget(&account).await? else { return Ok(None) };
    let line = Line::of_money(&of.account, &of.budget);
    let (standings, _) = ctx.app.gate.standings(&[line], ctx.now).await?;
    Ok(standings.first().map(budget::to_wire))
}
