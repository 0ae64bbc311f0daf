//! Which usage a caller may see, and what it may ask for by name.

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::services::Ctx;
use crate::services::wire::access::{
    administers, not_your_organization, not_your_team, not_your_user, sees_user, standing_to,
};
use crate::store::EventScope;

/// The usage that the caller may see, where teams may open theirs by a
/// permission.
pub(super) fn scope(ctx: &Ctx, permission: MemberPermission) -> EventScope {
    if ctx.scope.is_all() {
        return EventScope::All;
    }
    match (ctx.caller.user_id(), ctx.caller.key_id()) {
        (Some(user), _) => EventScope::OfUser(user.clone(), permission),
        // Without a user it is a key; the master key reaches everything.
        (None, key) => EventScope::OfKey(key.unwrap_or(KeyId(uuid::Uuid::nil()))),
    }
}

/// The usage that the caller may see by end users: of the teams and the
/// organizations that it administers.
///
/// # Errors
/// `PERMISSION_DENIED` for who administers nothing.
pub(super) fn scope_by_customer(ctx: &Ctx) -> Result<EventScope, Refusal> {
    if ctx.scope.is_all() {
        return Ok(EventScope::All);
    }
    let administers = ctx.scope.has(Reach::AdminOrganization) || ctx.scope.has(Reach::AdminTeam);
    let Some(user) = ctx.caller.user_id().filter(|_| administers) else {
        let message = "end users are shown to admins only: of teams, of organizations, of all";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "SPEND_DIMENSION_CUSTOMER"));
    };
    Ok(EventScope::Administered(user.clone()))
}

/// The usage that the caller may see of teams: of those that it administers,
/// whose organization it does, or that show it to their members.
pub(super) fn scope_of_teams(ctx: &Ctx) -> EventScope {
    match (scope(ctx, MemberPermission::TeamDailyActivity), ctx.caller.user_id()) {
        (EventScope::All, _) => EventScope::All,
        (_, Some(user)) => EventScope::InTeamsOpenTo(user.clone(), MemberPermission::TeamDailyActivity),
        (of_key, None) => of_key,
    }
}

/// The usage that the caller may see, split by these dimensions.
///
/// # Errors
/// `PERMISSION_DENIED` for a split that is not its to see.
pub(super) fn scope_by(
    ctx: &Ctx,
    mut by: impl Iterator<Item = Dimension>,
    permission: MemberPermission,
) -> Result<EventScope, Refusal> {
    if by.any(|dimension| dimension == Dimension::Customer) {
        return scope_by_customer(ctx);
    }
    Ok(scope(ctx, permission))
}

/// The filters of a request that name somebody.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) key: Option<KeyHash>,
    pub(super) user_id: Option<UserId>,
    pub(super) team_id: Option<TeamId>,
    pub(super) organization_id: Option<OrganizationId>,
}

/// Refuses filters on what the caller may not see, in the same words whether it
/// exists or not. Returns the id of the key; `None` if it never existed.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) async fn check(ctx: &Ctx, named: &Named, permission: MemberPermission) -> Result<Option<KeyId>, Error> {
    let view = ctx.app.store.view();
    if let Some(user) = &named.user_id
        && !sees_user(ctx, view, user).await?
    {
        return Err(not_your_user(user).into());
    }
    if let Some(id) = &named.organization_id
        && !ctx.scope.is_all()
        && !administers(ctx, view, id).await?
    {
        return Err(not_your_organization(id).into());
    }
    if let Some(id) = &named.team_id
        && !ctx.scope.is_all()
    {
        let team = view.find_team(id).await?;
        let sees = match &team {
            Some(team) => standing_to(ctx, view, team).await?.sees(),
            None => false,
        };
        if !sees {
            return Err(not_your_team(id).into());
        }
    }
    let Some(hash) = &named.key else { return Ok(None) };
    let key = view.find_key_ever(hash).await?;
    let sees = ctx.scope.is_all()
        || match &key {
            Some(key) => sees_usage_of(ctx, key, permission).await?,
            None => false,
        };
    if !sees {
        let message = "the key is not yours to ask about";
        return Err(Refusal::denied(Reason::NotYourKey, message).about("key", hash).into());
    }
    // A key that never existed used nothing.
    Ok(Some(key.map_or(KeyId(uuid::Uuid::nil()), |key| key.key_id)))
}

async fn sees_usage_of(ctx: &Ctx, key: &Key, permission: MemberPermission) -> Result<bool, Error> {
    let owns = key.user_id.as_ref().is_some_and(|owner| ctx.caller.is_user(owner));
    if owns || ctx.caller.key_id() == Some(key.key_id) {
        return Ok(true);
    }
    let view = ctx.app.store.view();
    let team = match &key.team_id {
        Some(id) => view.find_team(id).await?,
        None => None,
    };
    match team {
        Some(team) if ctx.caller.user_id().is_some() => Ok(standing_to(ctx, view, &team).await?.may(permission)),
        _ => Ok(false),
    }
}
