//! `ListAvailableTeams`, and joining one.

use bursar::pb;
use pb::{ErrorReason, TeamRole};
use tonic::Code;

use super::{member, team};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

async fn world_with_open_teams(backend: Backend) -> World {
    let world = World::builder(backend)
        .set("default_internal_user_params", r#"{ available_teams = ["open", "also-open", "not-made"] }"#)
        .start()
        .await;
    let text = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
    let metadata = prost_types::Struct { fields: [("description".to_owned(), text("for all"))].into() };
    let open = pb::Team {
        team_id: "open".into(),
        team_alias: Some("B".into()),
        metadata: Some(metadata),
        ..Default::default()
    };
    world.team(open).await;
    world.team(pb::Team { team_id: "also-open".into(), team_alias: Some("A".into()), ..Default::default() }).await;
    world.team(pb::Team { team_id: "closed".into(), ..Default::default() }).await;
    world
}

async fn available(client: &Client) -> Vec<String> {
    let answer = client.teams().list_available_teams(pb::ListAvailableTeamsRequest::default()).await.answer();
    answer.teams.into_iter().map(|team| team.team_id).collect()
}

fn join(team_id: &str, members: Vec<pb::TeamMember>) -> pb::AddTeamMembersRequest {
    pb::AddTeamMembersRequest { team_id: team_id.into(), members, ..Default::default() }
}

on_both! {
    async fn available_teams_are_listed_and_joined(backend: Backend) {
        let world = world_with_open_teams(backend).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let request = pb::ListAvailableTeamsRequest { include_total: true, page_size: 1, ..Default::default() };
        let first = alice.teams().list_available_teams(request.clone()).await.answer();
        assert_eq!((first.teams[0].team_id.as_str(), first.total_size), ("also-open", Some(2)));
        let rest = pb::ListAvailableTeamsRequest { page_token: first.next_page_token, ..request };
        let second = alice.teams().list_available_teams(rest).await.answer();
        assert_eq!((second.teams[0].description.as_str(), second.next_page_token.as_str()), ("for all", ""));
        let answer = alice.teams().add_team_members(join("open", vec![member("alice", TeamRole::User)])).await.answer();
        assert!(answer.results[0].success);
        assert_eq!(available(&alice).await, ["also-open"]);
        assert_eq!(team(&world, "open").await.members[0].role(), TeamRole::User);
        world.admin.teams().list_available_teams(pb::ListAvailableTeamsRequest::default()).await.refused(Code::InvalidArgument, ErrorReason::CallerHasNoUser);
    }

    async fn who_joins_by_itself_gets_nothing_more(backend: Backend) {
        let world = world_with_open_teams(backend).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        let itself = || member("alice", TeamRole::User);
        for request in [
            join("open", vec![member("alice", TeamRole::Admin)]),
            join("open", vec![member("bob", TeamRole::User)]),
            join("open", vec![member("made-up", TeamRole::User)]),
            join("open", vec![itself(), member("bob", TeamRole::User)]),
            join("open", vec![pb::TeamMember { max_budget_in_team: Some("9".into()), ..itself() }]),
            join("open", vec![pb::TeamMember { rpm_limit: Some(9), ..itself() }]),
            pb::AddTeamMembersRequest { max_budget_in_team: Some("9".into()), ..join("open", vec![itself()]) },
        ] {
            alice.teams().add_team_members(request).await.refused(Code::PermissionDenied, ErrorReason::SelfJoinOnly);
        }
        alice.teams().add_team_members(join("closed", vec![itself()])).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        alice.teams().add_team_members(join("not-made", vec![itself()])).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        let everybody = pb::AddTeamMembersRequest { all_users: true, ..join("open", vec![]) };
        alice.teams().add_team_members(everybody).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let reader = world.person("reader", pb::Role::InternalUserViewer).await;
        reader.teams().add_team_members(join("open", vec![member("reader", TeamRole::User)])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        assert_eq!(team(&world, "open").await.member_count, 0);
        // Having joined, it is a plain member, and adds nobody else.
        alice.teams().add_team_members(join("open", vec![itself()])).await.answer();
        alice.teams().add_team_members(join("open", vec![member("bob", TeamRole::User)])).await.refused(Code::PermissionDenied, ErrorReason::SelfJoinOnly);
    }
}
