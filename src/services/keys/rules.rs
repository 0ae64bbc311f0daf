//! What making and changing a key have in common.

use crate::domain::fault::Refusal;
use crate::domain::ids::{BudgetId, TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::key_rules::Adjusted;
use crate::domain::models::ModelList;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;
use crate::domain::team::Team;
use crate::domain::throughput::{Pool, Share};
use crate::domain::tier::Tier;
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::not_a_member;
use crate::services::wire::key;
use crate::store::{Sharers, Tx, View};

/// The user with an id.
///
/// # Errors
/// `NOT_FOUND` if there is none.
pub(super) async fn owner(view: View<'_>, id: &UserId) -> Result<User, Error> {
    let user = view.find_user(id).await?;
    Ok(user.ok_or_else(|| Refusal::not_found(Reason::UserNotFound, "user", [id]))?)
}

/// The tier of a key that is in one, which stays as it is until the end of the
/// transaction.
///
/// # Errors
/// `NOT_FOUND` if it does not exist.
pub(super) async fn tier(tx: &mut Tx, id: Option<&BudgetId>) -> Result<Option<Tier>, Error> {
    let Some(id) = id else { return Ok(None) };
    let tier = tx.hold_tier(id).await?;
    Ok(Some(tier.ok_or_else(|| Refusal::not_found(Reason::BudgetNotFound, "budget", [id]))?))
}

/// The budget that the caller can't exceed with keys that it makes: that of its
/// own key; without one, that of the team whose key it is to be, or of its user.
pub(super) fn ceiling(ctx: &Ctx, team: Option<&Team>) -> Option<Usd> {
    match (ctx.caller.key(), team) {
        (Some(key), _) => key.budget.max,
        (None, Some(team)) => team.budget.max,
        (None, None) => ctx.caller.user().and_then(|user| user.budget.max),
    }
}

/// Refuses a key for a user that is not in the key's team.
///
/// # Errors
/// `FAILED_PRECONDITION`.
pub(super) async fn check_membership(view: View<'_>, team: &TeamId, user: &UserId) -> Result<(), Error> {
    if view.find_member(team, user).await?.is_some() {
        return Ok(());
    }
    Err(not_a_member(team, user).into())
}

/// Refuses to give a key to a user that is blocked.
///
/// # Errors
/// `FAILED_PRECONDITION`.
pub(super) fn check_active(user: &User) -> Result<(), Refusal> {
    if !user.blocked {
        return Ok(());
    }
    let message = format!("user {:?} is blocked and gets no keys", user.user_id.as_str());
    Err(Refusal::precondition(Reason::UserDeactivated, message).about("user", &user.user_id))
}

/// Refuses models that the key's team, or its owner, may not call now.
///
/// # Errors
/// `FAILED_PRECONDITION` naming them.
pub(super) fn check_models(ctx: &Ctx, models: &ModelList, of_owner: &ModelList, owner: &str) -> Result<(), Refusal> {
    let book = ctx.app.gate.prices();
    let beyond = of_owner.beyond_in(models, &book);
    if beyond.is_empty() {
        return Ok(());
    }
    let message = format!("models {} are not among those of the {owner}", beyond.join(", "));
    Err(Refusal::precondition(Reason::ModelOutsideOwner, message).with("models", beyond.join(",")))
}

/// A refusal to write a field.
pub(super) fn field_refused(field: &str) -> Refusal {
    let message = format!("you may not write {field}");
    Refusal::denied(Reason::FieldNotAllowed, message).with("field", field)
}

/// Checks that what is guaranteed to a key is there: in its team, and in the
/// team's organization. Both must be held, so that nobody promises the same
/// meanwhile.
///
/// # Errors
/// `FAILED_PRECONDITION` if it is promised to others.
pub(super) async fn check_throughput(
    view: View<'_>,
    team: Option<&Team>,
    key: &Key,
    tier: Option<&Tier>,
) -> Result<(), Error> {
    let Some(team) = team else { return Ok(()) };
    let asked = Share::of_key(key, tier);
    if !asked.is_guaranteed() {
        return Ok(());
    }
    let others = view.shares_of_keys(Sharers::KeysOfTeam(&team.team_id), Some(key.key_id)).await?;
    Pool::to_keys(team).check(&asked, &others)?;
    let Some(id) = &team.organization_id else { return Ok(()) };
    let Some(organization) = view.find_organization(id).await? else { return Ok(()) };
    let others = view.shares_of_keys(Sharers::KeysOfOrganization(id), Some(key.key_id)).await?;
    Ok(Pool::to_keys_of_teams(&organization).check(&asked, &others)?)
}

/// What bounds changed, on the wire.
pub(super) fn adjusted_to_wire(adjusted: Vec<Adjusted>) -> Vec<pb::AdjustedField> {
    let to_wire =
        |Adjusted { path, requested, applied }| pb::AdjustedField { path: path.to_owned(), requested, applied };
    adjusted.into_iter().map(to_wire).collect()
}

/// A refusal that reads the same for a key that does not exist and for one that
/// the caller may not see. A secret is never repeated.
pub(super) fn not_found(hash: &KeyHash) -> Refusal {
    Refusal::not_found(Reason::KeyNotFound, "key", [hash])
}

/// A live key as it is stored now.
pub(super) async fn stored_key(ctx: &Ctx, hash: &KeyHash) -> Result<pb::Key, Error> {
    let stored = ctx.app.store.view().find_stored_key(hash, ctx.now).await?.ok_or_else(|| not_found(hash))?;
    Ok(key::to_wire(&stored, &ctx.app.rules.calendar, ctx.now))
}
