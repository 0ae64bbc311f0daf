//! Reach: the teams and organizations of a user, as parts of other queries. A
//! scope is a condition of the query, never a filter behind it.

use sea_orm::sea_query::{Expr, ExprTrait, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use strum::VariantArray;

use super::entity::{organization_members, team_members, teams, users};
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::role::{MemberPermission, OrganizationRole, Role, TeamRole};

/// The ids of the organizations that a user administers.
pub(super) fn organizations_administered(user: &UserId) -> SelectStatement {
    let admin: &'static str = OrganizationRole::Admin.into();
    organizations_of(user).and_where(organization_members::Column::Role.eq(admin)).to_owned()
}

/// The ids of the organizations that a user is in.
pub(super) fn organizations_of(user: &UserId) -> SelectStatement {
    organization_members::Entity::find()
        .select_only()
        .column(organization_members::Column::OrganizationId)
        .filter(organization_members::Column::UserId.eq(user.as_str()))
        .into_query()
}

/// The ids of the teams that a user is in, with any role or with this one.
pub(super) fn teams_of(user: &UserId, role: Option<TeamRole>) -> SelectStatement {
    let role = role.map(<&'static str>::from);
    team_members::Entity::find()
        .select_only()
        .column(team_members::Column::TeamId)
        .filter(team_members::Column::UserId.eq(user.as_str()))
        .filter(Condition::all().add_option(role.map(|role| team_members::Column::Role.eq(role))))
        .into_query()
}

/// The ids of the teams of an organization.
pub(super) fn teams_in_organization(id: &OrganizationId) -> SelectStatement {
    teams::Entity::find()
        .select_only()
        .column(teams::Column::TeamId)
        .filter(teams::Column::OrganizationId.eq(id.as_str()))
        .into_query()
}

/// The ids of the teams of the organizations that a user administers.
pub(super) fn teams_of_organizations(user: &UserId) -> SelectStatement {
    teams::Entity::find()
        .select_only()
        .column(teams::Column::TeamId)
        .filter(teams::Column::OrganizationId.in_subquery(organizations_administered(user)))
        .into_query()
}

/// The ids of the users at home in the organizations that a user administers, as
/// far as it manages them: those without rights over the whole installation.
pub(super) fn users_managed(user: &UserId) -> SelectStatement {
    let internal = Role::VARIANTS.iter().filter(|role| role.is_internal()).map(|role| <&'static str>::from(*role));
    users::Entity::find()
        .select_only()
        .column(users::Column::UserId)
        .filter(users::Column::HomeOrganizationId.in_subquery(organizations_administered(user)))
        .filter(users::Column::UserRole.is_in(internal))
        .into_query()
}

/// The ids of the organizations of the teams that a user administers.
pub(super) fn organizations_of_teams_administered(user: &UserId) -> SelectStatement {
    teams::Entity::find()
        .select_only()
        .column(teams::Column::OrganizationId)
        .filter(teams::Column::TeamId.in_subquery(teams_of(user, Some(TeamRole::Admin))))
        .filter(teams::Column::OrganizationId.is_not_null())
        .into_query()
}

/// What holds for the teams that a user manages: as their admin, or as one of
/// their organization.
pub(super) fn in_teams_managed(team: impl ColumnTrait, user: &UserId) -> Condition {
    Condition::any()
        .add(team.in_subquery(teams_of(user, Some(TeamRole::Admin))))
        .add(team.in_subquery(teams_of_organizations(user)))
}

/// The ids of the teams that a user administers, or that permit something to
/// it.
pub(super) fn teams_open_to(user: &UserId, permission: MemberPermission) -> SelectStatement {
    let admin: &'static str = TeamRole::Admin.into();
    let permission: &'static str = permission.into();
    let on =
        Expr::col((teams::Entity, teams::Column::TeamId)).equals((team_members::Entity, team_members::Column::TeamId));
    let mut query = team_members::Entity::find()
        .select_only()
        .column(team_members::Column::TeamId)
        .filter(team_members::Column::UserId.eq(user.as_str()))
        .filter(
            Condition::any()
                .add(team_members::Column::Role.eq(admin))
                // The list is JSON text of quoted words.
                .add(teams::Column::MemberPermissions.contains(format!("\"{permission}\""))),
        );
    QuerySelect::query(&mut query).inner_join(teams::Entity, on);
    query.into_query()
}
