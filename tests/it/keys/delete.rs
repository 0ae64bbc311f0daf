//! `DeleteKeys`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, on_both};
use crate::teams::red;

fn delete(keys: &[&str], key_aliases: &[&str]) -> pb::DeleteKeysRequest {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    pb::DeleteKeysRequest { keys: owned(keys), key_aliases: owned(key_aliases) }
}

on_both! {
    async fn keys_are_named_by_secret_hash_and_alias(world: World) {
        let (secret, first) = world.key(pb::Key::default()).await;
        let (_, second) = world.key(pb::Key::default()).await;
        let (_, third) = world.key(pb::Key { key_alias: Some("third".into()), ..Default::default() }).await;
        let request = delete(&[&secret, &second.key_hash, &first.key_hash], &["third"]);
        let mut deleted: Vec<String> = world.admin.keys().delete_keys(request).await.answer().deleted_keys.into_iter()
            .inspect(|key| assert_eq!(key.state(), pb::KeyState::Deleted)).map(|key| key.key_id).collect();
        deleted.sort();
        let mut expected = [first.key_id, second.key_id, third.key_id];
        expected.sort();
        assert_eq!(deleted, expected);
    }

    async fn one_unknown_or_forbidden_key_and_none_is_deleted(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let (_, own) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (_, of_lead) = world.key(in_team("lead")).await;
        let (_, foreign) = world.key(pb::Key { key_alias: Some("foreign".into()), ..Default::default() }).await;
        alice.keys().delete_keys(delete(&[&own.key_hash, &of_lead.key_hash], &[])).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        alice.keys().delete_keys(delete(&[&own.key_hash, &foreign.key_hash], &[])).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        alice.keys().delete_keys(delete(&[&own.key_hash], &["foreign"])).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        let status = world.admin.keys().delete_keys(delete(&["sk-unknown-secret-012345"], &["nothing"])).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        assert!(status.message().contains("nothing") && !status.message().contains("unknown-secret"), "{}", status.message());
        for key in [&own, &of_lead, &foreign] {
            let found = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await.answer().key.unwrap();
            assert_eq!(found.state(), pb::KeyState::Active);
        }
        alice.keys().delete_keys(delete(&[&own.key_hash], &[])).await.answer();
        lead.keys().delete_keys(delete(&[&of_lead.key_hash], &[])).await.answer();
    }

    async fn impossible_lists_are_refused(world: World) {
        assert_eq!(world.admin.keys().delete_keys(delete(&[], &[])).await.bad()[0].0, "keys");
        assert_eq!(world.admin.keys().delete_keys(delete(&["what"], &[])).await.bad()[0].0, "keys[0]");
        assert_eq!(world.admin.keys().delete_keys(delete(&[], &["\n"])).await.bad()[0].0, "key_aliases[0]");
        assert_eq!(world.admin.keys().delete_keys(delete(&[], &["a"; 501])).await.bad()[0].0, "keys");
    }

    async fn a_secret_is_never_used_again(world: World) {
        let chosen = pb::GenerateKeyRequest { new_secret: Some("sk-once-and-never-again".into()), ..Default::default() };
        let secret = world.admin.keys().generate_key(chosen.clone()).await.answer().secret;
        world.admin.keys().delete_keys(delete(&[&secret], &[])).await.answer();
        world.admin.keys().generate_key(chosen).await.refused(Code::AlreadyExists, ErrorReason::KeyExists);
    }
}
