//! Memberships and roles that follow the tokens.

use bursar::pb;
use pb::ErrorReason::{UserDeactivated, UserUnknown};
use serde_json::{Value, json};
use tonic::Code;

use super::{holder, knock, knock_with, user, world_of};
use crate::support::issuer::{AT_NOON, IdentityProvider};
use crate::support::{Answer, Backend, World, on_both};

async fn team(world: &World, id: &str, managed_by: Option<&str>) {
    let idp_managed_by = managed_by.map(str::to_owned);
    world.team(pb::Team { team_id: id.into(), idp_managed_by, ..Default::default() }).await;
}

async fn join(world: &World, id: &str, user_id: &str) {
    let members = vec![pb::TeamMember { user_id: user_id.into(), ..Default::default() }];
    let request = pb::AddTeamMembersRequest { team_id: id.into(), members, ..Default::default() };
    world.admin.teams().add_team_members(request).await.answer();
}

async fn stored(world: &World, user_id: &str) -> pb::User {
    let request = pb::GetUserRequest { user_id: user_id.into(), ..Default::default() };
    let mut user = world.admin.users().get_user(request).await.answer().user.unwrap();
    user.team_ids.sort();
    user
}

async fn entries(world: &World) -> usize {
    let request = pb::ListAuditEntriesRequest { page_size: 1_000, ..Default::default() };
    world.admin.audit().list_audit_entries(request).await.answer().entries.len()
}

fn groups(groups: &[&str]) -> Value {
    json!({ "sub": "alice", "groups": groups })
}

