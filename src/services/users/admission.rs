//! Who may make which users, and where they may be put.

use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::key::KeyType;
use crate::domain::key_rules::NewKey;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::domain::team::Team;
use crate::domain::user::User;
use crate::error::Error;
use crate::services::Ctx;
use crate::services::wire::access;
use crate::store::Tx;

use super::create::Command;
use super::update::not_in_organization;

/// An organization admin makes users in its organizations, without rights over
/// the whole installation. The organizations are locked: it stays their admin
/// until the user is made.
pub(super) async fn check_rights(ctx: &Ctx, tx: &mut Tx, command: &Command) -> Result<(), Error> {
    tx.lock_organizations(&command.organizations).await?;
    if ctx.scope.is_all() {
        return Ok(());
    }
    if command.organizations.is_empty() {
        let message = "organization_ids must name organizations that you administer";
        return Err(Refusal::denied(Reason::NotYourOrganization, message).into());
    }
    for id in &command.organizations {
        if !access::administers(ctx, tx.view(), id).await? {
            return Err(access::not_your_organization(id).into());
        }
    }
    let new = &command.new;
    let role = new.user_role.or(ctx.app.rules.users.user_role).unwrap_or(Role::InternalUserViewer);
    if role.is_admin() {
        let message = "only a proxy admin may give an admin role";
        return Err(Refusal::denied(Reason::AdminRoleNeedsProxyAdmin, message).into());
    }
    let key = command.key.as_ref();
    let refused = [
        ("user.spend", command.spend.is_some()),
        ("user.home_organization_id", new.home_organization_id.is_some()),
        // Who learns the secret of a key for another gains no rights by it.
        ("key.key_type", command.names_key_type && key.is_some_and(|key| key.key_type != KeyType::LlmApi)),
        ("key.allowed_routes", key.is_some_and(|key| !key.allowed_routes.is_empty())),
        ("key.team_id", key.is_some_and(|key| key.team_id.is_some())),
        ("key.temp_budget_increase", key.is_some_and(|key| key.limits.increase.is_some())),
    ];
    match refused.into_iter().find(|(_, set)| *set) {
        None => Ok(()),
        Some((field, _)) => {
            let message = format!("only a proxy admin may set {field}");
            Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", field).into())
        }
    }
}

/// The key that comes with a user is in a team only that the user is put into.
pub(super) fn check_team_of_key(key: &NewKey, user: &UserId, teams: &[TeamId]) -> Result<(), Refusal> {
    match &key.team_id {
        Some(team) if !teams.contains(team) => Err(access::not_a_member(team, user)),
        _ => Ok(()),
    }
}

/// They must exist, and one of them is the user's home, if it has one.
pub(super) async fn check_organizations(
    tx: &mut Tx,
    made: &User,
    organizations: &[OrganizationId],
) -> Result<(), Error> {
    let found = tx.lock_organizations(organizations).await?;
    let is_found = |id: &&OrganizationId| found.iter().any(|organization| organization.organization_id == **id);
    let missing: Vec<&OrganizationId> = organizations.iter().filter(|id| !is_found(id)).collect();
    if !missing.is_empty() {
        return Err(Refusal::not_found(Reason::OrganizationNotFound, "organization", missing).into());
    }
    match &made.home_organization_id {
        Some(home) if !organizations.contains(home) => Err(not_in_organization(&made.user_id, home).into()),
        _ => Ok(()),
    }
}

/// They must exist, and belong to no other organization. Of those that it asks
/// for, an organization admin may know the teams of the named organizations.
pub(super) async fn check_teams(
    ctx: &Ctx,
    tx: &Tx,
    asked: &[TeamId],
    teams: &[TeamId],
    organizations: &[OrganizationId],
) -> Result<(), Error> {
    let of_others = |team: &Team| team.organization_id.as_ref().is_some_and(|id| !organizations.contains(id));
    let mut found = tx.view().teams_by_id(teams).await?;
    if !ctx.scope.is_all() {
        let is_own = |team: &Team| team.organization_id.is_some() && !of_others(team);
        found.retain(|team| is_own(team) || !asked.contains(&team.team_id));
    }
    let missing: Vec<&TeamId> = teams.iter().filter(|id| !found.iter().any(|team| team.team_id == **id)).collect();
    if !missing.is_empty() {
        return Err(Refusal::not_found(Reason::TeamNotFound, "team", missing).into());
    }
    let Some(team) = found.into_iter().find(of_others) else { return Ok(()) };
    let (name, id) = (team.team_id.as_str(), team.organization_id.as_ref().map_or("", OrganizationId::as_str));
    let message = format!("team {name:?} belongs to organization {id:?}; name that in organization_ids, too");
    let refusal = Refusal::precondition(Reason::MemberNotInOrganization, message);
    Err(refusal.with("organization_id", id).into())
}
