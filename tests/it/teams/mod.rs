//! `TeamService`.

mod available;
mod block;
mod create;
mod delete;
mod get;
mod list;
mod member;
mod members;
mod models;
mod permissions;
mod update;

use bursar::pb;

use crate::support::{Answer, World};

/// A member with a role.
pub fn member(user_id: &str, role: pb::TeamRole) -> pb::TeamMember {
    pb::TeamMember { user_id: user_id.into(), role: role.into(), ..Default::default() }
}

/// Reads a team.
pub async fn team(world: &World, team_id: &str) -> pb::Team {
    let request = pb::GetTeamRequest { team_id: team_id.into(), ..Default::default() };
    world.admin.teams().get_team(request).await.answer().team.unwrap()
}

/// A team "red" with an admin and a member, who are returned as callers.
pub async fn red(world: &World, team: pb::Team) -> (crate::support::Client, crate::support::Client) {
    let lead = world.person("lead", pb::Role::InternalUser).await;
    let alice = world.person("alice", pb::Role::InternalUser).await;
    let members = vec![member("lead", pb::TeamRole::Admin), member("alice", pb::TeamRole::User)];
    world.team(pb::Team { team_id: "red".into(), members, ..team }).await;
    (lead, alice)
}
