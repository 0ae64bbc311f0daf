//! Access: where a caller stands to an organization, a team or a key. What it may not see is
//! answered as if it did not exist.

use std::collections::BTreeSet;

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::organization::Organization;
use crate::domain::reason::Reason;
use crate::domain::role::{MemberPermission, OrganizationRole, TeamRole};
use crate::domain::team::Team;
use crate::domain::user::User;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::View;

/// Where a caller stands to a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TeamStanding {
    /// It may do everything.
    ProxyAdmin,
    /// It administers the team's organization.
    OrganizationAdmin,
    /// It administers the team.
    Admin,
    /// It is in the team, which permits this to its members.
    Member(BTreeSet<MemberPermission>),
    /// It may look.
    Viewer,
    /// It may not know of the team.
    Outsider,
}

impl TeamStanding {
    /// Whether it may see the team.
    pub(crate) fn sees(&self) -> bool {
        *self != Self::Outsider
    }

    /// Whether it may manage the team.
    pub(crate) fn manages(&self) -> bool {
        self.is_above() || *self == Self::Admin
    }

    /// Whether it stands above the team's own admins.
    pub(crate) fn is_above(&self) -> bool {
        matches!(self, Self::ProxyAdmin | Self::OrganizationAdmin)
    }

    /// Whether it may manage the team, or the team permits this to it.
    pub(crate) fn may(&self, permission: MemberPermission) -> bool {
        match self {
            Self::ProxyAdmin | Self::OrganizationAdmin | Self::Admin => true,
            Self::Member(permissions) => permissions.contains(&permission),
            Self::Viewer | Self::Outsider => false,
        }
    }
}

/// Where the caller stands to a team.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn standing_to(ctx: &Ctx, view: View<'_>, team: &Team) -> Result<TeamStanding, Error> {
    if ctx.caller.is_proxy_admin() {
        return Ok(TeamStanding::ProxyAdmin);
    }
    if ctx.caller.team_of_its_own() == Some(&team.team_id) {
        return Ok(TeamStanding::Member(team.permissions()));
    }
    // An admin viewer gains no writes by being in a team.
    if ctx.scope.is_all() {
        return Ok(TeamStanding::Viewer);
    }
    if let Some(organization) = &team.organization_id
        && administers(ctx, view, organization).await?
    {
        return Ok(TeamStanding::OrganizationAdmin);
    }
    let membership = match ctx.caller.user_id() {
        Some(user) => view.find_member(&team.team_id, user).await?,
        None => None,
    };
    Ok(match membership.map(|member| member.role) {
        Some(TeamRole::Admin) => TeamStanding::Admin,
        Some(TeamRole::User) => TeamStanding::Member(team.permissions()),
        None => TeamStanding::Outsider,
    })
}

/// The team with an id, and where the caller stands to it.
///
/// # Errors
/// `NOT_FOUND` if it does not exist, or the caller may not see it.
pub(crate) async fn visible_team(ctx: &Ctx, view: View<'_>, id: &TeamId) -> Result<(Team, TeamStanding), Error> {
    let not_found = || Refusal::not_found(Reason::TeamNotFound, "team", [id]);
    let team = view.find_team(id).await?.ok_or_else(not_found)?;
    let standing = standing_to(ctx, view, &team).await?;
    if standing.sees() { Ok((team, standing)) } else { Err(not_found().into()) }
}

/// The team with an id, which the caller manages.
///
/// # Errors
/// `NOT_FOUND` as for [`visible_team`]; `PERMISSION_DENIED` for a team that the
/// caller may see and not manage.
pub(crate) async fn managed_team(ctx: &Ctx, view: View<'_>, id: &TeamId) -> Result<(Team, TeamStanding), Error> {
    let (team, standing) = visible_team(ctx, view, id).await?;
    if standing.manages() { Ok((team, standing)) } else { Err(not_your_team(id).into()) }
}

/// The refusal of a change of a team that the caller may see.
pub(crate) fn not_your_team(id: &TeamId) -> Refusal {
    Refusal::denied(Reason::NotYourTeam, format!("team {id:?} is not yours to manage", id = id.as_str()))
        .about("team", id)
}

