//! `GetUser` and `ListRoles`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use crate::support::world::World;
use crate::support::{Answer, on_both};

fn get(user_id: &str) -> pb::GetUserRequest {
    pb::GetUserRequest { user_id: user_id.into(), ..Default::default() }
}

on_both! {
    async fn a_user_is_shown_with_its_keys_and_teams(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (_, personal) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, shared) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        world.key(pb::Key::default()).await;
        let answer = world.admin.users().get_user(get("alice")).await.answer();
        let keys: Vec<&str> = answer.keys.iter().map(|key| key.key_id.as_str()).collect();
        assert_eq!(keys, [&shared.key_id, &personal.key_id], "newest first");
        assert_eq!((answer.teams.len(), answer.teams[0].team_id.as_str(), answer.teams[0].members.len()), (1, "red", 0));
        let user = answer.user.unwrap();
        assert_eq!((user.key_count, user.team_ids), (2, vec!["red".to_owned()]));
        let minimal = pb::GetUserRequest { view: pb::UserView::Minimal.into(), ..get("alice") };
        let answer = world.admin.users().get_user(minimal).await.answer();
        assert_eq!(answer.user.unwrap(), pb::User { user_id: "alice".into(), ..Default::default() });
        assert!(answer.keys.is_empty() && answer.teams.is_empty());
    }

    async fn everybody_sees_itself_and_others_are_invisible(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let bob = world.person("bob", pb::Role::InternalUserViewer).await;
        let viewer = world.person("auditor", pb::Role::ProxyAdminViewer).await;
        for (client, own) in [(&alice, "alice"), (&bob, "bob")] {
            assert_eq!(client.users().get_user(pb::GetUserRequest::default()).await.answer().user.unwrap().user_id, own);
            assert_eq!(client.users().get_user(get(own)).await.answer().user.unwrap().user_id, own);
        }
        let foreign = alice.users().get_user(get("bob")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        let absent = alice.users().get_user(get("nobody")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        assert_eq!(foreign.message().replace("bob", "nobody"), absent.message(), "both look the same");
        assert_eq!(viewer.users().get_user(get("bob")).await.answer().user.unwrap().user_id, "bob");
        world.admin.users().get_user(pb::GetUserRequest::default()).await.refused(Code::InvalidArgument, ErrorReason::CallerHasNoUser);
    }

    async fn a_team_admin_sees_its_members_and_only_their_keys_in_its_teams(world: World) {
        let lead = world.person("lead", pb::Role::InternalUser).await;
        world.person("alice", pb::Role::InternalUser).await;
        world.person("bob", pb::Role::InternalUser).await;
        let member = |user_id: &str, role: pb::TeamRole| pb::TeamMember { user_id: user_id.into(), role: role.into(), ..Default::default() };
        let members = vec![member("lead", pb::TeamRole::Admin), member("alice", pb::TeamRole::User)];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (_, shared) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let answer = lead.users().get_user(get("alice")).await.answer();
        let keys: Vec<&str> = answer.keys.iter().map(|key| key.key_id.as_str()).collect();
        assert_eq!(keys, [&shared.key_id], "not the personal one");
        lead.users().get_user(get("bob")).await.refused(Code::NotFound, ErrorReason::UserNotFound);
    }

    async fn the_roles_are_explained_to_everybody(world: World) {
        let alice = world.person("alice", pb::Role::InternalUserViewer).await;
        let answer = alice.users().list_roles(pb::ListRolesRequest {}).await.answer();
        assert_eq!((answer.roles.len(), answer.team_roles.len()), (4, 2));
        assert!(answer.roles.iter().all(|role| role.role != 0 && !role.label.is_empty() && !role.description.is_empty()));
    }
}
