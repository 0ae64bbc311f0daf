//! What organization admins do with users: those whose home they administer.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{acme, make, team};
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

fn create(user: pb::User) -> pb::CreateUserRequest {
    pb::CreateUserRequest { user: Some(user), organization_ids: vec!["acme".into()], ..Default::default() }
}

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

async fn change(client: &Client, user: pb::User) -> Result<tonic::Response<pb::UpdateUserResponse>, tonic::Status> {
    client.users().update_user(pb::UpdateUserRequest { user: Some(user), ..Default::default() }).await
}

on_both! {
    async fn they_make_users_in_their_own_organization(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        make(&olga, team("red")).await.answer();
        world.team(pb::Team { team_id: "free".into(), ..Default::default() }).await;
        let made = olga.users().create_user(create(pb::User { team_ids: vec!["red".into()], ..named("nina") })).await.answer();
        let user = made.user.unwrap();
        assert_eq!((user.home_organization_id.as_deref(), user.user_role(), user.team_ids), (Some("acme"), pb::Role::InternalUserViewer, vec!["red".to_owned()]));
        assert!(!made.secret.is_empty());
        let denied = |request: pb::CreateUserRequest, reason| {
            let olga = olga.clone();
            async move { olga.users().create_user(request).await.refused(Code::PermissionDenied, reason) }
        };
        denied(pb::CreateUserRequest { organization_ids: vec![], ..create(named("x")) }, ErrorReason::NotYourOrganization).await;
        denied(pb::CreateUserRequest { organization_ids: vec!["other".into()], ..create(named("x")) }, ErrorReason::NotYourOrganization).await;
        denied(pb::CreateUserRequest { organization_ids: vec!["acme".into(), "other".into()], ..create(named("x")) }, ErrorReason::NotYourOrganization).await;
        for role in [pb::Role::ProxyAdmin, pb::Role::ProxyAdminViewer] {
            denied(create(pb::User { user_role: role.into(), ..named("x") }), ErrorReason::AdminRoleNeedsProxyAdmin).await;
        }
        denied(create(pb::User { spend: Some("1".into()), ..named("x") }), ErrorReason::FieldNotAllowed).await;
        let routes = pb::Key { allowed_routes: vec!["bursar.v1.*".into()], ..Default::default() };
        denied(pb::CreateUserRequest { key: Some(routes), ..create(named("x")) }, ErrorReason::FieldNotAllowed).await;
        omar.users().create_user(create(named("x"))).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let foreign_team = create(pb::User { team_ids: vec!["red".into()], ..named("x") });
        let foreign_team = pb::CreateUserRequest { organization_ids: vec![], ..foreign_team };
        world.admin.users().create_user(foreign_team).await.refused(Code::FailedPrecondition, ErrorReason::MemberNotInOrganization);
        let unknown = pb::CreateUserRequest { organization_ids: vec!["none".into()], ..create(named("x")) };
        world.admin.users().create_user(unknown).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        let homeless = pb::User { home_organization_id: Some("other".into()), ..named("x") };
        world.admin.users().create_user(create(homeless)).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInOrganization);
        let nobody = pb::ListUsersRequest { user_ids: vec!["x".into()], ..Default::default() };
        assert!(world.admin.users().list_users(nobody).await.answer().users.is_empty());
    }

    async fn they_manage_the_users_whose_home_they_administer_and_no_others(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        let nina = world.with_key(&olga.users().create_user(create(pb::User { user_role: pb::Role::InternalUser.into(), ..named("nina") })).await.answer().secret);
        change(&olga, pb::User { max_budget: Some("3".into()), user_alias: Some("N".into()), blocked: Some(true), ..named("nina") }).await.answer();
        nina.users().list_roles(pb::ListRolesRequest {}).await.refused(Code::PermissionDenied, ErrorReason::UserDeactivated);
        change(&olga, pb::User { blocked: Some(false), ..named("nina") }).await.answer();
        for user in [
            pb::User { user_role: pb::Role::ProxyAdmin.into(), ..named("nina") },
            pb::User { user_email: Some("n@b.c".into()), ..named("nina") },
            pb::User { spend: Some("0".into()), ..named("nina") },
        ] {
            change(&olga, user).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        // omar is in the organization, but is at home nowhere.
        change(&olga, pb::User { max_budget: Some("3".into()), ..named("omar") }).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        let delete = |ids: &[&str]| pb::DeleteUsersRequest { user_ids: ids.iter().map(ToString::to_string).collect() };
        olga.users().delete_users(delete(&["nina", "omar"])).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        world.user(named("stranger")).await;
        olga.users().delete_users(delete(&["nina", "stranger"])).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        change(&olga, pb::User { blocked: Some(true), ..named("stranger") }).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        // Whoever gains rights over the installation is out of their reach.
        change(&world.admin, pb::User { user_role: pb::Role::ProxyAdmin.into(), ..named("nina") }).await.answer();
        change(&olga, pb::User { blocked: Some(true), ..named("nina") }).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        olga.users().delete_users(delete(&["nina"])).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        change(&world.admin, pb::User { user_role: pb::Role::InternalUser.into(), ..named("nina") }).await.answer();
        assert_eq!(olga.users().delete_users(delete(&["nina"])).await.answer().deleted_key_count, 1);
    }

    async fn they_see_the_members_of_their_organizations(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        world.user(named("stranger")).await;
        let get = |id: &str| pb::GetUserRequest { user_id: id.into(), ..Default::default() };
        olga.users().get_user(get("omar")).await.answer();
        olga.users().get_user(get("stranger")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        omar.users().get_user(get("olga")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        let list = pb::ListUsersRequest { order_by: "user_id".into(), ..Default::default() };
        let listed = olga.users().list_users(list.clone()).await.answer().users;
        assert_eq!(listed.iter().map(|user| user.user_id.as_str()).collect::<Vec<_>>(), ["olga", "omar"]);
        assert!(listed[0].created_at.is_some(), "not only names");
        let of = |id: &str| pb::ListUsersRequest { organization_ids: vec![id.into()], ..list.clone() };
        assert_eq!(world.admin.users().list_users(of("acme")).await.answer().users.len(), 2);
        olga.users().list_users(of("other")).await.refused(Code::PermissionDenied, ErrorReason::NotYourOrganization);
        omar.users().list_users(list).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }

    async fn a_home_is_an_organization_that_the_user_is_in(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        let home = |id: &str| pb::User { home_organization_id: Some(id.into()), ..named("omar") };
        change(&world.admin, home("other")).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInOrganization);
        change(&olga, home("acme")).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        change(&world.admin, home("acme")).await.answer();
        change(&olga, pb::User { blocked: Some(true), ..named("omar") }).await.answer();
        let leave = pb::RemoveOrganizationMemberRequest { organization_id: "acme".into(), user_id: "omar".into(), ..Default::default() };
        olga.organizations().remove_organization_member(leave).await.answer();
        let omar = world.admin.users().get_user(pb::GetUserRequest { user_id: "omar".into(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!((omar.home_organization_id, omar.blocked), (None, Some(true)));
    }
}
