//! Accounts by name: what a request that corrects spend is about.

use crate::domain::account::AccountId;
use crate::domain::fault::Refusal;
use crate::domain::ids::{CustomerId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::key_limits::LimitFacts;
use crate::domain::limit::Budget;
use crate::domain::organization::member_budget;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::budget;
use crate::services::wire::correction::Owner;
use crate::services::wire::faults::Faults;
use crate::services::wire::team::effective;
use crate::store::View;

/// Whose account it is.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    Key(KeyId),
    KeyPart(KeyId, AccountId),
    Team(TeamId),
    User(UserId),
    Member(TeamId, UserId),
    Organization(OrganizationId),
    OrganizationMember(OrganizationId, UserId),
    Customer(CustomerId),
    UserModel(UserId, AccountId),
    CustomerModel(CustomerId, AccountId),
    Scope(AccountId),
}

impl Holder {
    /// The same, as corrections name it.
    pub(super) fn owner(&self) -> Owner<'_> {
        match self {
            Self::Key(id) => Owner::Key(*id),
            Self::KeyPart(id, account) => Owner::KeyPart(*id, account),
            Self::Team(id) => Owner::Team(id),
            Self::User(id) => Owner::User(id),
            Self::Member(team, user) => Owner::Member(team, user),
            Self::Organization(id) => Owner::Organization(id),
            Self::OrganizationMember(organization, user) => Owner::OrganizationMember(organization, user),
            Self::Customer(id) => Owner::Customer(id),
            Self::UserModel(id, account) => Owner::UserModel(id, account),
            Self::CustomerModel(id, account) => Owner::CustomerModel(id, account),
            Self::Scope(account) => Owner::Scope(account),
        }
    }
}

/// Takes a kind of account.
pub(super) fn take_scope(field: &str, number: i32, faults: &mut Faults) -> Option<pb::BudgetScope> {
    let scope = pb::BudgetScope::try_from(number).ok().filter(|scope| *scope != pb::BudgetScope::Unspecified);
    if scope.is_none() {
        faults.add(field, "must be a kind of account, such as BUDGET_SCOPE_KEY");
    }
    scope
}

/// The account with an id, and the budget whose window it is in.
///
/// # Errors
/// `NOT_FOUND` if nothing of this kind has this id.
pub(super) async fn named(
    ctx: &Ctx,
    view: View<'_>,
    scope: pb::BudgetScope,
    id: &str,
) -> Result<(Holder, Budget), Error> {
    let found = find(ctx, view, scope, id).await?;
    let kind = budget::scope_name(scope);
    let message = format!("no account {id:?} of kind {kind}; see BudgetScope for how each kind is named");
    Ok(found.ok_or_else(|| Refusal::not_found(Reason::AccountNotFound, "account", [id]).saying(message))?)
}

async fn find(ctx: &Ctx, view: View<'_>, scope: pb::BudgetScope, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    match scope {
        // Groups have no budgets of single models.
        pb::BudgetScope::Unspecified | pb::BudgetScope::TeamModel | pb::BudgetScope::OrganizationModel => Ok(None),
        pb::BudgetScope::Key => {
            let Ok(id) = id.parse().map(KeyId) else { return Ok(None) };
            let Some(key) = view.find_key_by_id(id).await? else { return Ok(None) };
            let budget = view.budget_of_key(&key).await?;
            let raised = LimitFacts::new(key.key_id, key.limits).and_then(|limits| limits.raise(&budget, ctx.now));
            Ok(Some((Holder::Key(key.key_id), raised.map_or(budget, |raised| *raised))))
        }
        pb::BudgetScope::KeyWindow | pb::BudgetScope::KeyModel => part_of_key(view, id).await,
        pb::BudgetScope::Team => {
            let Ok(id) = TeamId::parse(id) else { return Ok(None) };
            Ok(view.find_team(&id).await?.map(|team| (Holder::Team(team.team_id), team.budget)))
        }
        pb::BudgetScope::User => {
            let Ok(id) = UserId::parse(id) else { return Ok(None) };
            Ok(view.find_user(&id).await?.map(|user| (Holder::User(user.user_id), user.budget)))
        }
        pb::BudgetScope::Organization => {
            let Ok(id) = OrganizationId::parse(id) else { return Ok(None) };
            let found = view.find_organization(&id).await?;
            Ok(found.map(|organization| (Holder::Organization(organization.organization_id), organization.budget)))
        }
        pb::BudgetScope::Customer => {
            let Ok(id) = CustomerId::parse(id) else { return Ok(None) };
            let Some(customer) = view.find_customer(&id).await? else { return Ok(None) };
            let (budget, _) = view.limits_of_customer(&customer, &ctx.app.gate.rules().customers).await?;
            Ok(Some((Holder::Customer(id), budget)))
        }
        pb::BudgetScope::UserModel => user_model(view, id).await,
        pb::BudgetScope::CustomerModel => customer_model(ctx, view, id).await,
        pb::BudgetScope::TeamMember => team_member(view, id).await,
        pb::BudgetScope::OrganizationMember => organization_member(view, id).await,
        pb::BudgetScope::Tag | pb::BudgetScope::Provider | pb::BudgetScope::Model | pb::BudgetScope::Global => {
            let Some(scope) = budget::scope_from_wire(scope) else { return Ok(None) };
            let account = AccountId::stored(scope, id);
            let found = view.find_scope_budget(&account).await?;
            Ok(found.map(|found| (Holder::Scope(found.account), found.budget)))
        }
    }
}

