//! Modes of budgets: whether they deny, and what they take calls to cost.

pub(super) mod delete;
pub(super) mod list;
pub(super) mod set;

use uuid::Uuid;

use super::ACCOUNT_ID_MAX_BYTES;
use crate::domain::account::Scope;
use crate::domain::budget_mode::BudgetMode;
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::{budget, instant, text};

/// Takes a kind of account.
fn take_scope(number: i32, faults: &mut Faults) -> Option<Scope> {
    let named = pb::BudgetScope::try_from(number).ok().and_then(budget::scope_from_wire);
    // These have no budget.
    let named = named.filter(|scope| !matches!(scope, Scope::TeamModel | Scope::OrganizationModel));
    if named.is_none() {
        faults.add("scope", "must be a kind of account that has a budget, such as BUDGET_SCOPE_TEAM");
    }
    named
}

/// Takes the budget that a request names, or all of a scope.
fn take_budget(scope: i32, id: &str, faults: &mut Faults) -> Option<Scope> {
    let scope = take_scope(scope, faults)?;
    text::check("id", id, ACCOUNT_ID_MAX_BYTES, faults);
    if !id.is_empty() {
        match scope {
            Scope::Global => faults.add("id", "must be empty: there is one account of everything"),
            Scope::Key | Scope::KeyWindow | Scope::KeyModel if !begins_with_key_id(id) => {
                faults.add("id", "must begin with a key_id, which stays when the secret changes");
            }
            scope if scope.has_two_parts() && !id.contains('/') => {
                faults.add("id", "must have two parts that \"/\" separates; see BudgetScope");
            }
            _ => {}
        }
    }
    Some(scope)
}

fn begins_with_key_id(id: &str) -> bool {
    id.split('/').next().is_some_and(|first| first.parse::<Uuid>().is_ok())
}

/// A mode on the wire.
fn to_wire(mode: &BudgetMode) -> pb::BudgetMode {
    let estimates = if mode.mode.learns { pb::BudgetEstimates::Learned } else { pb::BudgetEstimates::Strict };
    pb::BudgetMode {
        scope: budget::scope_to_wire(mode.scope).into(),
        id: mode.id.clone(),
        shadow: mode.mode.shadow,
        estimates: estimates.into(),
        created_at: Some(instant::to_wire(mode.created_at)),
        updated_at: Some(instant::to_wire(mode.updated_at)),
    }
}
