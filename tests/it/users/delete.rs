//! `DeleteUsers`: with their keys, all or none.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;
use tonic_types::StatusExt;

use crate::gateway::{reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn delete(user_ids: &[&str]) -> pb::DeleteUsersRequest {
    pb::DeleteUsersRequest { user_ids: user_ids.iter().map(ToString::to_string).collect() }
}

on_both! {
    async fn users_go_with_their_keys_and_memberships_and_their_spend_stays(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "1").await;
        settle(&client, &id, 400_000).await;
        let answer = world.admin.users().delete_users(delete(&["alice", "alice"])).await.answer();
        assert_eq!((answer.deleted_user_ids, answer.deleted_key_count), (vec!["alice".to_owned()], 2));
        alice.users().get_user(pb::GetUserRequest::default()).await.refused(Code::Unauthenticated, ErrorReason::KeyUnknown);
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!((team.members.len(), team.key_count, team.spend.as_deref()), (0, 0, Some("1")));
        let usage = world.admin.spend().list_usage(pb::ListUsageRequest { user_id: "alice".into(), ..Default::default() }).await.answer();
        assert_eq!(usage.events.len(), 1);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_call_in_flight_of_a_deleted_user_is_still_booked(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), members: vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }], ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let asked = pb::AuthorizeRequest { key: secret, ..crate::gateway::ask("a", "1") };
        let id = crate::gateway::authorize(&sidecar, asked).await.reservation_id;
        world.admin.users().delete_users(delete(&["alice"])).await.answer();
        assert_eq!(settle(&sidecar, &id, 400_000).await.cost, "1");
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!(team.spend.as_deref(), Some("1"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn one_unknown_id_and_nobody_is_deleted(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let status = world.admin.users().delete_users(delete(&["bob", "alice", "carol"])).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        assert!(status.message().contains("bob") && status.message().contains("carol"), "{}", status.message());
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["names"], "bob,carol");
        world.admin.users().get_user(pb::GetUserRequest { user_id: "alice".into(), ..Default::default() }).await.answer();
        assert_eq!(world.admin.users().delete_users(delete(&[])).await.bad()[0].0, "user_ids");
        assert_eq!(world.admin.users().delete_users(delete(&["x"; 501])).await.bad()[0].0, "user_ids");
    }

    async fn nobody_deletes_itself(world: World) {
        let root = world.person("root", pb::Role::ProxyAdmin).await;
        world.person("second", pb::Role::ProxyAdmin).await;
        root.users().delete_users(delete(&["second", "root"])).await.refused(Code::FailedPrecondition, ErrorReason::CannotDeleteSelf);
        root.users().delete_users(delete(&["second"])).await.answer();
    }
}
