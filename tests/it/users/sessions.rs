//! `Login`, passwords and sessions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bursar::pb;
use pb::ErrorReason;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::gateway::{ask, authorize, denial};
use crate::support::process::{Process, run, text};
use crate::support::world::{MASTER, World};
use crate::support::{Answer, Backend, Client, on_both};

pub const PASSWORD: &str = "correct horse battery";

pub async fn invite(client: &Client, user_id: &str) -> Result<Response<pb::CreateInvitationResponse>, Status> {
    let request = pb::CreateInvitationRequest { user_id: user_id.into(), ttl: None };
    client.users().create_invitation(request).await
}

pub async fn accept(
    world: &World,
    token: &str,
    password: &str,
) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
    let request = pb::AcceptInvitationRequest { token: token.into(), password: password.into() };
    world.anonymous().users().accept_invitation(request).await
}

pub async fn login(world: &World, email: &str, password: &str) -> Result<Response<pb::LoginResponse>, Status> {
    let request = pb::LoginRequest { user_email: email.into(), password: password.into() };
    world.anonymous().users().login(request).await
}

pub async fn change(client: &Client, user: pb::User) -> Result<Response<pb::UpdateUserResponse>, Status> {
    client.users().update_user(pb::UpdateUserRequest { user: Some(user), ..Default::default() }).await
}

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

fn password(user_id: &str, old: &str, new: &str) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest {
        user: Some(named(user_id)),
        password: Some(new.into()),
        old_password: old.into(),
        ..Default::default()
    }
}

/// A user with an address and a password, as a caller by a session.
pub async fn signed_in(world: &World, user_id: &str, role: pb::Role) -> Client {
    let email = Some(format!("{user_id}@b.c"));
    world.user(pb::User { user_email: email, user_role: role.into(), ..named(user_id) }).await;
    let token = invite(&world.admin, user_id).await.answer().token;
    world.with_key(&accept(world, &token, PASSWORD).await.answer().session_token)
}

