//! `GetBudgetStatus`: every budget and limit that would bind a call.

use crate::auth::Reach;
use crate::domain::account::{AccountId, Line};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::identity::{Identity, ModelAccounts, Models};
use crate::domain::ids::{CustomerId, OrganizationId, TeamId, UserId};
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::pb::get_budget_status_request::Subject;
use crate::services::Ctx;
use crate::services::wire::access::{administers, sees_user, standing_to_key, visible_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::{budget, key_ref, standings, text};

/// Shows budgets and limits.
pub(super) async fn get_budget_status(
    ctx: Ctx,
    request: pb::GetBudgetStatusRequest,
) -> Result<pb::GetBudgetStatusResponse, Error> {
    let mut faults = Faults::default();
    match request.subject {
        None => {
            let own = ctx.caller.key().and_then(|key| key.hash());
            let Some(hash) = own else {
                let rule = "or user_id or team_id is required: the master key is no virtual key";
                return Err(Error::invalid(Violation::named("key", Reason::CallerHasNoKey, rule)));
            };
            of_key(&ctx, &hash).await
        }
        Some(Subject::Key(key)) => {
            let hash = key_ref::required("key", &key, &mut faults);
            faults.finish()?;
            of_key(&ctx, &hash.ok_or_else(|| Error::internal("a key reference vanished"))?).await
        }
        Some(Subject::UserId(id)) => {
            let id = text::required_id("user_id", &id, UserId::parse, &mut faults);
            faults.finish()?;
            of_user(&ctx, &id.ok_or_else(|| Error::internal("a user id vanished"))?).await
        }
        Some(Subject::TeamId(id)) => {
            let id = text::required_id("team_id", &id, TeamId::parse, &mut faults);
            faults.finish()?;
            of_team(&ctx, &id.ok_or_else(|| Error::internal("a team id vanished"))?).await
        }
        Some(Subject::OrganizationId(id)) => {
            let id = text::required_id("organization_id", &id, OrganizationId::parse, &mut faults);
            faults.finish()?;
            of_organization(&ctx, &id.ok_or_else(|| Error::internal("an organization id vanished"))?).await
        }
        Some(Subject::CustomerId(id)) => {
            let id = text::required_id("customer_id", &id, CustomerId::parse, &mut faults);
            faults.finish()?;
            of_customer(&ctx, &id.ok_or_else(|| Error::internal("a customer id vanished"))?).await
        }
    }
}

async fn of_customer(ctx: &Ctx, id: &CustomerId) -> Result<pb::GetBudgetStatusResponse, Error> {
    if !ctx.scope.has(Reach::All) {
        return Err(Refusal::not_found(Reason::CustomerNotFound, "customer", [id]).into());
    }
    let customer = ctx.app.gate.directory().customer(id).await?;
    of_lines(ctx, &customer.lines(Models::All).collect::<Vec<_>>()).await
}

async fn of_key(ctx: &Ctx, hash: &KeyHash) -> Result<pb::GetBudgetStatusResponse, Error> {
    let not_found = || Refusal::not_found(Reason::KeyNotFound, "key", [hash]);
    let identity: Identity = ctx.app.gate.directory().find_by_any(hash, ctx.now).await?.ok_or_else(not_found)?;
    let is_itself = ctx.caller.key_id() == identity.key.id();
    if !is_itself && !ctx.scope.is_all() {
        let view = ctx.app.store.view();
        let key = view.find_key(hash).await?.ok_or_else(not_found)?;
        if !standing_to_key(ctx, view, &key).await?.sees() {
            return Err(not_found().into());
        }
    }
    let (budgets, rate_limits) = standings::of_key(ctx, &identity).await?;
    Ok(pb::GetBudgetStatusResponse { budgets, rate_limits })
}

async fn of_user(ctx: &Ctx, id: &UserId) -> Result<pb::GetBudgetStatusResponse, Error> {
    let view = ctx.app.store.view();
    let not_found = || Refusal::not_found(Reason::UserNotFound, "user", [id]);
    if !sees_user(ctx, view, id).await? {
        return Err(not_found().into());
    }
    let user = view.find_user(id).await?.ok_or_else(not_found)?;
    let on_all_keys = ctx.app.gate.rules().user_budget_on_team_keys;
    let (of_all, personal) = (AccountId::user(id), AccountId::user_personal(id));
    let all = line(&of_all, &user.budget, &user.rates, on_all_keys, true);
    let own = (!on_all_keys).then(|| line(&personal, &user.budget, &user.rates, true, false));
    let models = ModelAccounts::of_user(&user);
    let lines: Vec<Line<'_>> = std::iter::once(all).chain(own).chain(models.lines(Models::All)).collect();
    of_lines(ctx, &lines).await
}

async fn of_team(ctx: &Ctx, id: &TeamId) -> Result<pb::GetBudgetStatusResponse, Error> {
    let view = ctx.app.store.view();
    let team = if ctx.scope.has(Reach::All) {
        let team = view.find_team(id).await?;
        team.ok_or_else(|| Refusal::not_found(Reason::TeamNotFound, "team", [id]))?
    } else {
        visible_team(ctx, view, id).await?.0
    };
    let (account, models) = (AccountId::team(id), ModelAccounts::of_team(&team));
    let whole = line(&account, &team.budget, &team.rates, true, true);
    let lines: Vec<Line<'_>> = std::iter::once(whole).chain(models.lines(Models::All)).collect();
    of_lines(ctx, &lines).await
}

async fn of_organization(ctx: &Ctx, id: &OrganizationId) -> Result<pb::GetBudgetStatusResponse, Error> {
    let view = ctx.app.store.view();
    let not_found = || Refusal::not_found(Reason::OrganizationNotFound, "organization", [id]);
    // Its plain members may not know its budget.
    if !ctx.scope.has(Reach::All) && !administers(ctx, view, id).await? {
        return Err(not_found().into());
    }
    let organization = view.find_organization(id).await?.ok_or_else(not_found)?;
    let (account, models) = (AccountId::organization(id), ModelAccounts::of_organization(&organization));
    let whole = line(&account, &organization.budget, &organization.rates, true, true);
    let lines: Vec<Line<'_>> = std::iter::once(whole).chain(models.lines(Models::All)).collect();
    of_lines(ctx, &lines).await
}

fn line<'a>(
    account: &'a AccountId,
    budget: &'a crate::domain::limit::Budget,
    rates: &'a crate::domain::limit::Rates,
    budget_binds: bool,
    rates_bind: bool,
) -> Line<'a> {
    Line { budget_binds, rates_bind, ..Line::new(account, budget, rates) }
}

async fn of_lines(ctx: &Ctx, lines: &[Line<'_>]) -> Result<pb::GetBudgetStatusResponse, Error> {
    let (mut budgets, rates) = ctx.app.gate.all_standings(lines, ctx.now).await?;
    budget::retain_binding(&mut budgets, lines);
    Ok(pb::GetBudgetStatusResponse {
        budgets: budgets.iter().map(budget::to_wire).collect(),
        rate_limits: rates.iter().map(budget::rate_to_wire).collect(),
    })
}
