//! `ListTeams`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{member, red};
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

async fn ids(client: &Client, request: pb::ListTeamsRequest) -> Vec<String> {
    client.teams().list_teams(request).await.answer().teams.into_iter().map(|team| team.team_id).collect()
}

on_both! {
    async fn filters_orders_and_pages(world: World) {
        let (_, alice) = red(&world, pb::Team { team_alias: Some("The Reds".into()), max_budget: Some("2".into()), ..Default::default() }).await;
        world.team(pb::Team { team_id: "blue".into(), team_alias: Some("blues_".into()), max_budget: Some("10".into()), ..Default::default() }).await;
        world.team(pb::Team { team_id: "green".into(), spend: Some("1".into()), ..Default::default() }).await;
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "blue".into() }).await.answer();
        let by_id = || pb::ListTeamsRequest { order_by: "team_id".into(), ..Default::default() };
        for (request, found) in [
            (by_id(), vec!["blue", "green", "red"]),
            (pb::ListTeamsRequest { user_id: "alice".into(), ..by_id() }, vec!["red"]),
            (pb::ListTeamsRequest { team_id: "blue".into(), ..by_id() }, vec!["blue"]),
            (pb::ListTeamsRequest { team_alias_contains: "RED".into(), ..by_id() }, vec!["red"]),
            (pb::ListTeamsRequest { team_alias_contains: "_".into(), ..by_id() }, vec!["blue"]),
            (pb::ListTeamsRequest { search: "bl".into(), ..by_id() }, vec!["blue"]),
            (pb::ListTeamsRequest { search: "E".into(), ..by_id() }, vec!["blue", "red"]),
            (pb::ListTeamsRequest { search: "lue_".into(), ..by_id() }, vec![]),
            (pb::ListTeamsRequest { search: "GREE".into(), ..by_id() }, vec![]),
            (pb::ListTeamsRequest { blocked: Some(true), ..by_id() }, vec!["blue"]),
            (pb::ListTeamsRequest { blocked: Some(false), ..by_id() }, vec!["green", "red"]),
            (pb::ListTeamsRequest { order_by: "spend desc".into(), page_size: 1, ..Default::default() }, vec!["green"]),
            (pb::ListTeamsRequest { order_by: "max_budget desc".into(), blocked: Some(false), team_id: "red".into(), ..Default::default() }, vec!["red"]),
            (pb::ListTeamsRequest::default(), vec!["green", "blue", "red"]),
        ] {
            assert_eq!(ids(&world.admin, request.clone()).await, found, "{request:?}");
        }
        for column in ["created_at", "team_alias", "team_id", "max_budget", "spend"] {
            let mut request = pb::ListTeamsRequest { order_by: format!("{column} desc"), page_size: 2, include_total: true, ..Default::default() };
            let whole = ids(&world.admin, pb::ListTeamsRequest { page_size: 50, ..request.clone() }).await;
            let page = world.admin.teams().list_teams(request.clone()).await.answer();
            assert_eq!(page.total_size, Some(3));
            request.page_token = page.next_page_token;
            let mut walked: Vec<String> = page.teams.into_iter().map(|team| team.team_id).collect();
            walked.extend(ids(&world.admin, request).await);
            assert_eq!(walked, whole, "{column}");
        }
        // Others list what they are in.
        assert_eq!(ids(&alice, by_id()).await, ["red"]);
        assert_eq!(ids(&alice, pb::ListTeamsRequest { user_id: "alice".into(), ..by_id() }).await, ["red"]);
        let foreign = pb::ListTeamsRequest { user_id: "lead".into(), ..by_id() };
        alice.teams().list_teams(foreign).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        assert_eq!(ids(&alice, pb::ListTeamsRequest { team_id: "blue".into(), ..by_id() }).await, Vec::<String>::new());
    }

    async fn deleted_teams_are_in_the_archive(world: World) {
        let lead = world.person("lead", pb::Role::InternalUser).await;
        for id in ["a", "b", "c"] {
            world.team(pb::Team { team_id: id.into(), members: vec![member("lead", pb::TeamRole::Admin)], ..Default::default() }).await;
        }
        for id in ["b", "a"] {
            world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec![id.into()] }).await.answer();
        }
        let archive = pb::ListTeamsRequest { status: pb::TeamStatus::Deleted.into(), include_total: true, ..Default::default() };
        let answer = world.admin.teams().list_teams(archive.clone()).await.answer();
        assert_eq!(answer.total_size, Some(2));
        assert!(answer.teams.iter().all(|team| team.deleted_at.is_some()));
        assert_eq!(answer.teams.iter().map(|team| team.team_id.as_str()).collect::<Vec<_>>(), ["a", "b"], "the last deleted first");
        let mut paged = pb::ListTeamsRequest { page_size: 1, ..archive.clone() };
        paged.page_token = world.admin.teams().list_teams(paged.clone()).await.answer().next_page_token;
        assert_eq!(ids(&world.admin, paged).await, ["b"]);
        assert_eq!(ids(&world.admin, pb::ListTeamsRequest { search: "b".into(), ..archive.clone() }).await, ["b"]);
        assert_eq!(ids(&world.admin, pb::ListTeamsRequest::default()).await, ["c"]);
        let status = lead.teams().list_teams(archive).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}