/// Both ids may hold the character that separates them: whichever pair is a
/// member is meant.
fn pairs(id: &str) -> impl Iterator<Item = (&str, &str)> {
    id.match_indices('/').map(|(at, _)| (&id[..at], &id[at + 1..]))
}

async fn part_of_key(view: View<'_>, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    let Some(key_id) = id.split_once('/').and_then(|(key, _)| key.parse().ok()).map(KeyId) else { return Ok(None) };
    let Some(key) = view.find_key_by_id(key_id).await? else { return Ok(None) };
    let tier = view.tier_of_key(&key).await?;
    let limits = tier.map_or_else(|| key.limits.clone(), |tier| tier.limits_of(key.limits.clone()));
    let Some(limits) = LimitFacts::new(key_id, limits) else { return Ok(None) };
    let parts = limits.parts().find(|(account, _)| account.name() == id);
    Ok(parts.map(|(account, budget)| (Holder::KeyPart(key_id, account.clone()), *budget)))
}

async fn user_model(view: View<'_>, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    for (user, model) in pairs(id) {
        let Ok(user) = UserId::parse(user) else { continue };
        if let Some(of) = view.find_user(&user).await?
            && let Some(limit) = of.model_limits.get(model)
        {
            let account = AccountId::user_model(&user, model);
            return Ok(Some((Holder::UserModel(user, account), limit.budget)));
        }
    }
    Ok(None)
}

async fn customer_model(ctx: &Ctx, view: View<'_>, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    for (customer, model) in pairs(id) {
        let Ok(customer) = CustomerId::parse(customer) else { continue };
        if let Some(of) = view.find_customer(&customer).await?
            && let Some(limit) = view.model_limits_of_customer(&of, &ctx.app.gate.rules().customers).await?.get(model)
        {
            let account = AccountId::customer_model(&customer, model);
            return Ok(Some((Holder::CustomerModel(customer, account), limit.budget)));
        }
    }
    Ok(None)
}

async fn team_member(view: View<'_>, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    for (team, user) in pairs(id) {
        let (Ok(team), Ok(user)) = (TeamId::parse(team), UserId::parse(user)) else { continue };
        if let Some(member) = view.find_member(&team, &user).await?
            && let Some(of) = view.find_team(&team).await?
        {
            let (budget, _) = effective(&member, &of);
            return Ok(Some((Holder::Member(team, user), budget)));
        }
    }
    Ok(None)
}

async fn organization_member(view: View<'_>, id: &str) -> Result<Option<(Holder, Budget)>, Error> {
    for (organization, user) in pairs(id) {
        let (Ok(organization), Ok(user)) = (OrganizationId::parse(organization), UserId::parse(user)) else { continue };
        if let Some(member) = view.find_organization_member(&organization, &user).await?
            && let Some(of) = view.find_organization(&organization).await?
        {
            let budget = member_budget(member.max_budget_in_organization, &of.budget);
            return Ok(Some((Holder::OrganizationMember(organization, user), budget)));
        }
    }
    Ok(None)
}
