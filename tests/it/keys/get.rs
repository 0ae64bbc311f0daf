//! `GetKey`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, on_both};
use crate::teams::red;

fn get(key: &str) -> pb::GetKeyRequest {
    pb::GetKeyRequest { key: key.into() }
}

on_both! {
    async fn a_key_is_found_by_secret_and_by_hash_and_finds_itself(world: World) {
        let (secret, key) = world.key(pb::Key { key_type: pb::KeyType::LlmApi.into(), ..Default::default() }).await;
        assert_eq!(world.admin.keys().get_key(get(&secret)).await.answer().key.unwrap(), key);
        assert_eq!(world.admin.keys().get_key(get(&key.key_hash)).await.answer().key.unwrap(), key);
        assert_eq!(world.with_key(&secret).keys().get_key(get("")).await.answer().key.unwrap(), key);
        world.admin.keys().get_key(get("")).await.refused(Code::InvalidArgument, ErrorReason::CallerHasNoKey);
        world.admin.keys().get_key(get("what")).await.refused(Code::InvalidArgument, ErrorReason::KeyMalformed);
        let status = world.admin.keys().get_key(get("sk-no-such-secret-0123")).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        assert!(!format!("{status:?}").contains("no-such-secret"), "a secret is never repeated: {status:?}");
    }

    async fn a_foreign_key_looks_as_if_it_did_not_exist(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let bob = world.person("bob", pb::Role::InternalUser).await;
        let (_, personal) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, shared) = world.key(in_team("alice")).await;
        let (_, of_lead) = world.key(in_team("lead")).await;
        for (client, key, seen) in [
            (&alice, &personal, true), (&alice, &shared, true), (&lead, &shared, true), (&lead, &personal, false),
            (&bob, &personal, false), (&bob, &shared, false), (&alice, &of_lead, true),
        ] {
            let answer = client.keys().get_key(get(&key.key_hash)).await;
            if seen {
                assert_eq!(answer.answer().key.unwrap().key_id, key.key_id);
            } else {
                answer.refused(Code::NotFound, ErrorReason::KeyNotFound);
            }
        }
    }

    async fn a_deleted_key_is_in_the_archive(world: World) {
        let (secret, key) = world.key(pb::Key { spend: Some("2".into()), key_alias: Some("x".into()), ..Default::default() }).await;
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { key_aliases: vec!["x".into()], ..Default::default() }).await.answer();
        let archived = world.admin.keys().get_key(get(&secret)).await.answer().key.unwrap();
        assert_eq!((archived.key_id.as_str(), archived.state(), archived.spend.as_deref()), (key.key_id.as_str(), pb::KeyState::Deleted, Some("2")));
        assert!(archived.deleted_at.is_some());
    }
}
