//! Invitations by mail.

use std::collections::BTreeSet;
use std::time::Duration;

use bursar::pb;
use mailin_embedded::response::{INTERNAL_ERROR, NO_MAILBOX};
use pb::{ErrorReason, MailState};
use tonic::Code;

use super::sessions::{PASSWORD, accept, invite};
use crate::support::mail_server::MailServer;
use crate::support::world::{Builder, World};
use crate::support::{Answer, Backend, on_both};

const PAGE: &str = "https://bursar.example.com/join?token=";

fn mailing(backend: Backend, smtp_url: &str) -> Builder {
    let builder = World::builder(backend).at("2025-03-01T00:00:00Z");
    builder.set("smtp_url", smtp_url).set("mail_from", "Bursar <bursar@b.c>").set("invitation_url", PAGE)
}

fn addressed(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), user_email: Some(format!("{user_id}@b.c")), ..Default::default() }
}

async fn get(world: &World, invitation_id: &str) -> pb::Invitation {
    let request = pb::GetInvitationRequest { invitation_id: invitation_id.into() };
    world.admin.users().get_invitation(request).await.answer().invitation.unwrap()
}

/// Waits until the mail of an invitation is in a state.
async fn reaches(world: &World, invitation: &pb::Invitation, state: MailState) -> pb::Invitation {
    loop {
        let now = get(world, &invitation.invitation_id).await;
        if now.mail_state() == state {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until an attempt to mail an invitation has failed.
async fn fails(world: &World, invitation: &pb::Invitation) -> pb::Invitation {
    loop {
        let now = get(world, &invitation.invitation_id).await;
        if !now.mail_error.is_empty() {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing is left to send.
async fn is_emptied(world: &World) {
    while world.execute("UPDATE outbox SET attempts = attempts").await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_both! {
    async fn the_token_goes_to_the_user_and_to_nobody_else(backend: Backend) {
        let server = MailServer::start([]);
        let world = mailing(backend, &server.url()).start().await;
        world.user(addressed("alice")).await;
        let made = invite(&world.admin, "alice").await.answer();
        assert_eq!(made.token, "");
        let invitation = made.invitation.unwrap();
        assert_eq!((invitation.mailed_to.as_str(), invitation.mail_state()), ("alice@b.c", MailState::Waiting));
        let mail = server.mails(1).await.remove(0);
        assert_eq!(mail.to, ["alice@b.c"]);
        for part in ["From: Bursar <bursar@b.c>", "To: alice@b.c", "Subject: Your invitation", "before 2025-03-08 00:00 UTC", &invitation.invitation_id] {
            assert!(mail.text.contains(part), "{part}: {}", mail.text);
        }
        let sent = reaches(&world, &invitation, MailState::Sent).await;
        assert_eq!(sent.mail_error, "");
        is_emptied(&world).await;
        accept(&world, &mail.token(), PASSWORD).await.answer();
        let mut entries = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest { actor: "bursar".into(), object_type: "invitation".into(), ..Default::default() }).await.answer().entries;
        assert_eq!(entries.remove(0).rpc, "mail");
        assert!(entries.is_empty());
    }

    async fn a_retry_of_a_request_mails_once(backend: Backend) {
        let server = MailServer::start([]);
        let world = mailing(backend, &server.url()).start().await;
        let request = pb::CreateUserRequest { user: Some(addressed("alice")), send_invitation: true, request_id: "once".into(), ..Default::default() };
        let first = world.admin.users().create_user(request.clone()).await.answer();
        let again = world.admin.users().create_user(request).await.answer();
        assert_eq!((first.invitation_token.as_str(), &again), ("", &first));
        is_emptied(&world).await;
        assert_eq!(server.inbox().len(), 1);
    }

    async fn a_server_that_is_busy_is_tried_again(backend: Backend) {
        let server = MailServer::start([INTERNAL_ERROR]);
        let world = mailing(backend, &server.url()).start().await;
        world.user(addressed("alice")).await;
        let invitation = invite(&world.admin, "alice").await.answer().invitation.unwrap();
        let waiting = fails(&world, &invitation).await;
        assert_eq!(waiting.mail_state(), MailState::Waiting);
        assert!(waiting.mail_error.contains("451"), "{}", waiting.mail_error);
        assert!(server.inbox().is_empty());
        world.hands().advance(5);
        assert_eq!(reaches(&world, &invitation, MailState::Sent).await.mail_error, "");
        assert_eq!(server.inbox().len(), 1);
    }

    async fn what_a_server_refuses_for_good_is_not_tried_again(backend: Backend) {
        let server = MailServer::start([NO_MAILBOX]);
        let world = mailing(backend, &server.url()).start().await;
        world.user(addressed("alice")).await;
        let invitation = invite(&world.admin, "alice").await.answer().invitation.unwrap();
        let refused = reaches(&world, &invitation, MailState::Refused).await;
        assert!(refused.mail_error.contains("550"), "{}", refused.mail_error);
        is_emptied(&world).await;
        assert!(server.inbox().is_empty());
    }

    async fn an_invitation_that_ended_is_not_mailed(backend: Backend) {
        let server = MailServer::start([INTERNAL_ERROR, INTERNAL_ERROR]);
        let world = mailing(backend, &server.url()).start().await;
        let mut made = Vec::new();
        for id in ["alice", "bob"] {
            world.user(addressed(id)).await;
            made.push(invite(&world.admin, id).await.answer().invitation.unwrap());
        }
        for invitation in &made {
            fails(&world, invitation).await;
        }
        let delete = pb::DeleteInvitationRequest { invitation_id: made[0].invitation_id.clone() };
        world.admin.users().delete_invitation(delete).await.answer();
        world.hands().advance(7 * 86_400);
        is_emptied(&world).await;
        assert!(server.inbox().is_empty());
    }

    async fn mail_waits_for_a_server_that_is_away_also_through_a_restart(backend: Backend) {
        let world = mailing(backend, "smtp://127.0.0.1:1").start().await;
        world.user(addressed("alice")).await;
        let invitation = invite(&world.admin, "alice").await.answer().invitation.unwrap();
        fails(&world, &invitation).await;
        let database = world.stop().await;
        let server = MailServer::start([]);
        let world = mailing(backend, &server.url()).at("2025-03-01T01:00:00Z").start_on(database).await;
        let token = server.mails(1).await[0].token();
        accept(&world, &token, PASSWORD).await.answer();
    }

    async fn two_instances_send_each_mail_once(backend: Backend) {
        let server = MailServer::start([]);
        let one = mailing(backend, &server.url()).start().await;
        let two = mailing(backend, &server.url()).start_on(one.database.clone()).await;
        for number in 0..20 {
            one.user(addressed(&format!("u{number}"))).await;
            invite(&one.admin, &format!("u{number}")).await.answer();
        }
        is_emptied(&two).await;
        let mails = server.inbox();
        let receivers: BTreeSet<&str> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
        assert_eq!((mails.len(), receivers.len()), (20, 20));
    }

    async fn without_an_address_the_token_is_in_the_answer(backend: Backend) {
        let server = MailServer::start([]);
        let world = mailing(backend, &server.url()).start().await;
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let made = invite(&world.admin, "alice").await.answer();
        assert_eq!((made.invitation.unwrap().mail_state(), made.token.is_empty()), (MailState::Unspecified, false));
        accept(&world, &made.token, PASSWORD).await.answer();
        // Not every address that can be stored is one that mail can go to.
        let odd = pb::User { user_email: Some("a..b@c".into()), ..addressed("odd") };
        let request = pb::CreateUserRequest { user: Some(odd.clone()), send_invitation: true, ..Default::default() };
        let status = world.admin.users().create_user(request).await.refused(Code::FailedPrecondition, ErrorReason::EmailNotDeliverable);
        assert!(status.message().contains("a..b@c") && status.message().contains("user_email"), "{}", status.message());
        world.user(odd).await;
    }
}
