//! `OrganizationService`.

mod create;
mod delete;
mod get;
mod limits;
mod list;
mod members;
mod moves;
mod update;
mod users;

use bursar::pb;
use pb::OrganizationRole;

use crate::support::{Answer, Client, World};

/// A member with a role.
pub fn member(user_id: &str, role: OrganizationRole) -> pb::OrganizationMember {
    pb::OrganizationMember { user_id: user_id.into(), role: role.into(), ..Default::default() }
}

/// Reads an organization.
pub async fn organization(world: &World, id: &str) -> pb::Organization {
    let request = pb::GetOrganizationRequest { organization_id: id.into(), ..Default::default() };
    world.admin.organizations().get_organization(request).await.answer().organization.unwrap()
}

/// An organization "acme" with an admin and a member, who are returned as
/// callers.
pub async fn acme(world: &World, organization: pb::Organization) -> (Client, Client) {
    let olga = world.person("olga", pb::Role::InternalUser).await;
    let omar = world.person("omar", pb::Role::InternalUser).await;
    let members = vec![member("olga", OrganizationRole::Admin), member("omar", OrganizationRole::InternalUser)];
    world.organization(pb::Organization { organization_id: "acme".into(), members, ..organization }).await;
    (olga, omar)
}

/// A team of the organization "acme".
pub fn team(team_id: &str) -> pb::Team {
    pb::Team { team_id: team_id.into(), organization_id: Some("acme".into()), ..Default::default() }
}

/// Asks for a team to be made.
pub async fn make(client: &Client, team: pb::Team) -> Result<tonic::Response<pb::CreateTeamResponse>, tonic::Status> {
    client.teams().create_team(pb::CreateTeamRequest { team: Some(team), ..Default::default() }).await
}
