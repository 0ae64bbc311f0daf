//! Members of organizations.

use bursar::pb;
use pb::{ErrorReason, OrganizationRole};
use tokio::task::JoinSet;
use tonic::Code;

use super::{acme, make, member, organization, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn add(members: Vec<pb::OrganizationMember>) -> pb::AddOrganizationMembersRequest {
    pb::AddOrganizationMembersRequest { organization_id: "acme".into(), members, ..Default::default() }
}

fn remove(user_id: &str) -> pb::RemoveOrganizationMemberRequest {
    pb::RemoveOrganizationMemberRequest {
        organization_id: "acme".into(),
        user_id: user_id.into(),
        ..Default::default()
    }
}

fn update(member: pb::OrganizationMember, paths: &[&str]) -> pb::UpdateOrganizationMemberRequest {
    let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    pb::UpdateOrganizationMemberRequest {
        organization_id: "acme".into(),
        member: Some(member),
        update_mask: (!paths.is_empty()).then_some(mask),
    }
}

on_both! {
    async fn each_member_has_a_result_of_its_own(world: World) {
        let (olga, _) = acme(&world, pb::Organization { max_budget: Some("10".into()), ..Default::default() }).await;
        let bob = pb::User { user_id: "bob".into(), user_email: Some("bob@b.c".into()), user_role: pb::Role::InternalUser.into(), ..Default::default() };
        world.user(bob).await;
        let request = pb::AddOrganizationMembersRequest {
            max_budget_in_organization: Some("4".into()),
            ..add(vec![
                member("omar", OrganizationRole::Admin),
                pb::OrganizationMember { user_email: "BOB@b.c".into(), role: OrganizationRole::Admin.into(), ..Default::default() },
                pb::OrganizationMember { user_email: "new@b.c".into(), max_budget_in_organization: Some("9".into()), ..Default::default() },
                member("made-by-id", OrganizationRole::InternalUser),
                pb::OrganizationMember { user_email: "bob@b.c".into(), ..member("omar", OrganizationRole::Admin) },
                pb::OrganizationMember { user_email: "rich@b.c".into(), max_budget_in_organization: Some("11".into()), ..Default::default() },
            ])
        };
        let bad = olga.organizations().add_organization_members(request.clone()).await.bad();
        assert_eq!(bad, [("members[4]".to_owned(), "DUPLICATE_MEMBER".to_owned())], "the same address, or the same id, twice");
        let mut request = request;
        request.members.remove(4);
        let answer = olga.organizations().add_organization_members(request).await.answer();
        let told: Vec<_> = answer.results.iter().map(|result| {
            (result.success, result.already_member, result.created_user, result.error.as_ref().map(|error| Code::from_i32(error.code)))
        }).collect();
        assert_eq!(told, [
            (false, true, false, None),
            (true, false, false, None),
            (true, false, true, None),
            (false, false, false, Some(Code::NotFound)),
            (false, false, false, Some(Code::FailedPrecondition)),
        ]);
        assert_eq!((answer.added_count, answer.unchanged_count, answer.failed_count), (2, 1, 2));
        let made = answer.results[2].member.as_ref().unwrap();
        assert_eq!((made.user_email.as_str(), made.max_budget_in_organization.as_deref()), ("new@b.c", Some("9")));
        let user = world.admin.users().get_user(pb::GetUserRequest { user_id: made.user_id.clone(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!(user.home_organization_id.as_deref(), Some("acme"), "made by its admin");
        assert_eq!(user.user_role(), pb::Role::InternalUser);
        let nobody = pb::ListUsersRequest { user_email: "rich@b.c".into(), ..Default::default() };
        assert!(world.admin.users().list_users(nobody).await.answer().users.is_empty(), "a refused member leaves no user behind");
    }

    async fn of_one_user_added_20_times_at_once_one_joins(world: World) {
        acme(&world, pb::Organization::default()).await;
        let mut makers = JoinSet::new();
        for _ in 0..20 {
            let admin = world.admin.clone();
            makers.spawn(async move {
                let new = pb::OrganizationMember { user_email: "new@b.c".into(), ..Default::default() };
                admin.organizations().add_organization_members(add(vec![new])).await.answer().added_count
            });
        }
        assert_eq!(makers.join_all().await.into_iter().sum::<i64>(), 1);
        assert_eq!(organization(&world, "acme").await.member_count, 3);
    }

    async fn roles_and_budgets_change_by_the_rules(world: World) {
        let (olga, omar) = acme(&world, pb::Organization { max_budget: Some("10".into()), ..Default::default() }).await;
        let with = |user: &str, max: &str| pb::OrganizationMember { max_budget_in_organization: Some(max.into()), ..member(user, OrganizationRole::Unspecified) };
        let changed = olga.organizations().update_organization_member(update(with("omar", "3"), &[])).await.answer().member.unwrap();
        assert_eq!((changed.role(), changed.max_budget_in_organization.as_deref()), (OrganizationRole::InternalUser, Some("3")));
        let promoted = olga.organizations().update_organization_member(update(member("omar", OrganizationRole::Admin), &[])).await.answer().member.unwrap();
        assert_eq!((promoted.role(), promoted.max_budget_in_organization.as_deref()), (OrganizationRole::Admin, Some("3")), "the budget stays");
        omar.organizations().update_organization_member(update(with("omar", "9"), &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let cleared = update(member("omar", OrganizationRole::Unspecified), &["max_budget_in_organization"]);
        let cleared = olga.organizations().update_organization_member(cleared).await.answer().member.unwrap();
        assert_eq!(cleared.max_budget_in_organization, None);
        olga.organizations().update_organization_member(update(with("omar", "11"), &[])).await.refused(Code::FailedPrecondition, ErrorReason::MemberBudgetExceedsOrg);
        olga.organizations().update_organization_member(update(with("nobody", "1"), &[])).await.refused(Code::NotFound, ErrorReason::MemberNotFound);
        world.user(pb::User { user_id: "boss".into(), user_role: pb::Role::ProxyAdmin.into(), ..Default::default() }).await;
        olga.organizations().add_organization_members(add(vec![member("boss", OrganizationRole::InternalUser)])).await.answer();
        olga.organizations().update_organization_member(update(with("boss", "1"), &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        world.admin.organizations().update_organization_member(update(with("boss", "1"), &[])).await.answer();
    }

    async fn the_last_admin_stays_however_many_demote_at_once(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let demote = |user: &str| update(member(user, OrganizationRole::InternalUser), &[]);
        olga.organizations().update_organization_member(demote("olga")).await.refused(Code::FailedPrecondition, ErrorReason::LastOrgAdmin);
        olga.organizations().remove_organization_member(remove("olga")).await.refused(Code::FailedPrecondition, ErrorReason::LastOrgAdmin);
        olga.organizations().update_organization_member(update(member("omar", OrganizationRole::Admin), &[])).await.answer();
        let both = tokio::join!(
            async { olga.organizations().update_organization_member(demote("olga")).await },
            async { omar.organizations().update_organization_member(demote("omar")).await },
        );
        assert_eq!(i32::from(both.0.is_ok()) + i32::from(both.1.is_ok()), 1, "{both:?}");
        let left = organization(&world, "acme").await.members;
        assert_eq!(left.iter().filter(|member| member.role() == OrganizationRole::Admin).count(), 1);
        let last = left.into_iter().find(|member| member.role() == OrganizationRole::Admin).unwrap().user_id;
        world.admin.organizations().update_organization_member(demote(&last)).await.answer();
    }

    async fn who_leaves_leaves_the_teams_and_their_keys(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let omars = pb::TeamMember { user_id: "omar".into(), ..Default::default() };
        make(&world.admin, pb::Team { members: vec![omars.clone()], ..team("red") }).await.answer();
        world.team(pb::Team { team_id: "free".into(), members: vec![omars], ..Default::default() }).await;
        let (inside, _) = world.key(pb::Key { user_id: Some("omar".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let (outside, _) = world.key(pb::Key { user_id: Some("omar".into()), team_id: Some("free".into()), ..Default::default() }).await;
        omar.organizations().remove_organization_member(remove("olga")).await.refused(Code::PermissionDenied, ErrorReason::NotYourOrganization);
        let answer = olga.organizations().remove_organization_member(remove("omar")).await.answer();
        assert_eq!((answer.left_team_ids, answer.deleted_key_count, answer.organization.unwrap().member_count), (vec!["red".to_owned()], 1, 1));
        let state = |key: String| {
            let admin = world.admin.clone();
            async move { admin.keys().get_key(pb::GetKeyRequest { key }).await.answer().key.unwrap().state() }
        };
        assert_eq!((state(inside).await, state(outside).await), (pb::KeyState::Deleted, pb::KeyState::Active));
        olga.organizations().remove_organization_member(remove("omar")).await.refused(Code::NotFound, ErrorReason::MemberNotFound);
        // What he could see is out of his sight.
        omar.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn members_leave_by_themselves(world: World) {
        let (_, omar) = acme(&world, pb::Organization::default()).await;
        let lead = pb::TeamMember { user_id: "omar".into(), role: pb::TeamRole::Admin.into(), ..Default::default() };
        make(&world.admin, pb::Team { members: vec![lead], ..team("red") }).await.answer();
        omar.organizations().remove_organization_member(remove("omar")).await.refused(Code::FailedPrecondition, ErrorReason::LastTeamAdmin);
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["red".into()] }).await.answer();
        omar.organizations().remove_organization_member(remove("omar")).await.answer();
    }
}
