//! Keys that are kept no longer.

use bursar::jobs::{KeyRetention, Purger};
use bursar::pb;
use pb::ErrorReason::KeyNotFound;
use tonic::Code;

use crate::spend::{event, record};
use crate::support::{Answer, Backend, World, on_both};

const DAY: i64 = 86_400;

fn purger_of(world: &World, expired_days: Option<i64>, deleted_days: Option<i64>) -> Option<Purger> {
    let app = world.app();
    let seconds = |days: Option<i64>| days.map(|days| days * DAY);
    let retention = KeyRetention { expired_seconds: seconds(expired_days), deleted_seconds: seconds(deleted_days) };
    Purger::new(app.store.clone(), app.gate.clone(), app.clock.clone(), retention)
}

async fn lasting(world: &World, duration: &str, alias: &str) -> (String, pb::Key) {
    let key = pb::Key { key_alias: Some(alias.into()), ..Default::default() };
    let request = pb::GenerateKeyRequest { key: Some(key), duration: Some(duration.into()), ..Default::default() };
    let made = world.admin.keys().generate_key(request).await.answer();
    (made.secret, made.key.unwrap())
}

async fn find(world: &World, key: &pb::Key) -> Result<tonic::Response<pb::GetKeyResponse>, tonic::Status> {
    world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await
}

async fn state(world: &World, key: &pb::Key) -> pb::KeyState {
    find(world, key).await.answer().key.unwrap().state()
}

on_both! {
    async fn an_expired_key_is_deleted_when_its_time_is_over(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let (secret, short) = lasting(&world, "1d", "short").await;
        let (_, long) = lasting(&world, "2d", "long").await;
        let (_, ever) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("used", &secret, 1_000)]).await;
        let purger = purger_of(&world, Some(30), None).unwrap();
        world.hands().set("2025-01-31T23:59:59Z");
        assert_eq!(purger.purge_due().await.unwrap(), (0, 0));
        assert_eq!(state(&world, &short).await, pb::KeyState::Expired);
        world.hands().set("2025-02-01T00:00:00Z");
        assert_eq!(purger.purge_due().await.unwrap(), (1, 0));
        assert_eq!(state(&world, &short).await, pb::KeyState::Deleted);
        assert_eq!((state(&world, &long).await, state(&world, &ever).await), (pb::KeyState::Expired, pb::KeyState::Active));
        let request = pb::ListAuditEntriesRequest { object_id: short.key_id.clone(), action: pb::AuditAction::Delete.into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        assert_eq!((entries.len(), entries[0].actor.as_str(), entries[0].rpc.as_str()), (1, "bursar", "purge_keys"));
        // Whoever extends a key in time keeps it.
        let change = pb::Key { key_hash: long.key_hash.clone(), ..Default::default() };
        let request = pb::UpdateKeyRequest { key: Some(change), duration: Some("1d".into()), ..Default::default() };
        world.admin.keys().update_key(request).await.answer();
        world.hands().set("2025-02-20T00:00:00Z");
        assert_eq!(purger.purge_due().await.unwrap(), (0, 0));
    }

    async fn the_archive_forgets_what_was_deleted_long_ago(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let (secret, old) = lasting(&world, "1d", "old").await;
        record(&world.admin, vec![event("used", &secret, 1_000)]).await;
        let again = pb::RegenerateKeyRequest { key: secret.clone(), ..Default::default() };
        let rotated = world.admin.keys().regenerate_key(again).await.answer().key.unwrap();
        let delete = |key: &pb::Key| pb::DeleteKeysRequest { keys: vec![key.key_hash.clone()], ..Default::default() };
        world.admin.keys().delete_keys(delete(&rotated)).await.answer();
        world.hands().set("2025-01-02T00:00:00Z");
        let (_, young) = lasting(&world, "1d", "young").await;
        world.admin.keys().delete_keys(delete(&young)).await.answer();
        let purger = purger_of(&world, None, Some(30)).unwrap();
        world.hands().set("2025-01-30T23:59:59Z");
        assert_eq!(purger.purge_due().await.unwrap(), (0, 0));
        find(&world, &rotated).await.answer();
        world.hands().set("2025-01-31T00:00:00Z");
        assert_eq!(purger.purge_due().await.unwrap(), (0, 1));
        for key in [&old, &rotated] {
            find(&world, key).await.refused(Code::NotFound, KeyNotFound);
        }
        assert_eq!(state(&world, &young).await, pb::KeyState::Deleted);
        // What it spent is still told.
        let request = pb::ListUsageRequest { request_id: "used".into(), ..Default::default() };
        assert_eq!(world.admin.spend().list_usage(request).await.answer().events[0].cost.as_deref(), Some("0.0025"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
        assert!(purger_of(&world, None, None).is_none());
    }
}
