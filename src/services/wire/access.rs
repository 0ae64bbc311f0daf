//! Access: where a caller stands to a team or a key. What it may not see is
//! answered as if it did not exist.

use std::collections::BTreeSet;

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::reason::Reason;
use crate::domain::role::{MemberPermission, TeamRole};
use crate::domain::team::Team;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::View;

/// Where a caller stands to a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TeamStanding {
    /// It may do everything.
    ProxyAdmin,
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
        matches!(self, Self::ProxyAdmin | Self::Admin)
    }

    /// Whether it may manage the team, or the team permits this to it.
    pub(crate) fn may(&self, permission: MemberPermission) -> bool {
        match self {
            Self::ProxyAdmin | Self::Admin => true,
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
    let membership = match ctx.caller.user_id() {
        Some(user) => view.find_member(&team.team_id, user).await?,
        None => None,
    };
    Ok(match membership.map(|member| member.role) {
        // An admin viewer gains no writes by being in a team.
        _ if ctx.scope.is_all() => TeamStanding::Viewer,
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

/// Where a caller stands to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    /// It may do everything.
    ProxyAdmin,
    /// It administers the key's team.
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
    let owns = key.user_id.as_ref().is_some_and(|owner| ctx.caller.is_user(owner));
    let permitted = |permissions| if ctx.scope.has(Reach::Permitted) { permissions } else { BTreeSet::new() };
    Ok(match in_team {
        TeamStanding::Admin => KeyStanding::TeamAdmin,
        // A key of a team does not manage itself.
        TeamStanding::Member(_) if is_itself && key.user_id.is_none() => KeyStanding::Viewer,
        TeamStanding::Member(permissions) if owns && ctx.scope.has(Reach::Own) => {
            KeyStanding::Owner(permitted(permissions))
        }
        TeamStanding::Member(permissions) => KeyStanding::TeamMember(permitted(permissions)),
        _ if owns && ctx.scope.has(Reach::Own) => KeyStanding::Owner(BTreeSet::new()),
        _ if owns || is_itself || ctx.scope.is_all() => KeyStanding::Viewer,
        _ => KeyStanding::Outsider,
    })
}

/// Whether the caller may see a user: itself, one of the teams it administers,
/// or anybody.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn sees_user(ctx: &Ctx, view: View<'_>, user: &UserId) -> Result<bool, Error> {
    if ctx.scope.is_all() || ctx.caller.is_proxy_admin() || ctx.caller.is_user(user) {
        return Ok(true);
    }
    match ctx.caller.user_id() {
        Some(caller) if ctx.scope.has(Reach::AdminTeam) => Ok(view.administers_member(caller, user).await?),
        _ => Ok(false),
    }
}

/// The refusal of an operation for somebody else.
pub(crate) fn not_your_user(id: &UserId) -> Refusal {
    Refusal::denied(Reason::NotYourUser, format!("user {:?} is not yours to act for", id.as_str())).about("user", id)
}
