//! Invitations: one token, one password.

use bursar::pb;
use pb::{ErrorReason, InvitationState};
use tonic::Code;

use super::sessions::{PASSWORD, accept, change, invite, login};
use crate::organizations::acme;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn get(invitation_id: &str) -> pb::GetInvitationRequest {
    pb::GetInvitationRequest { invitation_id: invitation_id.into() }
}

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

on_both! {
    async fn an_invitation_is_good_once(world: World) {
        world.user(pb::User { user_email: Some("alice@b.c".into()), ..named("alice") }).await;
        let made = invite(&world.admin, "alice").await.answer();
        let invitation = made.invitation.unwrap();
        assert_eq!((invitation.state(), invitation.is_accepted, invitation.created_by.as_str()), (InvitationState::Open, false, "master"));
        let life = invitation.expires_at.as_ref().unwrap().seconds - invitation.created_at.as_ref().unwrap().seconds;
        assert_eq!(life, 7 * 86_400);
        let session = accept(&world, &made.token, PASSWORD).await.answer();
        let alice = world.with_key(&session.session_token);
        let itself = alice.users().get_user(pb::GetUserRequest::default()).await.answer().user.unwrap();
        assert_eq!(itself.user_id, "alice");
        accept(&world, &made.token, "another password").await.refused(Code::Unauthenticated, ErrorReason::InvitationNotUsable);
        login(&world, "alice@b.c", PASSWORD).await.answer();
        let accepted = world.admin.users().get_invitation(get(&invitation.invitation_id)).await.answer().invitation.unwrap();
        assert!(accepted.is_accepted && accepted.accepted_at.is_some() && accepted.state() == InvitationState::Accepted);
        // No invitation takes a password over.
        invite(&world.admin, "alice").await.refused(Code::FailedPrecondition, ErrorReason::PasswordExists);
    }

    async fn of_two_who_accept_at_once_one_sets_the_password(world: World) {
        world.user(pb::User { user_email: Some("alice@b.c".into()), ..named("alice") }).await;
        let token = invite(&world.admin, "alice").await.answer().token;
        let (one, two) = tokio::join!(accept(&world, &token, "first password"), accept(&world, &token, "other password"));
        let right = if one.is_ok() { "first password" } else { "other password" };
        assert_eq!(i32::from(one.is_ok()) + i32::from(two.is_ok()), 1);
        login(&world, "alice@b.c", right).await.answer();
    }

    async fn it_ends_with_its_instant_a_new_one_or_a_new_address(backend: Backend) {
        let world = World::builder(backend).at("2025-03-01T00:00:00Z").start().await;
        world.user(pb::User { user_email: Some("alice@b.c".into()), ..named("alice") }).await;
        let first = invite(&world.admin, "alice").await.answer();
        let second = invite(&world.admin, "alice").await.answer();
        let unusable = |token: String| {
            let world = &world;
            async move { accept(world, &token, PASSWORD).await.refused(Code::Unauthenticated, ErrorReason::InvitationNotUsable).message().to_owned() }
        };
        let told = [unusable(first.token.clone()).await, unusable("never-made".into()).await];
        assert_eq!(told[0], told[1], "no cause is told");
        world.admin.users().get_invitation(get(&first.invitation.unwrap().invitation_id)).await.refused(Code::NotFound, ErrorReason::InvitationNotFound);
        world.hands().advance(7 * 86_400);
        unusable(second.token).await;
        let third = invite(&world.admin, "alice").await.answer();
        change(&world.admin, pb::User { user_email: Some("new@b.c".into()), ..named("alice") }).await.answer();
        unusable(third.token).await;
        let fourth = invite(&world.admin, "alice").await.answer();
        change(&world.admin, pb::User { blocked: Some(true), ..named("alice") }).await.answer();
        unusable(fourth.token.clone()).await;
        world.admin.users().delete_users(pb::DeleteUsersRequest { user_ids: vec!["alice".into()] }).await.answer();
        unusable(fourth.token).await;
        let short = pb::CreateInvitationRequest { user_id: "alice".into(), ttl: Some("1m".into()) };
        assert_eq!(world.admin.users().create_invitation(short).await.bad()[0].0, "ttl");
    }

    async fn a_weak_password_is_refused_and_the_token_stays_good(world: World) {
        world.user(named("alice")).await;
        let token = invite(&world.admin, "alice").await.answer().token;
        for weak in ["", "1234567", &"x".repeat(129)] {
            assert_eq!(accept(&world, &token, weak).await.bad()[0].0, "password");
        }
        assert_eq!(accept(&world, "", PASSWORD).await.bad()[0].0, "token");
        accept(&world, &token, "12345678").await.answer();
    }

    async fn only_those_who_manage_a_user_invite_it(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let request = pb::CreateUserRequest { user: Some(named("nina")), organization_ids: vec!["acme".into()], ..Default::default() };
        olga.users().create_user(request).await.answer();
        world.user(named("stranger")).await;
        let lead = world.person("lead", pb::Role::InternalUser).await;
        let members = vec![pb::TeamMember { user_id: "lead".into(), role: pb::TeamRole::Admin.into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let made = invite(&olga, "nina").await.answer().invitation.unwrap();
        // omar is a member whose home is elsewhere: nobody takes him over.
        invite(&olga, "omar").await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        invite(&olga, "stranger").await.refused(Code::NotFound, ErrorReason::UserNotFound);
        invite(&omar, "nina").await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        invite(&lead, "lead").await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        invite(&viewer, "nina").await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        invite(&world.admin, "stranger").await.answer();
        let listed = |client: crate::support::Client| async move {
            let answer = client.users().list_invitations(pb::ListInvitationsRequest::default()).await.answer();
            answer.invitations.into_iter().map(|invitation| invitation.user_id).collect::<Vec<_>>()
        };
        assert_eq!((listed(olga.clone()).await, listed(viewer).await.len()), (vec!["nina".to_owned()], 2));
        let other = world.person("otto", pb::Role::InternalUser).await;
        world.organization(pb::Organization { organization_id: "other".into(), members: vec![crate::organizations::member("otto", pb::OrganizationRole::Admin)], ..Default::default() }).await;
        let delete = pb::DeleteInvitationRequest { invitation_id: made.invitation_id.clone() };
        other.users().get_invitation(get(&made.invitation_id)).await.refused(Code::NotFound, ErrorReason::InvitationNotFound);
        other.users().delete_invitation(delete.clone()).await.refused(Code::NotFound, ErrorReason::InvitationNotFound);
        olga.users().delete_invitation(delete.clone()).await.answer();
        olga.users().delete_invitation(delete).await.refused(Code::NotFound, ErrorReason::InvitationNotFound);
    }

    async fn a_new_user_may_be_invited_at_once(world: World) {
        let request = pb::CreateUserRequest { user: Some(named("alice")), send_invitation: true, request_id: "r".into(), ..Default::default() };
        let first = world.admin.users().create_user(request.clone()).await.answer();
        assert!(!first.invitation_token.is_empty() && !first.secret.is_empty() && first.invitation.is_some());
        assert_eq!(world.admin.users().create_user(request).await.answer(), first, "also in a replay");
        accept(&world, &first.invitation_token, PASSWORD).await.answer();
    }

    async fn the_list_filters_by_user_and_state(backend: Backend) {
        let world = World::builder(backend).at("2025-03-01T00:00:00Z").start().await;
        for user in ["a", "b", "c"] {
            world.user(named(user)).await;
            let made = invite(&world.admin, user).await.answer();
            if user == "a" {
                accept(&world, &made.token, PASSWORD).await.answer();
            }
            world.hands().advance(4 * 86_400);
        }
        let list = |request: pb::ListInvitationsRequest| {
            let admin = world.admin.clone();
            async move { admin.users().list_invitations(request).await.answer().invitations.into_iter().map(|invitation| invitation.user_id).collect::<Vec<_>>() }
        };
        let state = |state: InvitationState| pb::ListInvitationsRequest { state: state.into(), ..Default::default() };
        assert_eq!(list(pb::ListInvitationsRequest::default()).await, ["c", "b", "a"]);
        assert_eq!(list(state(InvitationState::Accepted)).await, ["a"]);
        assert_eq!(list(state(InvitationState::Expired)).await, ["b"]);
        assert_eq!(list(state(InvitationState::Open)).await, ["c"]);
        assert_eq!(list(pb::ListInvitationsRequest { user_id: "b".into(), ..Default::default() }).await, ["b"]);
        let page = pb::ListInvitationsRequest { page_size: 2, include_total: true, ..Default::default() };
        let first = world.admin.users().list_invitations(page.clone()).await.answer();
        assert_eq!((first.invitations.len(), first.total_size), (2, Some(3)));
        assert_eq!(list(pb::ListInvitationsRequest { page_token: first.next_page_token, ..page }).await, ["a"]);
    }
}
