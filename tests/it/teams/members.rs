//! `AddTeamMembers` and `RemoveTeamMember`.

use bursar::pb;
use pb::{ErrorReason, TeamRole};
use tonic::Code;
use tonic_types::pb::Status as RpcStatus;

use super::{member, red, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn add(members: Vec<pb::TeamMember>) -> pb::AddTeamMembersRequest {
    pb::AddTeamMembersRequest { team_id: "red".into(), members, ..Default::default() }
}

fn remove(user_id: &str) -> pb::RemoveTeamMemberRequest {
    pb::RemoveTeamMemberRequest { team_id: "red".into(), user_id: user_id.into(), ..Default::default() }
}

fn code(error: Option<&RpcStatus>) -> Option<Code> {
    error.map(|error| Code::from_i32(error.code))
}

on_both! {
    async fn each_member_has_a_result_of_its_own(world: World) {
        red(&world, pb::Team::default()).await;
        world.user(pb::User { user_id: "bob".into(), user_email: Some("bob@b.c".into()), ..Default::default() }).await;
        world.user(pb::User { user_id: "carol".into(), user_email: Some("carol@b.c".into()), ..Default::default() }).await;
        let request = pb::AddTeamMembersRequest {
            max_budget_in_team: Some("4".into()),
            ..add(vec![
                member("alice", TeamRole::Admin),
                pb::TeamMember { user_email: "BOB@b.c".into(), role: TeamRole::Admin.into(), ..Default::default() },
                member("new-by-id", TeamRole::User),
                pb::TeamMember { user_email: "new@b.c".into(), max_budget_in_team: Some("9".into()), ..Default::default() },
                pb::TeamMember { user_email: "carol@b.c".into(), ..member("lead", TeamRole::User) },
            ])
        };
        let answer = world.admin.teams().add_team_members(request).await.answer();
        let told: Vec<_> = answer.results.iter()
            .map(|result| (result.success, result.already_member, result.created_user, code(result.error.as_ref()))).collect();
        assert_eq!(told, [
            (false, true, false, None),
            (true, false, false, None),
            (true, false, true, None),
            (true, false, true, None),
            (false, false, false, Some(Code::InvalidArgument)),
        ]);
        assert_eq!((answer.added_count, answer.unchanged_count, answer.failed_count), (3, 1, 1));
        let members = team(&world, "red").await.members;
        let found = |id: &str| members.iter().find(|member| member.user_id == id).unwrap();
        assert_eq!((found("alice").role(), found("alice").max_budget_in_team.as_deref()), (TeamRole::User, None), "nothing was changed");
        assert_eq!((found("bob").role(), found("bob").max_budget_in_team.as_deref()), (TeamRole::Admin, Some("4")));
        let by_mail = answer.results[3].member.as_ref().unwrap();
        assert_eq!((by_mail.user_email.as_str(), by_mail.max_budget_in_team.as_deref()), ("new@b.c", Some("9")));
    }

    async fn who_is_named_twice_joins_once_and_is_told(world: World) {
        red(&world, pb::Team::default()).await;
        world.user(pb::User { user_id: "bob".into(), user_email: Some("bob@b.c".into()), ..Default::default() }).await;
        let by_email = pb::TeamMember { user_email: "bob@b.c".into(), ..Default::default() };
        let twice = || add(vec![member("bob", TeamRole::User), by_email.clone(), member("alice", TeamRole::User), member("alice", TeamRole::User)]);
        let all_or_none = pb::AddTeamMembersRequest { atomic: true, ..twice() };
        assert_eq!(world.admin.teams().add_team_members(all_or_none).await.bad()[0].0, "members[1]");
        assert_eq!(team(&world, "red").await.member_count, 2);
        let answer = world.admin.teams().add_team_members(twice()).await.answer();
        assert_eq!((answer.added_count, answer.unchanged_count, answer.failed_count), (1, 1, 2));
        let told: Vec<_> = answer.results.iter().map(|result| code(result.error.as_ref())).collect();
        assert_eq!(told, [None, Some(Code::InvalidArgument), None, Some(Code::InvalidArgument)]);
        assert_eq!(team(&world, "red").await.member_count, 3);
    }

    async fn atomic_adds_all_or_none(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        let request = pb::AddTeamMembersRequest { atomic: true, ..add(vec![member("bob", TeamRole::User), member("nobody", TeamRole::User)]) };
        lead.teams().add_team_members(request).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        assert_eq!(team(&world, "red").await.member_count, 2);
        let partly = lead.teams().add_team_members(add(vec![member("bob", TeamRole::User), member("nobody", TeamRole::User)])).await.answer();
        assert_eq!((partly.added_count, partly.failed_count), (1, 1), "a team admin makes nobody by id");
    }

    async fn everybody_is_added_at_once_by_proxy_admins(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        for number in 0..30 {
            world.user(pb::User { user_id: format!("u{number}"), ..Default::default() }).await;
        }
        let request = pb::AddTeamMembersRequest { all_users: true, ..add(Vec::new()) };
        let status = lead.teams().add_team_members(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let answer = world.admin.teams().add_team_members(request.clone()).await.answer();
        assert_eq!((answer.added_count, answer.unchanged_count, answer.results.len()), (30, 2, 0));
        assert_eq!(world.admin.teams().add_team_members(request).await.answer().added_count, 0);
    }

    async fn impossible_requests_are_refused(world: World) {
        red(&world, pb::Team::default()).await;
        for (request, field) in [
            (add(Vec::new()), "members"),
            (add(vec![member("x", TeamRole::User); 501]), "members"),
            (pb::AddTeamMembersRequest { all_users: true, ..add(vec![member("x", TeamRole::User)]) }, "members"),
            (add(vec![pb::TeamMember { rpm_limit: Some(-1), ..member("x", TeamRole::User) }]), "members[0].rpm_limit"),
        ] {
            assert_eq!(world.admin.teams().add_team_members(request).await.bad()[0].0, field);
        }
        let request = pb::AddTeamMembersRequest { team_id: "blue".into(), ..add(vec![member("x", TeamRole::User)]) };
        world.admin.teams().add_team_members(request).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn a_replay_answers_as_before(world: World) {
        red(&world, pb::Team::default()).await;
        let request = pb::AddTeamMembersRequest { request_id: "r".into(), ..add(vec![member("bob", TeamRole::User)]) };
        let first = world.admin.teams().add_team_members(request.clone()).await.answer();
        let second = world.admin.teams().add_team_members(request).await.answer();
        assert!(second.results[0].success && second == first);
    }

    async fn a_member_goes_with_its_keys_in_this_team_only(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let (_, personal) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, shared) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let answer = lead.teams().remove_team_member(remove("alice")).await.answer();
        assert_eq!((answer.deleted_key_count, answer.team.unwrap().member_count), (1, 1));
        let state = |key: pb::Key| {
            let admin = world.admin.clone();
            async move { admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer().key.unwrap().state() }
        };
        assert_eq!((state(personal).await, state(shared).await), (pb::KeyState::Active, pb::KeyState::Deleted));
        lead.teams().remove_team_member(remove("alice")).await.refused(Code::NotFound, ErrorReason::MemberNotFound);
        alice.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn members_leave_by_themselves_and_the_last_admin_does_not(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        alice.teams().remove_team_member(remove("lead")).await.refused(Code::PermissionDenied, ErrorReason::NotYourTeam);
        alice.teams().remove_team_member(remove("alice")).await.answer();
        lead.teams().remove_team_member(remove("lead")).await.refused(Code::FailedPrecondition, ErrorReason::LastTeamAdmin);
        world.admin.teams().remove_team_member(remove("lead")).await.answer();
        let neither = pb::RemoveTeamMemberRequest { team_id: "red".into(), ..Default::default() };
        world.admin.teams().remove_team_member(neither).await.refused(Code::InvalidArgument, ErrorReason::UserReferenceMissing);
    }
}