/// Whether the caller administers an organization.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn administers(ctx: &Ctx, view: View<'_>, id: &OrganizationId) -> Result<bool, Error> {
    let Some(user) = ctx.caller.user().filter(|user| user.ranks.organization == Some(OrganizationRole::Admin)) else {
        return Ok(false);
    };
    // The role counts that is stored now.
    let member = view.find_organization_member(id, &user.user_id).await?;
    Ok(member.is_some_and(|member| member.role == OrganizationRole::Admin))
}

/// Whether the caller manages a user, as an admin of its home: a user without
/// rights over the whole installation.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn manages_home_of(ctx: &Ctx, view: View<'_>, user: &User) -> Result<bool, Error> {
    match &user.home_organization_id {
        Some(home) if user.user_role.is_internal() && ctx.scope.has(Reach::AdminOrganization) => {
            administers(ctx, view, home).await
        }
        _ => Ok(false),
    }
}

/// The same of the user with an id, if there is one.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn manages_home_of_id(ctx: &Ctx, view: View<'_>, id: &UserId) -> Result<bool, Error> {
    if !ctx.scope.has(Reach::AdminOrganization) {
        return Ok(false);
    }
    match view.find_user(id).await? {
        Some(user) => manages_home_of(ctx, view, &user).await,
        None => Ok(false),
    }
}

/// Where a caller stands to an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrganizationStanding {
    /// It may do everything.
    ProxyAdmin,
    /// It administers the organization.
    Admin,
    /// It may look.
    Viewer,
    /// It is in the organization.
    Member,
    /// It may not know of the organization.
    Outsider,
}

impl OrganizationStanding {
    /// Whether it may manage the organization.
    pub(crate) const fn manages(self) -> bool {
        matches!(self, Self::ProxyAdmin | Self::Admin)
    }

    /// Whether it may see everything of the organization.
    pub(crate) const fn sees_all(self) -> bool {
        self.manages() || matches!(self, Self::Viewer)
    }
}

/// The organization with an id, and where the caller stands to it.
///
/// # Errors
/// `NOT_FOUND` if it does not exist, or the caller may not see it.
pub(crate) async fn visible_organization(
    ctx: &Ctx,
    view: View<'_>,
    id: &OrganizationId,
) -> Result<(Organization, OrganizationStanding), Error> {
    let not_found = || Refusal::not_found(Reason::OrganizationNotFound, "organization", [id]);
    let organization = view.find_organization(id).await?.ok_or_else(not_found)?;
    let standing = if ctx.caller.is_proxy_admin() {
        OrganizationStanding::ProxyAdmin
    } else if ctx.scope.is_all() {
        OrganizationStanding::Viewer
    } else {
        let member = match ctx.caller.user_id() {
            Some(user) => view.find_organization_member(id, user).await?,
            None => None,
        };
        match member.map(|member| member.role) {
            Some(OrganizationRole::Admin) => OrganizationStanding::Admin,
            Some(_) => OrganizationStanding::Member,
            None => OrganizationStanding::Outsider,
        }
    };
    if standing == OrganizationStanding::Outsider { Err(not_found().into()) } else { Ok((organization, standing)) }
}

/// The organization with an id, which the caller manages.
///
/// # Errors
/// `NOT_FOUND` as for [`visible_organization`]; `PERMISSION_DENIED` for one that
/// the caller may see and not manage.
pub(crate) async fn managed_organization(
    ctx: &Ctx,
    view: View<'_>,
    id: &OrganizationId,
) -> Result<(Organization, OrganizationStanding), Error> {
    let (organization, standing) = visible_organization(ctx, view, id).await?;
    if standing.manages() { Ok((organization, standing)) } else { Err(not_your_organization(id).into()) }
}

/// The refusal of a change of an organization, or of a question about one.
pub(crate) fn not_your_organization(id: &OrganizationId) -> Refusal {
    let message = format!("organization {:?} is not yours to manage", id.as_str());
    Refusal::denied(Reason::NotYourOrganization, message).about("organization", id)
}

/// The refusal of a key for a user that is not in the key's team.
pub(crate) fn not_a_member(team: &TeamId, user: &UserId) -> Refusal {
    let message = format!("user {:?} is not in team {:?}; add it first", user.as_str(), team.as_str());
    Refusal::precondition(Reason::UserNotInTeam, message).with("user_id", user).with("team_id", team)
}

