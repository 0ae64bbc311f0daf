//! Personal keys, and the admins of the organization where their owner is at
//! home.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::generate;
use crate::organizations::acme;
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

fn of(user_id: &str) -> pb::Key {
    pb::Key { user_id: Some(user_id.into()), ..Default::default() }
}

async fn hashes(client: &Client, request: pb::ListKeysRequest) -> Vec<String> {
    client.keys().list_keys(request).await.answer().keys.into_iter().map(|key| key.key_hash).collect()
}

/// A user at home in acme, without a key.
async fn nina(olga: &Client) {
    let user = pb::User { user_id: "nina".into(), user_role: pb::Role::InternalUser.into(), ..Default::default() };
    let request = pb::CreateUserRequest {
        user: Some(user),
        organization_ids: vec!["acme".into()],
        auto_create_key: Some(false),
        ..Default::default()
    };
    olga.users().create_user(request).await.answer();
}

on_both! {
    async fn an_admin_makes_and_manages_them(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        nina(&olga).await;
        let made = olga.keys().generate_key(generate(of("nina"))).await.answer();
        let key = made.key.unwrap();
        assert_eq!((key.user_id.as_deref(), key.key_type()), (Some("nina"), pb::KeyType::LlmApi), "it lends no rights");
        let get = pb::GetKeyRequest { key: key.key_hash.clone() };
        assert_eq!(olga.keys().get_key(get.clone()).await.answer().key.unwrap().key_id, key.key_id);
        omar.keys().get_key(get).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        let listed = pb::ListKeysRequest { user_id: "nina".into(), ..Default::default() };
        assert_eq!(hashes(&olga, listed.clone()).await, std::slice::from_ref(&key.key_hash));
        let update = |key: pb::Key| pb::UpdateKeyRequest { key: Some(key), ..Default::default() };
        let named = || pb::Key { key_hash: key.key_hash.clone(), ..Default::default() };
        olga.keys().update_key(update(pb::Key { max_budget: Some("3".into()), ..named() })).await.answer();
        // A personal key stays its owner's.
        let members = vec![crate::teams::member("nina", pb::TeamRole::User)];
        world.team(pb::Team { members, ..crate::organizations::team("red") }).await;
        for change in [
            pb::Key { user_id: Some("olga".into()), ..named() },
            pb::Key { team_id: Some("red".into()), ..named() },
            pb::Key { spend: Some("0".into()), ..named() },
            pb::Key { tpm_limit: Some(9), tpm_limit_type: pb::LimitType::GuaranteedThroughput.into(), ..named() },
        ] {
            let given = olga.keys().update_key(update(change)).await;
            given.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        olga.keys().block_key(pb::BlockKeyRequest { key: key.key_hash.clone(), ..Default::default() }).await.answer();
        let delete = pb::DeleteKeysRequest { keys: vec![key.key_hash.clone()], ..Default::default() };
        omar.keys().delete_keys(delete.clone()).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        olga.keys().delete_keys(delete).await.answer();
        let deleted = pb::ListKeysRequest { status: pb::KeyState::Deleted.into(), ..listed };
        assert_eq!(hashes(&olga, deleted).await, [key.key_hash]);
    }

    async fn the_setting_says_who_makes_them(backend: Backend) {
        let only_admins = r#"{ personal_key_generation = { allowed_user_roles = ["proxy_admin"] } }"#;
        let world = World::builder(backend).set("key_generation_settings", only_admins).start().await;
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        nina(&olga).await;
        for user in ["olga", "nina"] {
            olga.keys().generate_key(generate(of(user))).await.refused(Code::PermissionDenied, ErrorReason::GenerationNotAllowed);
        }
    }

    async fn whoever_is_at_home_elsewhere_is_out_of_reach(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        nina(&olga).await;
        // omar is in the organization, and at home nowhere.
        for user in ["omar", "nobody"] {
            olga.keys().generate_key(generate(of(user))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        }
        let (_, of_omar) = world.key(of("omar")).await;
        olga.keys().get_key(pb::GetKeyRequest { key: of_omar.key_hash }).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        // Nor is who has rights over the whole installation.
        let boss = pb::User { user_id: "nina".into(), user_role: pb::Role::ProxyAdmin.into(), ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(boss), ..Default::default() }).await.answer();
        let (_, of_nina) = world.key(of("nina")).await;
        olga.keys().generate_key(generate(of("nina"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        olga.keys().get_key(pb::GetKeyRequest { key: of_nina.key_hash.clone() }).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        let listed = pb::ListKeysRequest { key: of_nina.key_hash, user_id: "nina".into(), ..Default::default() };
        assert_eq!(hashes(&olga, listed).await, [""; 0]);
    }
}
