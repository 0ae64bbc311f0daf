//! `DeleteTeams`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::red;
use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn delete(team_ids: &[&str]) -> pb::DeleteTeamsRequest {
    pb::DeleteTeamsRequest { team_ids: team_ids.iter().map(ToString::to_string).collect() }
}

on_both! {
    async fn a_team_goes_with_its_keys_and_its_users_stay(world: World) {
        let (_, alice) = red(&world, pb::Team::default()).await;
        let (secret, key) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let sidecar = world.sidecar().await;
        settle(&client, &reserve(&client, "a", "1").await, 400_000).await;
        let answer = world.admin.teams().delete_teams(delete(&["red"])).await.answer();
        assert_eq!((answer.deleted_team_ids, answer.deleted_key_count), (vec!["red".to_owned()], 1));
        let asked = pb::AuthorizeRequest { key: secret, ..ask("b", "0") };
        assert_eq!(denial(&authorize(&sidecar, asked).await).0, pb::DenyReason::KeyUnknown);
        let user = alice.users().get_user(pb::GetUserRequest::default()).await.answer().user.unwrap();
        assert_eq!((user.team_ids.len(), user.spend.as_deref()), (0, Some("1")));
        let archived = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash }).await.answer().key.unwrap();
        assert_eq!((archived.state(), archived.spend.as_deref()), (pb::KeyState::Deleted, Some("1")));
        world.admin.teams().delete_teams(delete(&["red"])).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn one_unknown_id_and_no_team_is_deleted(world: World) {
        red(&world, pb::Team::default()).await;
        world.admin.teams().delete_teams(delete(&["red", "blue"])).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        crate::teams::team(&world, "red").await;
    }

    async fn team_admins_delete_by_setting(backend: Backend) {
        let world = World::start(backend).await;
        let (lead, _) = red(&world, pb::Team::default()).await;
        let status = lead.teams().delete_teams(delete(&["red"])).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let world = World::builder(backend).set("team_admins_may_delete", "true").start().await;
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let status = alice.teams().delete_teams(delete(&["red"])).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        lead.teams().delete_teams(delete(&["red"])).await.answer();
    }

    async fn a_team_of_the_same_name_begins_at_zero(world: World) {
        for round in 0..2 {
            world.team(pb::Team { team_id: "red".into(), max_budget: Some("1".into()), ..Default::default() }).await;
            let client = world.with_key(&world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await.0);
            settle(&client, &reserve(&client, &format!("a{round}"), "1").await, 400_000).await;
            world.admin.teams().delete_teams(delete(&["red"])).await.answer();
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
