//! `SetScopeBudget`: a budget of calls of all keys, new or replaced.

use super::{take_account, to_wire};
use crate::domain::account::AccountId;
use crate::domain::limit::Budget;
use crate::domain::patch::Patch;
use crate::domain::scope_budget::ScopeBudget;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::correction::{Owner, begin_at_zero, keep_window};
use crate::services::wire::faults::Faults;
use crate::services::wire::zone;
use crate::store::{StoreError, Tx};

/// A valid request.
struct Command {
    account: AccountId,
    wanted: Budget,
}

/// Sets a budget.
pub(in crate::services::budgets) async fn set_scope_budget(
    ctx: Ctx,
    request: pb::SetScopeBudgetRequest,
) -> Result<pb::SetScopeBudgetResponse, Error> {
    let Command { account, wanted } = parse(&ctx, &request)?;
    let mut tx = ctx.begin().await?;
    let set = match tx.view().find_scope_budget(&account).await? {
        Some(before) => replace(&ctx, &mut tx, &before, &wanted).await?,
        None => make(&ctx, &mut tx, account, wanted).await?,
    };
    ctx.commit(tx).await?;
    Ok(pb::SetScopeBudgetResponse { scope_budget: to_wire(&ctx, vec![set]).await?.pop() })
}

async fn replace(ctx: &Ctx, tx: &mut Tx, before: &ScopeBudget, wanted: &Budget) -> Result<ScopeBudget, Error> {
    let mut after = before.clone();
    after.budget = Budget { max: wanted.max, soft: wanted.soft, ..before.budget };
    let length = wanted.duration.map_or(Patch::Clear, Patch::Set);
    after.budget.set_duration(length, &ctx.app.rules.calendar, ctx.now);
    after.budget.set_zone(wanted.zone, ctx.now);
    keep_window(ctx, tx, &Owner::Scope(&before.account), &before.budget, &after.budget).await?;
    tx.update_scope_budget(before, &mut after).await?;
    Ok(after)
}

async fn make(ctx: &Ctx, tx: &mut Tx, account: AccountId, budget: Budget) -> Result<ScopeBudget, Error> {
    let made = ScopeBudget { account, budget, created_at: ctx.now, updated_at: ctx.now, version: 1 };
    // Whoever made the same one meanwhile has changed what this looked at.
    tx.insert_scope_budget(&made).await.map_err(|error| match error {
        StoreError::Taken(_) => StoreError::Stale,
        other => other,
    })?;
    begin_at_zero(tx, &[Owner::Scope(&made.account)]).await?;
    Ok(made)
}

fn parse(ctx: &Ctx, request: &pb::SetScopeBudgetRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let account = take_account(request.scope, &request.id, &mut faults);
    let nothing = pb::Budget::default();
    let sent = request.budget.as_ref().unwrap_or_else(|| {
        faults.add("budget", "is required");
        &nothing
    });
    for (field, is_set) in [
        ("budget.budget_id", !sent.budget_id.is_empty()),
        ("budget.tpm_limit", sent.tpm_limit.is_some()),
        ("budget.rpm_limit", sent.rpm_limit.is_some()),
        ("budget.max_parallel_requests", sent.max_parallel_requests.is_some()),
        ("budget.model_max_budget", !sent.model_max_budget.is_empty()),
    ] {
        if is_set {
            faults.add(field, "is for limits that keys share; see CreateBudget");
        }
    }
    let max = faults.money("budget.max_budget", sent.max_budget.as_ref());
    let soft = faults.money("budget.soft_budget", sent.soft_budget.as_ref());
    let duration = faults.length("budget.budget_duration", sent.budget_duration.as_ref());
    let zone = zone::take("budget.time_zone", &sent.time_zone, &mut faults);
    let wanted = Budget { zone, ..Budget::new(max, soft, duration, ctx.now) };
    wanted.check_new("budget.", &mut faults.0);
    faults.finish()?;
    Ok(Command { account: account.ok_or_else(|| Error::internal("an account vanished"))?, wanted })
}
