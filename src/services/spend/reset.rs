//! `ResetSpend`: accounts begin their windows anew.

use super::accounts;
use crate::domain::money::Usd;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::budget;
use crate::services::wire::correction::{lock_spend, set_spend};
use crate::services::wire::faults::Faults;

/// The most accounts that a request names, and that are reset at once.
const AT_ONCE: usize = 500;

/// What a request asks for.
enum Command {
    All(Vec<pb::BudgetScope>),
    Named(pb::BudgetScope, Vec<String>),
}

/// Sets spend to zero.
pub(super) async fn reset_spend(ctx: Ctx, request: pb::ResetSpendRequest) -> Result<pb::ResetSpendResponse, Error> {
    let accounts_reset = match parse(request)? {
        Command::Named(scope, ids) => reset(&ctx, scope, &ids, true).await?,
        Command::All(scopes) => {
            let mut count = 0;
            for scope in scopes {
                count += reset_all(&ctx, scope).await?;
            }
            count
        }
    };
    Ok(pb::ResetSpendResponse { accounts_reset })
}

fn parse(request: pb::ResetSpendRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    if request.all {
        if request.scope != 0 || !request.ids.is_empty() {
            faults.add("all", "can't be set with scope and ids");
        }
        let named = request.scopes.iter().enumerate();
        let scopes: Vec<pb::BudgetScope> = named
            .filter_map(|(index, scope)| accounts::take_scope(&format!("scopes[{index}]"), *scope, &mut faults))
            .collect();
        faults.finish()?;
        let default = vec![pb::BudgetScope::Key, pb::BudgetScope::Team];
        return Ok(Command::All(if scopes.is_empty() { default } else { scopes }));
    }
    if !request.scopes.is_empty() {
        faults.add("scopes", "goes with all; name accounts by scope and ids");
    }
    let scope = accounts::take_scope("scope", request.scope, &mut faults);
    if request.ids.is_empty() || request.ids.len() > AT_ONCE {
        faults.add("ids", format!("must have 1-{AT_ONCE} entries, or all must be set"));
    }
    faults.finish()?;
    Ok(Command::Named(scope.ok_or_else(|| Error::internal("a scope vanished"))?, request.ids))
}

/// Resets every account of a kind that ever spent anything, some at a time.
async fn reset_all(ctx: &Ctx, scope: pb::BudgetScope) -> Result<i64, Error> {
    let Some(kind) = budget::scope_from_wire(scope) else { return Ok(0) };
    let mut count = 0;
    let mut last = None;
    loop {
        let found = ctx.app.store.view().accounts_with_spend(kind, last.as_ref(), AT_ONCE as u64).await?;
        let Some(end) = found.last() else { return Ok(count) };
        last = Some(end.clone());
        let ids: Vec<String> = found.iter().map(crate::domain::account::AccountId::object_id).collect();
        count += reset(ctx, scope, &ids, false).await?;
    }
}

/// Resets accounts in one transaction; returns how many had spent something.
/// Those that must exist fail the call if they do not.
async fn reset(ctx: &Ctx, scope: pb::BudgetScope, ids: &[String], must_exist: bool) -> Result<i64, Error> {
    let mut tx = ctx.begin().await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match accounts::named(ctx, tx.view(), scope, id).await {
            Ok(account) => found.push(account),
            // What a deleted object spent, it spent.
            Err(Error::Refused(_)) if !must_exist => {}
            Err(error) => return Err(error),
        }
    }
    lock_spend(ctx, &mut tx, found.iter().map(|(holder, budget)| (holder.owner(), budget))).await?;
    let mut count = 0;
    for (holder, budget) in &found {
        count += i64::from(set_spend(ctx, &mut tx, &holder.owner(), budget, Usd::ZERO).await?);
    }
    ctx.commit(tx).await?;
    Ok(count)
}