/// Where a caller stands to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    /// It may do everything.
    ProxyAdmin,
    /// It manages the key's team; of a key without one, it administers the home
    /// organization of its owner.
    TeamAdmin,
    /// It owns the key; and perhaps its team permits it more.
    Owner(BTreeSet<MemberPermission>),
    /// It is in the key's team, which permits this to its members.
    TeamMember(BTreeSet<MemberPermission>),
    /// It may look.
    Viewer,
    /// It may not know of the key.
    Outsider,
}

impl KeyStanding {
    /// Whether it may see the key.
    pub(crate) fn sees(&self) -> bool {
        *self != Self::Outsider
    }

    /// Whether it may do what the owner may, or its team permits.
    pub(crate) fn may(&self, permission: MemberPermission) -> bool {
        matches!(self, Self::Owner(_)) || self.may_as_member(permission)
    }

    /// Whether it may do what is not the owner's to do as such.
    pub(crate) fn may_as_member(&self, permission: MemberPermission) -> bool {
        match self {
            Self::ProxyAdmin | Self::TeamAdmin => true,
            Self::Owner(permissions) | Self::TeamMember(permissions) => permissions.contains(&permission),
            Self::Viewer | Self::Outsider => false,
        }
    }
}

/// Where the caller stands to a key, for the RPC at hand: what its role may
/// not do with this RPC, its standing does not give.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn standing_to_key(ctx: &Ctx, view: View<'_>, key: &Key) -> Result<KeyStanding, Error> {
    if ctx.caller.is_proxy_admin() {
        return Ok(KeyStanding::ProxyAdmin);
    }
    let team = match &key.team_id {
        Some(id) => view.find_team(id).await?,
        None => None,
    };
    let in_team = match &team {
        Some(team) => standing_to(ctx, view, team).await?,
        None => TeamStanding::Outsider,
    };
    let is_itself = ctx.caller.key_id() == Some(key.key_id);
    let manages_owner = match &key.user_id {
        Some(owner) if key.team_id.is_none() && !ctx.caller.is_user(owner) => {
            manages_home_of_id(ctx, view, owner).await?
        }
        _ => false,
    };
    let owns = key.user_id.as_ref().is_some_and(|owner| ctx.caller.is_user(owner));
    // Service accounts are the team's, and known to all who are in it.
    let is_shown = |permissions: &BTreeSet<MemberPermission>| {
        key.user_id.is_none() || permissions.iter().any(|permission| permission.shows_keys())
    };
    let permitted = |permissions| if ctx.scope.has(Reach::Permitted) { permissions } else { BTreeSet::new() };
    Ok(match in_team {
        TeamStanding::OrganizationAdmin | TeamStanding::Admin => KeyStanding::TeamAdmin,
        // A key of a team does not manage itself.
        TeamStanding::Member(_) if is_itself && key.user_id.is_none() => KeyStanding::Viewer,
        TeamStanding::Member(permissions) if owns && ctx.scope.has(Reach::Own) => {
            KeyStanding::Owner(permitted(permissions))
        }
        TeamStanding::Member(permissions) if is_shown(&permissions) => KeyStanding::TeamMember(permitted(permissions)),
        _ if owns && ctx.scope.has(Reach::Own) => KeyStanding::Owner(BTreeSet::new()),
        _ if manages_owner => KeyStanding::TeamAdmin,
        _ if owns || is_itself || ctx.scope.is_all() => KeyStanding::Viewer,
        _ => KeyStanding::Outsider,
    })
}

/// Whether the caller may see a user, whatever it asks for: itself, one of the
/// teams and organizations it administers, or anybody.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn sees_user(ctx: &Ctx, view: View<'_>, user: &UserId) -> Result<bool, Error> {
    if ctx.scope.is_all() || ctx.caller.is_proxy_admin() || ctx.caller.is_user(user) {
        return Ok(true);
    }
    let Some(caller) = ctx.caller.user() else { return Ok(false) };
    let is_organization_admin = caller.ranks.organization == Some(OrganizationRole::Admin);
    if is_organization_admin && view.administers_organization_of(&caller.user_id, user).await? {
        return Ok(true);
    }
    let is_team_admin = caller.ranks.team == Some(TeamRole::Admin);
    Ok(is_team_admin && view.administers_member(&caller.user_id, user).await?)
}

/// The refusal of an operation for somebody else.
pub(crate) fn not_your_user(id: &UserId) -> Refusal {
    Refusal::denied(Reason::NotYourUser, format!("user {:?} is not yours to act for", id.as_str())).about("user", id)
}
