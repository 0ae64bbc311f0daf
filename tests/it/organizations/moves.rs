//! Moving a team into an organization, and out of one.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{acme, make, member, organization, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn to(team_id: &str, organization: Option<&str>) -> pb::UpdateTeamRequest {
    let team =
        pb::Team { team_id: team_id.into(), organization_id: organization.map(Into::into), ..Default::default() };
    let mask = prost_types::FieldMask { paths: vec!["organization_id".into()] };
    pb::UpdateTeamRequest { team: Some(team), update_mask: Some(mask), ..Default::default() }
}

on_both! {
    async fn a_team_moves_only_where_it_fits(world: World) {
        let limits = pb::Organization {
            max_budget: Some("100".into()), tpm_limit: Some(10), rpm_limit: Some(5), models: vec!["a".into()], ..Default::default()
        };
        acme(&world, limits).await;
        let fitting = |team_id: &str| pb::Team {
            team_id: team_id.into(), models: vec!["a".into()], max_budget: Some("100".into()), tpm_limit: Some(10), rpm_limit: Some(5), ..Default::default()
        };
        let stranger = pb::TeamMember { user_id: "zoe".into(), ..Default::default() };
        for (team, reason) in [
            (fitting("fits"), None),
            (pb::Team { models: vec![], ..fitting("any-model") }, Some(ErrorReason::MoveModels)),
            (pb::Team { models: vec!["b".into()], ..fitting("other-model") }, Some(ErrorReason::MoveModels)),
            (pb::Team { max_budget: Some("101".into()), ..fitting("rich") }, Some(ErrorReason::MoveBudget)),
            (pb::Team { tpm_limit: Some(11), ..fitting("wordy") }, Some(ErrorReason::MoveTpm)),
            (pb::Team { rpm_limit: Some(6), ..fitting("busy") }, Some(ErrorReason::MoveRpm)),
            (pb::Team { members: vec![stranger], ..fitting("foreign") }, Some(ErrorReason::MoveMembers)),
        ] {
            let id = team.team_id.clone();
            world.team(team).await;
            let answer = world.admin.teams().update_team(to(&id, Some("acme"))).await;
            match reason {
                None => assert_eq!(answer.answer().team.unwrap().organization_id.as_deref(), Some("acme")),
                Some(reason) => drop(answer.refused(Code::FailedPrecondition, reason)),
            }
        }
        let with_members = pb::UpdateTeamRequest { add_members_to_organization: true, ..to("foreign", Some("acme")) };
        world.admin.teams().update_team(with_members).await.answer();
        assert!(organization(&world, "acme").await.members.iter().any(|member| member.user_id == "zoe"));
        world.admin.teams().update_team(to("fits", Some("nowhere"))).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        // The resulting team is checked, not the stored one.
        let mut narrowed = to("rich", Some("acme"));
        narrowed.team.as_mut().unwrap().max_budget = Some("1".into());
        narrowed.update_mask.as_mut().unwrap().paths.push("max_budget".into());
        world.admin.teams().update_team(narrowed).await.answer();
        assert_eq!(world.admin.teams().update_team(to("rich", None)).await.answer().team.unwrap().organization_id, None);
    }

    async fn it_takes_the_rights_on_both_sides(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let otto = world.person("otto", pb::Role::InternalUser).await;
        world.organization(pb::Organization { organization_id: "other".into(), members: vec![member("otto", pb::OrganizationRole::Admin)], ..Default::default() }).await;
        make(&olga, team("red")).await.answer();
        let lead = pb::TeamMember { user_id: "omar".into(), role: pb::TeamRole::Admin.into(), ..Default::default() };
        world.team(pb::Team { team_id: "free".into(), members: vec![lead], ..Default::default() }).await;
        otto.teams().update_team(to("red", Some("other"))).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        olga.teams().update_team(to("red", Some("other"))).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        olga.teams().update_team(to("red", None)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        olga.teams().update_team(to("free", Some("acme"))).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        omar.teams().update_team(to("free", Some("acme"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourOrganization);
        // Who administers the team and the organization moves it.
        let promote = pb::OrganizationMember { user_id: "omar".into(), role: pb::OrganizationRole::Admin.into(), ..Default::default() };
        let request = pb::UpdateOrganizationMemberRequest { organization_id: "acme".into(), member: Some(promote), ..Default::default() };
        olga.organizations().update_organization_member(request).await.answer();
        omar.teams().update_team(to("free", Some("acme"))).await.answer();
        olga.teams().get_team(pb::GetTeamRequest { team_id: "free".into(), ..Default::default() }).await.answer();
    }

    async fn who_joins_a_team_is_in_its_organization(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let lead = pb::TeamMember { user_id: "omar".into(), role: pb::TeamRole::Admin.into(), ..Default::default() };
        make(&olga, pb::Team { members: vec![lead], ..team("red") }).await.answer();
        world.user(pb::User { user_id: "zoe".into(), ..Default::default() }).await;
        let add = |member: pb::TeamMember, into: bool| pb::AddTeamMembersRequest {
            team_id: "red".into(), members: vec![member], atomic: true, add_members_to_organization: into, ..Default::default()
        };
        let zoe = pb::TeamMember { user_id: "zoe".into(), ..Default::default() };
        let new = pb::TeamMember { user_email: "new@b.c".into(), ..Default::default() };
        for member in [&zoe, &new] {
            omar.teams().add_team_members(add(member.clone(), false)).await.refused(Code::FailedPrecondition, ErrorReason::MemberNotInOrganization);
            omar.teams().add_team_members(add(member.clone(), true)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
            olga.teams().add_team_members(add(member.clone(), true)).await.answer();
        }
        let members = organization(&world, "acme").await.members;
        assert_eq!(members.len(), 4);
        let made = members.iter().find(|member| member.user_email == "new@b.c").unwrap();
        let user = world.admin.users().get_user(pb::GetUserRequest { user_id: made.user_id.clone(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!(user.home_organization_id.as_deref(), Some("acme"));
        let outside = pb::Team { members: vec![pb::TeamMember { user_id: "yan".into(), ..Default::default() }], ..team("blue") };
        make(&olga, outside.clone()).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        world.user(pb::User { user_id: "yan".into(), ..Default::default() }).await;
        make(&olga, outside.clone()).await.refused(Code::FailedPrecondition, ErrorReason::MemberNotInOrganization);
        let request = pb::CreateTeamRequest { team: Some(outside), add_members_to_organization: true, ..Default::default() };
        olga.teams().create_team(request).await.answer();
        let everybody = pb::AddTeamMembersRequest { team_id: "red".into(), all_users: true, ..Default::default() };
        world.admin.teams().add_team_members(everybody).await.refused(Code::FailedPrecondition, ErrorReason::MemberNotInOrganization);
    }

    async fn organization_admins_manage_its_teams_and_no_others(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        make(&olga, team("red")).await.answer();
        world.team(pb::Team { team_id: "free".into(), ..Default::default() }).await;
        make(&olga, pb::Team { organization_id: None, ..team("x") }).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        make(&olga, pb::Team { organization_id: Some("none".into()), ..team("x") }).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        let limit = |team_id: &str| pb::UpdateTeamRequest {
            team: Some(pb::Team { team_id: team_id.into(), max_budget: Some("7".into()), ..Default::default() }), ..Default::default()
        };
        olga.teams().update_team(limit("red")).await.answer();
        olga.teams().update_team(limit("free")).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        olga.keys().block_key(pb::BlockKeyRequest { key: secret, ..Default::default() }).await.answer();
        olga.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        let listed = |client: crate::support::Client| async move {
            let answer = client.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
            answer.teams.into_iter().map(|team| team.team_id).collect::<Vec<_>>()
        };
        assert_eq!(listed(olga.clone()).await, ["red"]);
        let keys = pb::ListKeysRequest { organization_id: "acme".into(), ..Default::default() };
        assert_eq!(olga.keys().list_keys(keys.clone()).await.answer().keys.len(), 1);
        let foreign = pb::ListKeysRequest { organization_id: "other".into(), ..keys };
        olga.keys().list_keys(foreign).await.refused(Code::PermissionDenied, ErrorReason::NotYourOrganization);
        olga.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["red".into(), "free".into()] }).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        olga.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["red".into()] }).await.answer();
        let archive = pb::ListTeamsRequest { status: pb::TeamStatus::Deleted.into(), ..Default::default() };
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["free".into()] }).await.answer();
        let archived = olga.teams().list_teams(archive.clone()).await.answer().teams;
        assert_eq!(archived.iter().map(|team| team.team_id.as_str()).collect::<Vec<_>>(), ["red"]);
        let zoe = world.person("zoe", pb::Role::InternalUser).await;
        zoe.teams().list_teams(archive).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }
}
