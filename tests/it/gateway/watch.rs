//! `WatchChanges`.

use std::time::Duration;

use bursar::pb;
use pb::{ChangeKind, ErrorReason};
use tonic::{Code, Status, Streaming};

use crate::support::answer::reason_of;
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

type Stream = Streaming<pb::WatchChangesResponse>;

pub async fn watch(client: &Client, after: Option<i64>) -> Stream {
    let mut stream = client.gateway().watch_changes(pb::WatchChangesRequest { after }).await.answer();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.changes.is_empty(), "the first message says where the stream stands");
    stream
}

/// The next message with changes in it.
async fn next(stream: &mut Stream) -> pb::WatchChangesResponse {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
        let message = message.expect("a message, or a heartbeat").unwrap().unwrap();
        if !message.changes.is_empty() {
            return message;
        }
    }
}

/// How a stream ends.
pub async fn end(stream: &mut Stream) -> Status {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
        match message.expect("a message, or a heartbeat") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a status"),
            Err(status) => return status,
        }
    }
}

fn outline(message: &pb::WatchChangesResponse) -> Vec<(ChangeKind, bool)> {
    message.changes.iter().map(|change| (change.kind(), change.revoked)).collect()
}

on_both! {
    async fn changes_are_told_in_commit_order(world: World) {
        let sidecar = world.sidecar().await;
        let mut stream = watch(&sidecar, None).await;
        let (secret, key) = world.key(pb::Key::default()).await;
        let made = next(&mut stream).await;
        assert_eq!(outline(&made), [(ChangeKind::Key, false)]);
        assert_eq!((&made.changes[0].key_id, &made.changes[0].key_hash), (&key.key_id, &key.key_hash));
        world.admin.keys().block_key(pb::BlockKeyRequest { key: secret.clone(), ..Default::default() }).await.answer();
        let blocked = next(&mut stream).await;
        assert_eq!(outline(&blocked), [(ChangeKind::Key, true)]);
        assert!(blocked.position > made.position && blocked.changes[0].at.is_some());
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret], ..Default::default() }).await.answer();
        let gone = next(&mut stream).await;
        assert_eq!((outline(&gone), &gone.changes[0].key_hash), (vec![(ChangeKind::Key, true)], &key.key_hash));
        let (olga, _) = crate::organizations::acme(&world, pb::Organization::default()).await;
        let mut kinds = Vec::new();
        while kinds.len() < 7 {
            kinds.extend(outline(&next(&mut stream).await));
        }
        assert_eq!(kinds, [
            (ChangeKind::User, false), (ChangeKind::Key, false), (ChangeKind::User, false), (ChangeKind::Key, false),
            (ChangeKind::Organization, false), (ChangeKind::OrganizationMember, false), (ChangeKind::OrganizationMember, false),
        ]);
        // A member that changed is named, too.
        let request = pb::UpdateOrganizationMemberRequest {
            organization_id: "acme".into(), member: Some(crate::organizations::member("omar", pb::OrganizationRole::Admin)), ..Default::default()
        };
        olga.organizations().update_organization_member(request).await.answer();
        let changed = next(&mut stream).await.changes.remove(0);
        assert_eq!((changed.organization_id.as_str(), changed.user_id.as_str()), ("acme", "omar"));
    }

    async fn a_stream_goes_on_where_it_ended(world: World) {
        let sidecar = world.sidecar().await;
        let mut stream = watch(&sidecar, None).await;
        world.user(pb::User { user_id: "u0".into(), ..Default::default() }).await;
        let position = next(&mut stream).await.position;
        drop(stream);
        for number in 1..=30 {
            world.user(pb::User { user_id: format!("u{number}"), ..Default::default() }).await;
        }
        let mut again = watch(&sidecar, Some(position)).await;
        let mut told = Vec::new();
        while told.len() < 30 {
            told.extend(next(&mut again).await.changes.into_iter().map(|change| (change.position, change.user_id)));
        }
        let expected: Vec<_> = (1..=30).map(|number| (position + number, format!("u{number}"))).collect();
        assert_eq!(told, expected, "nothing is lost, nothing is told twice");
        let mut from_the_beginning = watch(&sidecar, Some(0)).await;
        assert_eq!(next(&mut from_the_beginning).await.changes[0].kind(), ChangeKind::Prices);
        for bad in [-1, i64::MAX] {
            let refused = sidecar.gateway().watch_changes(pb::WatchChangesRequest { after: Some(bad) }).await;
            assert_eq!(refused.bad()[0].0, "after");
        }
    }

    async fn the_feed_reads_on_over_what_only_a_newer_version_knows(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let newer = "UPDATE audit_entries SET action = 'teleported', object_type = 'wormhole' WHERE object_id = 'alice'";
        crate::audit::chain::unguard(&world).await;
        assert_eq!(world.execute(newer).await, 1);
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        let mut stream = watch(&world.sidecar().await, Some(0)).await;
        let mut told = Vec::new();
        while !told.iter().any(|change: &pb::Change| change.user_id == "bob") {
            told.extend(next(&mut stream).await.changes);
        }
        assert!(told.iter().all(|change| change.user_id != "alice"));
    }

    async fn changes_of_another_instance_are_told_too(backend: Backend) {
        let world = World::start(backend).await;
        let other = World::builder(backend).start_on(std::sync::Arc::clone(&world.database)).await;
        let mut stream = watch(&world.admin, None).await;
        other.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        assert_eq!(next(&mut stream).await.changes[0].user_id, "alice");
    }

    async fn it_ends_with_the_credential_or_the_server(world: World) {
        let key = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (secret, _) = world.key(key).await;
        let mut of_revoked = watch(&world.with_key(&secret), None).await;
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        let mut of_demoted = watch(&boss, None).await;
        world.admin.keys().block_key(pb::BlockKeyRequest { key: secret, ..Default::default() }).await.answer();
        assert_eq!(reason_of(&end(&mut of_revoked).await), "KEY_BLOCKED");
        let demoted = pb::User { user_id: "boss".into(), user_role: pb::Role::InternalUser.into(), ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(demoted), ..Default::default() }).await.answer();
        assert_eq!(end(&mut of_demoted).await.code(), Code::PermissionDenied);
        let key = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (secret, shown) = world.key(key).await;
        let mut of_narrowed = watch(&world.with_key(&secret), None).await;
        let narrow = pb::Key { key_hash: shown.key_hash, allowed_routes: vec!["bursar.v1.GatewayService/Authorize".into()], ..Default::default() };
        world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(narrow), ..Default::default() }).await.answer();
        assert_eq!(reason_of(&end(&mut of_narrowed).await), "RPC_NOT_ALLOWED_FOR_KEY");
        let gateway = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let (former, shown) = world.key(gateway).await;
        let rotate = pb::RegenerateKeyRequest { key: former.clone(), grace_period: Some("1h".into()), ..Default::default() };
        world.admin.keys().regenerate_key(rotate).await.answer();
        let mut of_former = watch(&world.with_key(&former), None).await;
        let mask = prost_types::FieldMask { paths: vec!["previous_key_valid_until".into()] };
        let end_grace = pb::Key { key_hash: shown.key_hash, ..Default::default() };
        world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(end_grace), update_mask: Some(mask), ..Default::default() }).await.answer();
        assert_eq!(reason_of(&end(&mut of_former).await), "KEY_UNKNOWN");
        let mut of_master = watch(&world.admin, None).await;
        let user = world.person("alice", pb::Role::InternalUser).await;
        let refused = user.gateway().watch_changes(pb::WatchChangesRequest::default()).await.map(|_| ()).unwrap_err();
        assert_eq!(reason_of(&refused), "ROLE_NOT_ALLOWED");
        let (status, _) = tokio::join!(end(&mut of_master), world.stop());
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, ErrorReason::ShuttingDown.as_str_name().trim_start_matches("ERROR_REASON_")));
    }
}
