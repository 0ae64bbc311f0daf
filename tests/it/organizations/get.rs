//! `GetOrganization`: admins see all of it, members their own place.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{acme, make, member, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn get() -> pb::GetOrganizationRequest {
    pb::GetOrganizationRequest { organization_id: "acme".into(), ..Default::default() }
}

on_both! {
    async fn everybody_sees_what_is_theirs(world: World) {
        let (olga, omar) = acme(&world, pb::Organization { max_budget: Some("5".into()), ..Default::default() }).await;
        make(&world.admin, team("red")).await.answer();
        let mine = pb::Team { members: vec![pb::TeamMember { user_id: "omar".into(), ..Default::default() }], ..team("blue") };
        make(&world.admin, mine).await.answer();
        for client in [&world.admin, &olga, &world.person("viewer", pb::Role::ProxyAdminViewer).await] {
            let answer = client.organizations().get_organization(get()).await.answer();
            let organization = answer.organization.unwrap();
            assert_eq!((organization.max_budget.as_deref(), organization.members.len(), answer.teams.len()), (Some("5"), 2, 2));
            assert_eq!((organization.team_count, organization.member_count), (2, 2));
        }
        let answer = omar.organizations().get_organization(get()).await.answer();
        let organization = answer.organization.unwrap();
        assert_eq!((organization.organization_alias.as_str(), organization.max_budget, organization.spend), ("acme", None, None));
        assert_eq!(organization.members.iter().map(|member| member.user_id.as_str()).collect::<Vec<_>>(), ["omar"]);
        assert_eq!(answer.teams.iter().map(|team| team.team_id.as_str()).collect::<Vec<_>>(), ["blue"]);
        let stranger = world.person("zoe", pb::Role::InternalUser).await;
        stranger.organizations().get_organization(get()).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        let basic = pb::GetOrganizationRequest { view: pb::OrganizationView::Basic.into(), ..get() };
        let answer = olga.organizations().get_organization(basic).await.answer();
        assert!(answer.teams.is_empty() && answer.organization.unwrap().members.is_empty());
    }

    async fn members_and_teams_go_on_page_by_page(world: World) {
        acme(&world, pb::Organization::default()).await;
        let members = (0..120).map(|n| member(&format!("u{n:03}"), pb::OrganizationRole::InternalUser)).collect();
        let add = pb::AddOrganizationMembersRequest { organization_id: "acme".into(), members, ..Default::default() };
        assert_eq!(world.admin.organizations().add_organization_members(add).await.answer().added_count, 120);
        for number in 0..101 {
            make(&world.admin, pb::Team { team_alias: Some(format!("t{number:03}")), ..team(&format!("t{number:03}")) }).await.answer();
        }
        let first = world.admin.organizations().get_organization(get()).await.answer();
        let rest = pb::GetOrganizationRequest { members_page_token: first.members_next_page_token.clone(), ..get() };
        let second = world.admin.organizations().get_organization(rest).await.answer();
        let ids = |answer: &pb::GetOrganizationResponse| answer.organization.as_ref().unwrap().members.iter().map(|member| member.user_id.clone()).collect::<Vec<_>>();
        let all = [ids(&first), ids(&second)].concat();
        assert_eq!((all.len(), second.members_next_page_token.as_str()), (122, ""));
        assert!(all.is_sorted());
        let teams = pb::ListTeamsRequest {
            organization_id: "acme".into(), order_by: "team_alias".into(), page_token: first.teams_next_page_token, ..Default::default()
        };
        let more = world.admin.teams().list_teams(teams).await.answer();
        assert_eq!((first.teams.len(), more.teams.len(), more.teams[0].team_id.as_str()), (100, 1, "t100"));
    }
}
