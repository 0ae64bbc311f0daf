//! Scope budgets: what calls of all keys may spend together.

pub(super) mod delete;
pub(super) mod list;
pub(super) mod set;

use crate::domain::account::{AccountId, Line, Scope};
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::scope_budget::ScopeBudget;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{budget, instant, text, zone};

/// Takes a kind of account that all keys share.
fn take_scope(number: i32, faults: &mut Faults) -> Option<Scope> {
    let named = pb::BudgetScope::try_from(number).ok().and_then(budget::scope_from_wire);
    let named = named.filter(|scope| scope.is_shared());
    if named.is_none() {
        faults.add("scope", "must be BUDGET_SCOPE_TAG, _PROVIDER, _MODEL or _GLOBAL");
    }
    named
}

/// Takes the account that a request names.
fn take_account(scope: i32, id: &str, faults: &mut Faults) -> Option<AccountId> {
    let scope = take_scope(scope, faults)?;
    match scope {
        Scope::Global if !id.is_empty() => faults.add("id", "must be empty: there is one account of everything"),
        Scope::Global => {}
        Scope::Model => text::required("id", id, MODEL_NAME_MAX_BYTES, faults),
        _ => text::required("id", id, text::LABEL_MAX_BYTES, faults),
    }
    Some(AccountId::stored(scope, id))
}

/// Budgets on the wire, with what is left of each.
///
/// # Errors
/// [`Error`] if the database fails.
async fn to_wire(ctx: &Ctx, budgets: Vec<ScopeBudget>) -> Result<Vec<pb::ScopeBudget>, Error> {
    let lines: Vec<Line<'_>> = budgets.iter().map(|of| Line::of_money(&of.account, &of.budget)).collect();
    let (standings, _) = ctx.app.gate.standings(&lines, ctx.now).await?;
    let shown = budgets.iter().zip(standings);
    let one = |(of, standing): (&ScopeBudget, _)| {
        let status = budget::to_wire(&standing);
        pb::ScopeBudget {
            scope: status.scope,
            id: status.id.clone(),
            budget: Some(pb::Budget {
                max_budget: status.max_budget.clone(),
                soft_budget: status.soft_budget.clone(),
                budget_duration: status.budget_duration.clone(),
                budget_resets_at: status.resets_at,
                time_zone: zone::to_wire(of.budget.zone),
                ..pb::Budget::default()
            }),
            status: Some(status),
            created_at: Some(instant::to_wire(of.created_at)),
            updated_at: Some(instant::to_wire(of.updated_at)),
        }
    };
    Ok(shown.map(one).collect())
}
