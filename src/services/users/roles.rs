//! `ListRoles`: the roles that exist, in words.

use strum::VariantArray;

use crate::domain::role::{OrganizationRole, Role, TeamRole};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::role;

/// Lists the roles.
pub(super) async fn list_roles(_: Ctx, _: pb::ListRolesRequest) -> Result<pb::ListRolesResponse, Error> {
    let roles = Role::VARIANTS.iter().map(|value| {
        let (label, description) = value.in_words();
        pb::RoleDescription {
            role: role::role_to_wire(*value).into(),
            label: label.to_owned(),
            description: description.to_owned(),
        }
    });
    let team_roles = TeamRole::VARIANTS.iter().map(|value| {
        let (label, description) = value.in_words();
        pb::TeamRoleDescription {
            role: role::team_role_to_wire(*value).into(),
            label: label.to_owned(),
            description: description.to_owned(),
        }
    });
    let organization_roles = OrganizationRole::VARIANTS.iter().map(|value| {
        let (label, description) = value.in_words();
        pb::OrganizationRoleDescription {
            role: role::organization_role_to_wire(*value).into(),
            label: label.to_owned(),
            description: description.to_owned(),
        }
    });
    Ok(pb::ListRolesResponse {
        roles: roles.collect(),
        team_roles: team_roles.collect(),
        organization_roles: organization_roles.collect(),
    })
}