on_both! {
    async fn a_session_has_the_rights_of_its_user(world: World) {
        let alice = signed_in(&world, "alice", pb::Role::InternalUser).await;
        let made = alice.keys().generate_key(pb::GenerateKeyRequest::default()).await.answer();
        assert_eq!(made.key.unwrap().user_id.as_deref(), Some("alice"));
        alice.users().create_user(pb::CreateUserRequest::default()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        // It is no key, and makes no model calls.
        alice.gateway().authorize(ask("a", "0")).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let boss = signed_in(&world, "boss", pb::Role::ProxyAdmin).await;
        boss.gateway().authorize(ask("b", "0")).await.refused(Code::InvalidArgument, ErrorReason::KeyRequired);
        let of_alice = pb::AuthorizeRequest { key: made.secret, ..ask("c", "0") };
        assert_eq!(authorize(&boss, of_alice).await.decision(), pb::Decision::Allow);
        let token = login(&world, "alice@b.c", PASSWORD).await.answer().session_token;
        let as_key = pb::AuthorizeRequest { key: token, ..ask("d", "0") };
        assert_eq!(denial(&authorize(&boss, as_key).await).0, pb::DenyReason::KeyUnknown);
        let entries = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest { actor: "alice".into(), ..Default::default() }).await.answer().entries;
        assert!(entries.iter().any(|entry| entry.object_type == "key" && entry.actor_key_id.is_empty()));
    }

    async fn whatever_is_wrong_a_login_fails_in_the_same_words(world: World) {
        signed_in(&world, "alice", pb::Role::InternalUser).await;
        world.user(pb::User { user_email: Some("bare@b.c".into()), ..named("bare") }).await;
        login(&world, " ALICE@b.c", PASSWORD).await.answer();
        let mut told = Vec::new();
        for (email, password) in [("alice@b.c", "wrong password"), ("nobody@b.c", PASSWORD), ("bare@b.c", PASSWORD), ("alice@b.c", "x")] {
            let status = login(&world, email, password).await.refused(Code::Unauthenticated, ErrorReason::LoginFailed);
            told.push(status.message().to_owned());
        }
        told.dedup();
        assert_eq!(told.len(), 1);
        assert_eq!(login(&world, "nonsense", PASSWORD).await.bad()[0].0, "user_email");
        assert_eq!(login(&world, "", "").await.bad().len(), 2);
        change(&world.admin, pb::User { blocked: Some(true), ..named("alice") }).await.answer();
        login(&world, "alice@b.c", PASSWORD).await.refused(Code::PermissionDenied, ErrorReason::UserDeactivated);
    }

    async fn after_ten_failures_nothing_is_tried_for_a_while(backend: Backend) {
        let world = World::builder(backend).at("2025-03-01T00:00:00Z").start().await;
        signed_in(&world, "alice", pb::Role::InternalUser).await;
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let client = world.anonymous();
            guesses.spawn(async move {
                let request = pb::LoginRequest { user_email: "alice@b.c".into(), password: "wrong password".into() };
                client.users().login(request).await.unwrap_err().code()
            });
        }
        let codes = guesses.join_all().await;
        assert_eq!(codes.iter().filter(|code| **code == Code::Unauthenticated).count(), 10, "also of 30 at once");
        let status = login(&world, "alice@b.c", PASSWORD).await.refused(Code::ResourceExhausted, ErrorReason::TooManyFailures);
        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(delay.as_secs(), 900);
        world.hands().advance(901);
        login(&world, "alice@b.c", PASSWORD).await.answer();
    }

    async fn sessions_end_with_their_time_a_new_password_a_new_role_and_the_user(backend: Backend) {
        let world = World::builder(backend).at("2025-03-01T00:00:00Z").set("session_ttl", "1h").start().await;
        let roles = |client: &Client| {
            let client = client.clone();
            async move { client.users().list_roles(pb::ListRolesRequest {}).await }
        };
        let alice = signed_in(&world, "alice", pb::Role::InternalUser).await;
        world.hands().advance(3_599);
        roles(&alice).await.answer();
        world.hands().advance(1);
        roles(&alice).await.refused(Code::Unauthenticated, ErrorReason::TokenExpired);
        let session = || async { world.with_key(&login(&world, "alice@b.c", PASSWORD).await.answer().session_token) };
        let alice = session().await;
        change(&world.admin, pb::User { user_role: pb::Role::InternalUserViewer.into(), ..named("alice") }).await.answer();
        roles(&alice).await.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
        let alice = session().await;
        change(&alice, pb::User { user_alias: Some("A".into()), ..named("alice") }).await.answer();
        roles(&alice).await.answer();
        change(&world.admin, pb::User { blocked: Some(true), ..named("alice") }).await.answer();
        roles(&alice).await.refused(Code::PermissionDenied, ErrorReason::UserDeactivated);
        change(&world.admin, pb::User { blocked: Some(false), ..named("alice") }).await.answer();
        roles(&alice).await.answer();
        alice.users().update_user(password("alice", PASSWORD, "a new password")).await.answer();
        roles(&alice).await.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
        login(&world, "alice@b.c", PASSWORD).await.refused(Code::Unauthenticated, ErrorReason::LoginFailed);
        let alice = world.with_key(&login(&world, "alice@b.c", "a new password").await.answer().session_token);
        world.admin.users().delete_users(pb::DeleteUsersRequest { user_ids: vec!["alice".into()] }).await.answer();
        roles(&alice).await.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
        // Who gets the id again is somebody else.
        world.user(named("alice")).await;
        roles(&alice).await.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
    }

    async fn a_password_is_changed_with_the_old_one_or_by_a_proxy_admin(world: World) {
        let alice = signed_in(&world, "alice", pb::Role::InternalUserViewer).await;
        let bob = world.person("bob", pb::Role::InternalUser).await;
        alice.users().update_user(password("alice", "not the old one", "a new password")).await.refused(Code::PermissionDenied, ErrorReason::PasswordWrong);
        alice.users().update_user(password("alice", "", "a new password")).await.refused(Code::PermissionDenied, ErrorReason::PasswordWrong);
        assert_eq!(alice.users().update_user(password("alice", PASSWORD, "short")).await.bad()[0].0, "password");
        // A key of a user without a password does not make itself one.
        bob.users().update_user(password("bob", "", "a new password")).await.refused(Code::FailedPrecondition, ErrorReason::NoPassword);
        bob.users().update_user(password("alice", PASSWORD, "a new password")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        viewer.users().update_user(password("alice", PASSWORD, "a new password")).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        world.admin.users().update_user(password("alice", "", "set by an admin")).await.answer();
        login(&world, "alice@b.c", "set by an admin").await.answer();
        let mask = prost_types::FieldMask { paths: vec!["password".into()] };
        let cleared = pb::UpdateUserRequest { user: Some(named("alice")), update_mask: Some(mask), ..Default::default() };
        let alice = world.with_key(&login(&world, "alice@b.c", "set by an admin").await.answer().session_token);
        alice.users().update_user(cleared.clone()).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        world.admin.users().update_user(cleared).await.answer();
        login(&world, "alice@b.c", "set by an admin").await.refused(Code::Unauthenticated, ErrorReason::LoginFailed);
    }

    async fn neither_a_password_nor_its_hash_nor_a_token_is_told_anywhere(world: World) {
        let alice = signed_in(&world, "alice", pb::Role::InternalUser).await;
        alice.users().update_user(password("alice", PASSWORD, "a new password")).await.answer();
        world.user(named("bob")).await;
        let token = invite(&world.admin, "bob").await.answer().token;
        let entries = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest { page_size: 1_000, ..Default::default() }).await.answer().entries;
        assert!(entries.iter().any(|entry| entry.action() == pb::AuditAction::Accept && entry.actor == "alice"));
        assert!(entries.iter().any(|entry| entry.after.as_ref().is_some_and(|after| after.fields.contains_key("password_set_at"))));
        let user = world.admin.users().get_user(pb::GetUserRequest { user_id: "alice".into(), ..Default::default() }).await.answer();
        let told = format!("{entries:?}{user:?}");
        for hidden in [PASSWORD, "a new password", "argon2", &token] {
            assert!(!told.contains(hidden), "{hidden} is told");
        }
    }

    async fn a_token_that_was_tampered_with_is_none(world: World) {
        signed_in(&world, "alice", pb::Role::InternalUser).await;
        signed_in(&world, "boss", pb::Role::ProxyAdmin).await;
        let good = login(&world, "alice@b.c", PASSWORD).await.answer().session_token;
        let parts: Vec<&str> = good.split('.').collect();
        let boss: Vec<String> = login(&world, "boss@b.c", PASSWORD).await.answer().session_token.split('.').map(ToOwned::to_owned).collect();
        let header = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let kid = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
        let none = kid.replace("EdDSA", "none");
        let symmetric = kid.replace("EdDSA", "HS256");
        for forged in [
            format!("{}.{}.{}", parts[0], boss[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", header(&none), parts[1], parts[2]),
            format!("{}.{}.", header(&none), parts[1]),
            format!("{}.{}.{}", header(&symmetric), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"EdDSA"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"EdDSA","kid":"unknown"}"#), parts[1], parts[2]),
            "a.b.c".to_owned(),
            "..".to_owned(),
        ] {
            let status = world.with_key(&forged).users().list_roles(pb::ListRolesRequest {}).await;
            status.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
        }
        world.with_key(&good).users().list_roles(pb::ListRolesRequest {}).await.answer();
    }

    async fn keys_rotate_under_a_running_server(backend: Backend) {
        let database = crate::support::database::Database::empty(backend).await;
        let directory = crate::support::database::fresh_directory();
        let server = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
        let admin = Client::anonymous(server.connect().await).with_key(MASTER);
        let user = pb::User { user_email: Some("alice@b.c".into()), ..named("alice") };
        let made = admin.users().create_user(pb::CreateUserRequest { user: Some(user), send_invitation: true, ..Default::default() }).await.answer();
        let request = pb::AcceptInvitationRequest { token: made.invitation_token, password: PASSWORD.into() };
        let first = admin.users().accept_invitation(request).await.answer().session_token;
        let roles = |token: &str| {
            let client = admin.with_key(token);
            async move { client.users().list_roles(pb::ListRolesRequest {}).await }
        };
        let kid = |token: &str| token.split('.').next().unwrap().to_owned();
        let login = || async {
            let request = pb::LoginRequest { user_email: "alice@b.c".into(), password: PASSWORD.into() };
            admin.users().login(request).await.answer().session_token
        };
        let rotate = |revoke: &[&str]| {
            let arguments = [&["sessions", "rotate-key", "--database-url", database.url.as_str()], revoke].concat();
            let output = run(&directory, &arguments);
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert!(text(&output.stdout).contains("former keys were"), "{}", text(&output.stdout));
        };
        rotate(&[]);
        let mut second = login().await;
        while kid(&second) == kid(&first) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            second = login().await;
        }
        roles(&first).await.answer();
        roles(&second).await.answer();
        rotate(&["--revoke"]);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        for former in [&first, &second] {
            roles(former).await.refused(Code::Unauthenticated, ErrorReason::TokenInvalid);
        }
        roles(&login().await).await.answer();
        drop(server);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
