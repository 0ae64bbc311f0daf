//! Holders: what somebody with a token may do, and who may not come in.

use bursar::pb;
use pb::ErrorReason::{
    CallerHasNoKey, EmailDomainNotAllowed, LoginFailed, PolicyRefused, RoleNotAllowed, RoleNotMapped, TeamNotInToken,
    TeamUnknown, UserDeactivated, UserEmailExists, UserUnknown,
};
use serde_json::json;
use tonic::Code;

use super::{holder, knock, knock_with, user, world_of};
use crate::gateway::watch::{end, watch};
use crate::gateway::{ask, authorize, denial};
use crate::support::issuer::IdentityProvider;
use crate::support::{Answer, Backend, Client, World, on_both, reason_of};
use crate::users::sessions::{change, login};

async fn blocked(world: &World, user_id: &str, blocked: bool) {
    let user = pb::User { user_id: user_id.into(), blocked: Some(blocked), ..Default::default() };
    change(&world.admin, user).await.answer();
}

async fn stored(world: &World, user_id: &str) -> pb::User {
    let request = pb::GetUserRequest { user_id: user_id.into(), ..Default::default() };
    world.admin.users().get_user(request).await.answer().user.unwrap()
}

async fn own_key(client: &Client) -> Result<tonic::Response<pb::GenerateKeyResponse>, tonic::Status> {
    client.keys().generate_key(pb::GenerateKeyRequest::default()).await
}

