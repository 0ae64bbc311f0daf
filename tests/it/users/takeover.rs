//! What those who manage others try, to become them.

use bursar::pb;
use pb::ErrorReason::{
    FieldInvalid, FieldNotAllowed, InvitationNotUsable, KeyNotFound, NotYourKey, NotYourTeam, ReservationNotFound,
    RpcNotAllowedForKey, TeamNotFound,
};
use tonic::Code;

use super::sessions::{PASSWORD, accept, change, invite};
use crate::gateway::reserve;
use crate::keys::{generate, in_team};
use crate::organizations::{acme, member as seat, team};
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};
use crate::teams::{member, red};

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

/// A user of acme, made by its admin.
fn create(user: pb::User) -> pb::CreateUserRequest {
    pb::CreateUserRequest { user: Some(user), organization_ids: vec!["acme".into()], ..Default::default() }
}

async fn roles(client: &Client) -> Result<tonic::Response<pb::ListRolesResponse>, tonic::Status> {
    client.users().list_roles(pb::ListRolesRequest {}).await
}

on_both! {
    async fn a_key_for_somebody_else_carries_none_of_its_rights(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        world.person("root", pb::Role::ProxyAdmin).await;
        let add = pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![member("root", pb::TeamRole::User)], ..Default::default() };
        lead.teams().add_team_members(add).await.answer();
        let made = lead.keys().generate_key(generate(in_team("root"))).await.answer();
        assert_eq!(made.key.unwrap().key_type(), pb::KeyType::LlmApi);
        roles(&world.with_key(&made.secret)).await.refused(Code::PermissionDenied, RpcNotAllowedForKey);
        // It calls models for itself, and reads itself.
        let (secret, other) = world.key(pb::Key::default()).await;
        let holder = world.with_key(&made.secret);
        let asked = |key_hash: &str| pb::AuthorizeRequest { key_hash: key_hash.to_owned(), model: "m".into(), ..Default::default() };
        assert_eq!(holder.gateway().authorize(asked("")).await.answer().decision(), pb::Decision::Allow);
        holder.gateway().authorize(asked(&other.key_hash)).await.refused(Code::PermissionDenied, NotYourKey);
        let read = |key: &str| pb::GetKeyRequest { key: key.to_owned(), ..Default::default() };
        holder.keys().get_key(read("")).await.answer();
        holder.keys().get_key(read(&other.key_hash)).await.refused(Code::NotFound, KeyNotFound);
        let reservation = reserve(&world.with_key(&secret), "a", "0").await;
        let settle = pb::SettleRequest { reservation_id: reservation, usage: Some(pb::UsageEvent::default()) };
        holder.gateway().settle(settle).await.refused(Code::NotFound, ReservationNotFound);
        let whole = pb::Key { key_type: pb::KeyType::Default.into(), ..in_team("root") };
        lead.keys().generate_key(generate(whole)).await.refused(Code::PermissionDenied, FieldNotAllowed);
        // Nor does a key that is given away, and taken back by its secret.
        let own = lead.keys().generate_key(generate(in_team("lead"))).await.answer();
        let give = pb::Key { key_hash: own.key.unwrap().key_hash, user_id: Some("root".into()), ..Default::default() };
        let give = pb::UpdateKeyRequest { key: Some(give), ..Default::default() };
        lead.keys().update_key(give.clone()).await.refused(Code::PermissionDenied, FieldNotAllowed);
        roles(&world.with_key(&own.secret)).await.answer();
        world.admin.keys().update_key(give).await.answer();
    }

    async fn a_user_whom_an_organization_admin_made_is_not_its_puppet(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        let made = olga.users().create_user(create(named("nina"))).await.answer();
        roles(&world.with_key(&made.secret)).await.refused(Code::PermissionDenied, RpcNotAllowedForKey);
        for key_type in [pb::KeyType::Default, pb::KeyType::ReadOnly, pb::KeyType::Management] {
            let key = Some(pb::Key { key_type: key_type.into(), ..Default::default() });
            let whole = pb::CreateUserRequest { key, ..create(named("x")) };
            olga.users().create_user(whole).await.refused(Code::PermissionDenied, FieldNotAllowed);
        }
        // The token is in olga's hands when nina becomes more than a user.
        for promote in [
            pb::User { user_role: pb::Role::ProxyAdmin.into(), ..named("nina") },
            pb::User { user_email: Some("nina@b.c".into()), ..named("nina") },
        ] {
            let token = invite(&olga, "nina").await.answer().token;
            change(&world.admin, promote).await.answer();
            accept(&world, &token, PASSWORD).await.refused(Code::Unauthenticated, InvitationNotUsable);
            change(&world.admin, pb::User { user_role: pb::Role::InternalUser.into(), ..named("nina") }).await.answer();
        }
        let token = invite(&olga, "nina").await.answer().token;
        let leave = pb::RemoveOrganizationMemberRequest { organization_id: "acme".into(), user_id: "nina".into(), ..Default::default() };
        let left = world.admin.organizations().remove_organization_member(leave).await.answer();
        accept(&world, &token, PASSWORD).await.refused(Code::Unauthenticated, InvitationNotUsable);
        // Nor does her key go on without the budget that bound it.
        assert_eq!(left.deleted_key_count, 1);
    }

    async fn an_organization_admin_puts_nobody_into_foreign_teams(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "free".into(), ..Default::default() }).await;
        world.team(pb::Team { organization_id: Some("other".into()), ..team("theirs") }).await;
        for id in ["free", "theirs", "none"] {
            let request = create(pb::User { team_ids: vec![id.into()], ..named("x") });
            olga.users().create_user(request).await.refused(Code::NotFound, TeamNotFound);
        }
        let key = Some(pb::Key { team_id: Some("free".into()), ..Default::default() });
        olga.users().create_user(pb::CreateUserRequest { key, ..create(named("x")) }).await.refused(Code::PermissionDenied, FieldNotAllowed);
    }

    async fn nobody_is_called_as_who_is_no_user(world: World) {
        for id in ["master", "bursar", "cli", "anonymous", "key:01890000-0000-7000-8000-000000000000"] {
            let request = pb::CreateUserRequest { user: Some(named(id)), ..Default::default() };
            let status = world.admin.users().create_user(request).await.refused(Code::InvalidArgument, FieldInvalid);
            assert!(status.message().contains("user.user_id"), "{}", status.message());
        }
    }

    async fn an_admin_of_its_own_home_raises_nothing_of_itself(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        change(&world.admin, pb::User { home_organization_id: Some("acme".into()), ..named("olga") }).await.answer();
        change(&olga, pb::User { max_budget: Some("1000".into()), ..named("olga") }).await.refused(Code::PermissionDenied, FieldNotAllowed);
        change(&olga, pb::User { user_alias: Some("Olga".into()), ..named("olga") }).await.answer();
    }

    async fn another_organization_does_not_free_a_user_of_its_home(world: World) {
        let (olga, _) = acme(&world, pb::Organization { max_budget: Some("0".into()), ..Default::default() }).await;
        let made = olga.users().create_user(create(named("nina"))).await.answer();
        world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        let nina = world.with_key(&made.secret);
        let denied = || async { crate::gateway::denial(&crate::gateway::authorize(&nina, crate::gateway::ask(&uuid::Uuid::now_v7().to_string(), "0.1")).await).0 };
        assert_eq!(denied().await, pb::DenyReason::BudgetExceeded);
        let add = pb::AddOrganizationMembersRequest { organization_id: "other".into(), members: vec![seat("nina", pb::OrganizationRole::InternalUser)], ..Default::default() };
        world.admin.organizations().add_organization_members(add).await.answer();
        assert_eq!(denied().await, pb::DenyReason::BudgetExceeded);
    }

    async fn who_may_not_remove_others_learns_no_addresses(world: World) {
        let (_, alice) = red(&world, pb::Team::default()).await;
        world.user(pb::User { user_email: Some("bob@b.c".into()), ..named("bob") }).await;
        for user_email in ["bob@b.c", "nobody@b.c"] {
            let request = pb::RemoveTeamMemberRequest { team_id: "red".into(), user_email: user_email.into(), ..Default::default() };
            alice.teams().remove_team_member(request).await.refused(Code::PermissionDenied, NotYourTeam);
        }
    }

    async fn a_team_admin_learns_of_members_what_its_teams_show(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        let members = vec![member("alice", pb::TeamRole::User)];
        world.team(pb::Team { team_id: "secret".into(), members, ..Default::default() }).await;
        let get = pb::GetUserRequest { user_id: "alice".into(), ..Default::default() };
        assert_eq!(lead.users().get_user(get).await.answer().user.unwrap().team_ids, ["red"]);
        let by_spend = pb::ListUsersRequest { order_by: "spend desc".into(), ..Default::default() };
        assert_eq!(lead.users().list_users(by_spend).await.bad()[0].0, "order_by");
        let by_role = pb::ListUsersRequest { role: pb::Role::InternalUser.into(), ..Default::default() };
        lead.users().list_users(by_role).await.refused(Code::PermissionDenied, FieldNotAllowed);
        let of_team = pb::ListUsersRequest { team_id: "secret".into(), ..Default::default() };
        lead.users().list_users(of_team).await.refused(Code::NotFound, TeamNotFound);
    }

    async fn a_narrow_key_makes_narrow_keys(world: World) {
        let routes = vec!["bursar.v1.KeyService/*".to_owned()];
        world.person("boss", pb::Role::ProxyAdmin).await;
        let narrow = pb::Key { user_id: Some("boss".into()), allowed_routes: routes.clone(), ..Default::default() };
        let (secret, shown) = world.key(narrow).await;
        let narrow = world.with_key(&secret);
        let made = narrow.keys().generate_key(generate(pb::Key { user_id: Some("boss".into()), ..Default::default() })).await.answer();
        assert_eq!(made.key.unwrap().allowed_routes, routes);
        let wide = pb::Key { allowed_routes: vec!["bursar.v1.*".into()], ..Default::default() };
        narrow.keys().generate_key(generate(wide.clone())).await.refused(Code::PermissionDenied, FieldNotAllowed);
        let widen = pb::UpdateKeyRequest { key: Some(pb::Key { key_hash: shown.key_hash, ..wide }), ..Default::default() };
        narrow.keys().update_key(widen).await.refused(Code::PermissionDenied, FieldNotAllowed);
    }

    async fn spend_that_is_set_leaves_a_trace(world: World) {
        world.user(named("alice")).await;
        change(&world.admin, pb::User { spend: Some("2.5".into()), ..named("alice") }).await.answer();
        let request = pb::ListAuditEntriesRequest { object_type: "user".into(), object_id: "alice".into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        let after = entries[0].after.as_ref().unwrap();
        assert_eq!(after.fields["spend"].kind, Some(prost_types::value::Kind::StringValue("2.5".into())));
    }
}