on_both! {
    async fn a_user_joins_and_leaves_as_its_tokens_say(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "memberships = \"sync\", create_users = true, claims = { user_id = \"sub\", team_ids = \"groups\" }";
        let world = world_of(backend, &issuer, more).await;
        world.organization(pb::Organization { organization_id: "o".into(), ..Default::default() }).await;
        for id in ["a", "b"] {
            team(&world, id, Some(&issuer.url)).await;
        }
        for (id, managed_by) in [("by-hand", None), ("others", Some("https://idp.example"))] {
            team(&world, id, managed_by).await;
        }
        let in_organization = pb::Team { team_id: "inside".into(), organization_id: Some("o".into()), ..Default::default() };
        world.team(in_organization).await;
        world.user(user("alice")).await;
        for id in ["b", "by-hand", "others"] {
            join(&world, id, "alice").await;
        }
        let key = pb::Key { user_id: Some("alice".into()), team_id: Some("b".into()), ..Default::default() };
        let (secret, _) = world.key(key).await;
        knock_with(&world, &issuer, &groups(&["a", "nowhere", "inside"])).await.answer();
        assert_eq!(stored(&world, "alice").await.team_ids, ["a", "by-hand", "inside", "others"]);
        // What hung on the membership is gone with it, in memory, too.
        assert!(knock(&world.with_key(&secret)).await.is_err());
        // The same again changes nothing, also after another token.
        let before = entries(&world).await;
        knock_with(&world, &issuer, &groups(&["inside", "a"])).await.answer();
        assert_eq!(entries(&world).await, before);
        let bob = json!({ "sub": "bob", "groups": ["b"] });
        knock_with(&world, &issuer, &bob).await.answer();
        assert_eq!(stored(&world, "bob").await.team_ids, ["b"]);
    }

    async fn teams_are_made_at_first_sight(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "memberships = \"add\", create_users = true, create_teams = true, \
                    claims = { user_id = \"sub\", team_ids = \"groups\", team_id = \"team\" }";
        let builder = World::builder(backend).at(AT_NOON).set("jwt", &issuer.setting(more));
        let world = builder.set("default_team_params", "{ max_budget = \"7\" }").start().await;
        let made = async |id: &str| {
            let request = pb::GetTeamRequest { team_id: id.into(), ..Default::default() };
            world.admin.teams().get_team(request).await.answer().team.unwrap()
        };
        knock_with(&world, &issuer, &groups(&["new", "other"])).await.answer();
        assert_eq!(stored(&world, "alice").await.team_ids, ["new", "other"]);
        let new = made("new").await;
        assert_eq!((new.idp_managed_by.as_deref(), new.max_budget.as_deref()), (Some(issuer.url.as_str()), Some("7")));
        let request = pb::ListAuditEntriesRequest { object_id: "new".into(), action: pb::AuditAction::Create.into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        assert_eq!((entries.len(), entries[0].actor.clone()), (1, format!("idp:{}", issuer.url)));
        // Also one that a known user's next token names, and one that is itself the holder.
        knock_with(&world, &issuer, &groups(&["new", "later"])).await.answer();
        assert_eq!(stored(&world, "alice").await.team_ids, ["later", "new", "other"]);
        knock_with(&world, &issuer, &json!({ "team": "solo" })).await.answer();
        assert_eq!(made("solo").await.member_count, 0);
        // Many at once make it once.
        let mut knocking = tokio::task::JoinSet::new();
        for number in 0..12 {
            let claims = json!({ "sub": format!("user-{}", number % 3), "jti": number, "groups": ["crowd"] });
            let client = world.with_key(&issuer.token(&claims));
            knocking.spawn(async move { knock(&client).await });
        }
        assert!(knocking.join_all().await.iter().all(Result::is_ok));
        assert_eq!(made("crowd").await.member_count, 3);
        // What was deleted on purpose comes back with the next token that names it.
        let delete = pb::DeleteTeamsRequest { team_ids: vec!["solo".into()], ..Default::default() };
        world.admin.teams().delete_teams(delete).await.answer();
        knock_with(&world, &issuer, &json!({ "team": "solo" })).await.answer();
        assert_eq!(made("solo").await.team_id, "solo");
    }

    async fn an_organization_is_made_at_first_sight(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "create_organizations = true, claims = { user_id = \"sub\", organization_id = \"org\" }";
        let world = world_of(backend, &issuer, more).await;
        world.user(user("alice")).await;
        let list = async || {
            let organizations = world.admin.organizations().list_organizations(pb::ListOrganizationsRequest::default()).await;
            organizations.answer().organizations.into_iter().map(|one| (one.organization_id, one.organization_alias)).collect::<Vec<_>>()
        };
        // Not for whoever may not come in.
        knock_with(&world, &issuer, &json!({ "sub": "nobody", "org": "x" })).await.refused(Code::PermissionDenied, UserUnknown);
        assert_eq!(list().await, []);
        let mut knocking = tokio::task::JoinSet::new();
        for number in 0..6 {
            let client = world.with_key(&issuer.token(&json!({ "sub": "alice", "jti": number, "org": "acme" })));
            knocking.spawn(async move { knock(&client).await });
        }
        assert!(knocking.join_all().await.iter().all(Result::is_ok));
        assert_eq!(list().await, [("acme".to_owned(), "acme".to_owned())]);
        let request = pb::ListAuditEntriesRequest { object_id: "acme".into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        assert_eq!((entries.len(), entries[0].actor.clone()), (1, format!("idp:{}", issuer.url)));
    }

    async fn no_team_is_made_for_whoever_may_not_come_in(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "create_teams = true, claims = { user_id = \"sub\", team_ids = \"groups\" }";
        let world = world_of(backend, &issuer, more).await;
        world.user(user("alice")).await;
        let blocked = pb::User { user_id: "alice".into(), blocked: Some(true), ..Default::default() };
        crate::users::sessions::change(&world.admin, blocked).await.answer();
        for (sub, reason) in [("nobody", UserUnknown), ("alice", UserDeactivated)] {
            knock_with(&world, &issuer, &json!({ "sub": sub, "groups": ["x"] })).await.refused(Code::PermissionDenied, reason);
        }
        world.user(user("bob")).await;
        knock_with(&world, &issuer, &json!({ "sub": "bob", "groups": ["bursar-x", "y"] })).await.answer();
        let teams = world.admin.teams().list_teams(pb::ListTeamsRequest::default()).await.answer().teams;
        assert_eq!(teams.into_iter().map(|team| team.team_id).collect::<Vec<_>>(), ["y"]);
    }

    async fn a_user_only_joins_where_no_more_is_wanted(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "memberships = \"add\", claims = { user_id = \"sub\", team_ids = \"groups\" }";
        let world = world_of(backend, &issuer, more).await;
        for id in ["a", "b"] {
            team(&world, id, Some(&issuer.url)).await;
        }
        world.user(user("alice")).await;
        join(&world, "b", "alice").await;
        knock_with(&world, &issuer, &groups(&["a"])).await.answer();
        assert_eq!(stored(&world, "alice").await.team_ids, ["a", "b"]);
    }

    async fn a_role_follows_but_the_last_admin_stays(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "set_roles = true, claims = { user_id = \"sub\", roles = \"roles\" }, \
                    role_mappings = [{ role = \"boss\", user_role = \"proxy_admin\" }, { role = \"*\", user_role = \"internal_user_viewer\" }]";
        let world = World::builder(backend)
            .at(AT_NOON)
            .set("jwt", &issuer.setting(more))
            .set("max_internal_user_budget", "3")
            .start()
            .await;
        for id in ["alice", "bob"] {
            world.user(user(id)).await;
        }
        let role = async |claims: Value| {
            knock_with(&world, &issuer, &claims).await.answer();
            stored(&world, claims["sub"].as_str().unwrap()).await.user_role()
        };
        assert_eq!(role(json!({ "sub": "alice", "roles": "boss" })).await, pb::Role::ProxyAdmin);
        assert_eq!(role(json!({ "sub": "bob", "roles": ["boss"] })).await, pb::Role::ProxyAdmin);
        let unlimited = pb::UpdateUserRequest {
            user: Some(pb::User { user_id: "alice".into(), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["max_budget".into()] }),
            ..Default::default()
        };
        world.admin.users().update_user(unlimited).await.answer();
        assert_eq!(role(json!({ "sub": "alice", "roles": ["dev"] })).await, pb::Role::InternalUserViewer);
        assert_eq!(stored(&world, "alice").await.max_budget.as_deref(), Some("3"), "as one that a new one would get");
        assert_eq!(role(json!({ "sub": "bob", "roles": ["dev"] })).await, pb::Role::ProxyAdmin, "the last one");
        // A token that names no role changes none.
        assert_eq!(role(json!({ "sub": "alice" })).await, pb::Role::InternalUserViewer);
        knock(&holder(&world, &issuer, "alice")).await.answer();
    }
}