on_both! {
    async fn a_token_has_the_rights_of_its_user(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "").await;
        world.user(user("alice")).await;
        let alice = holder(&world, &issuer, "alice");
        let made = own_key(&alice).await.answer();
        assert_eq!(made.key.unwrap().user_id.as_deref(), Some("alice"));
        alice.users().create_user(pb::CreateUserRequest::default()).await.refused(Code::PermissionDenied, RoleNotAllowed);
        alice.keys().get_key(pb::GetKeyRequest::default()).await.refused(Code::InvalidArgument, CallerHasNoKey);
        let request = pb::ListAuditEntriesRequest { actor: "alice".into(), ..Default::default() };
        assert_eq!(world.admin.audit().list_audit_entries(request).await.answer().entries.len(), 1);
        // A new role holds at the next call, and a block at once.
        let viewer = pb::User { user_role: pb::Role::InternalUserViewer.into(), ..user("alice") };
        change(&world.admin, viewer).await.answer();
        own_key(&alice).await.refused(Code::PermissionDenied, RoleNotAllowed);
        blocked(&world, "alice", true).await;
        knock(&alice).await.refused(Code::PermissionDenied, UserDeactivated);
        blocked(&world, "alice", false).await;
        knock(&alice).await.answer();
    }

    async fn what_the_claims_say_may_keep_somebody_out(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "allow = \"claims.verified == true && claims.unit in ['eng', 'ops']\"";
        let world = world_of(backend, &issuer, more).await;
        world.user(user("alice")).await;
        knock_with(&world, &issuer, &json!({ "sub": "alice", "verified": true, "unit": "ops" })).await.answer();
        for claims in [
            json!({ "sub": "alice", "verified": true, "unit": "sales" }),
            json!({ "sub": "alice", "verified": "true", "unit": "ops" }),
            json!({ "sub": "alice", "unit": "ops" }),
        ] {
            knock_with(&world, &issuer, &claims).await.refused(Code::PermissionDenied, PolicyRefused);
        }
    }

    async fn who_is_not_known_does_not_come_in(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "email_domains = [\"b.c\"], require_role = true, \
                    role_mappings = [{ role = \"eng-*\", user_role = \"internal_user\" }], \
                    claims = { roles = \"groups\", team_id = \"team\", user_email = \"email\", user_id = \"sub\" }";
        let world = world_of(backend, &issuer, more).await;
        world.user(user("alice")).await;
        let good = json!({ "sub": "alice", "email": "a@b.c", "groups": ["eng-x"] });
        let with = |name: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        knock_with(&world, &issuer, &good).await.answer();
        for (claims, reason) in [
            (with("sub", json!("nobody")), UserUnknown),
            (with("email", json!("a@b.d")), EmailDomainNotAllowed),
            (with("groups", json!(["sales"])), RoleNotMapped),
            (with("team", json!("nowhere")), TeamUnknown),
        ] {
            knock_with(&world, &issuer, &claims).await.refused(Code::PermissionDenied, reason);
        }
    }

    async fn users_are_made_at_first_sight_with_the_defaults(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = "create_users = true, user_id_prefix = \"idp:\", claims = { user_id = \"sub\", user_email = \"email\", roles = \"roles\" }, \
                    role_mappings = [{ role = \"dev\", user_role = \"internal_user\" }]";
        let world = World::builder(backend)
            .at(crate::support::issuer::AT_NOON)
            .set("jwt", &issuer.setting(more))
            .set("default_internal_user_params", "{ max_budget = \"7\", teams = [\"all\"] }")
            .start()
            .await;
        world.team(pb::Team { team_id: "all".into(), ..Default::default() }).await;
        let claims = json!({ "sub": "alice", "email": "alice@b.c", "roles": ["dev"] });
        let alice = world.with_key(&issuer.token(&claims));
        own_key(&alice).await.answer();
        let made = stored(&world, "idp:alice").await;
        assert_eq!((made.user_role(), made.max_budget.as_deref()), (pb::Role::InternalUser, Some("7")));
        assert_eq!((made.user_email.as_deref(), made.team_ids), (Some("alice@b.c"), vec!["all".to_owned()]));
        // By default it may only look, and has no password.
        knock_with(&world, &issuer, &json!({ "sub": "bob" })).await.answer();
        assert_eq!(stored(&world, "idp:bob").await.user_role(), pb::Role::InternalUserViewer);
        login(&world, "alice@b.c", "correct horse battery").await.refused(Code::Unauthenticated, LoginFailed);
        let request = pb::ListAuditEntriesRequest { actor: format!("idp:{}", issuer.url), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        assert!(entries.iter().any(|entry| entry.object_type == "user" && entry.object_id == "idp:bob"));
        // Somebody else's address is not taken over.
        let same = json!({ "sub": "eve", "email": "ALICE@b.c" });
        knock_with(&world, &issuer, &same).await.refused(Code::AlreadyExists, UserEmailExists);
        let asked = pb::AuthorizeRequest { key: issuer.token(&same), ..ask("a", "0") };
        assert_eq!(denial(&authorize(&world.sidecar().await, asked).await).0, pb::DenyReason::CallNotAllowed);
        // Who was deleted comes back as new; who is blocked does not.
        world.admin.users().delete_users(pb::DeleteUsersRequest { user_ids: vec!["idp:alice".into()], ..Default::default() }).await.answer();
        knock(&alice).await.answer();
        assert_eq!(stored(&world, "idp:alice").await.key_count, 0);
    }

    async fn many_first_calls_make_one_user(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "create_users = true").await;
        let calls = (0..16).map(|number| {
            let client = world.with_key(&issuer.token(&json!({ "sub": "alice", "jti": number })));
            async move { knock(&client).await.answer() }
        });
        futures_util::future::join_all(calls).await;
        let request = pb::ListAuditEntriesRequest { object_type: "user".into(), ..Default::default() };
        assert_eq!(world.admin.audit().list_audit_entries(request).await.answer().entries.len(), 1);
    }

    async fn a_scope_makes_an_admin(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "admin_scope = \"bursar:admin\"").await;
        world.user(user("alice")).await;
        let boss = world.with_key(&issuer.token(&json!({ "sub": "alice", "scope": "openid bursar:admin" })));
        boss.users().create_user(pb::CreateUserRequest::default()).await.answer();
        let robot = world.with_key(&issuer.token(&json!({ "sub": "robot", "scope": ["bursar:admin"] })));
        robot.users().create_user(pb::CreateUserRequest::default()).await.answer();
        let actors = |actor: String| {
            let client = world.admin.clone();
            async move {
                let request = pb::ListAuditEntriesRequest { actor, ..Default::default() };
                client.audit().list_audit_entries(request).await.answer().entries.len()
            }
        };
        assert!(actors("alice".to_owned()).await > 0);
        assert!(actors(format!("idp:{}:robot", issuer.url)).await > 0);
        let alice = holder(&world, &issuer, "alice");
        alice.users().create_user(pb::CreateUserRequest::default()).await.refused(Code::PermissionDenied, RoleNotAllowed);
    }

    async fn a_stream_ends_with_the_token_its_user_or_its_role(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "leeway = \"0\"").await;
        for id in ["demoted", "blocked", "gone", "late"] {
            world.user(pb::User { user_role: pb::Role::ProxyAdmin.into(), ..user(id) }).await;
        }
        let mut streams = Vec::new();
        for id in ["demoted", "blocked", "gone", "late"] {
            streams.push(watch(&holder(&world, &issuer, id), None).await);
        }
        change(&world.admin, user("demoted")).await.answer();
        assert_eq!(end(&mut streams[0]).await.code(), Code::PermissionDenied);
        blocked(&world, "blocked", true).await;
        assert_eq!(reason_of(&end(&mut streams[1]).await), "USER_DEACTIVATED");
        world.admin.users().delete_users(pb::DeleteUsersRequest { user_ids: vec!["gone".into()], ..Default::default() }).await.answer();
        assert_eq!(reason_of(&end(&mut streams[2]).await), "TOKEN_EXPIRED");
        world.hands().advance(3_600);
        world.user(user("anybody")).await;
        assert_eq!(reason_of(&end(&mut streams[3]).await), "TOKEN_EXPIRED");
    }

    async fn a_team_may_hold_a_token(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "claims = { user_id = \"user\", team_id = \"team\" }").await;
        world.team(pb::Team { team_id: "t".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "other".into(), ..Default::default() }).await;
        let team = world.with_key(&issuer.token(&json!({ "team": "t" })));
        let listed = team.teams().list_teams(pb::ListTeamsRequest::default()).await.answer().teams;
        assert_eq!(listed.iter().map(|team| team.team_id.as_str()).collect::<Vec<_>>(), ["t"]);
        let elsewhere = team.with_header("bursar-team-id", "other");
        knock(&elsewhere).await.refused(Code::PermissionDenied, TeamNotInToken);
        assert_eq!(knock(&team.with_header("bursar-team-id", " ")).await.bad()[0].0, "bursar-team-id");
    }
}
