//! Keys that are rotated by themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bursar::jobs::Rotator;
use bursar::pb;
use pb::ErrorReason;
use serde_json::Value;
use tonic::Code;

use super::generate;
use crate::spend::at;
use crate::support::database::fresh_directory;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

/// A world whose keys are rotated into a directory, with a grace of a day.
async fn world(backend: Backend, directory: &Path) -> World {
    let builder = World::builder(backend).at("2025-01-01T00:00:00Z").set("rotation_grace_period", "1d");
    builder.set("rotation_directory", directory.to_str().unwrap()).start().await
}

/// The job, to be run by hand.
fn rotator(world: &World) -> Rotator {
    let app = world.app();
    let make = || bursar::services::wire::secret::fresh_secret().ok();
    let rotator =
        Rotator::new(app.store.clone(), app.gate.clone(), app.clock.clone(), app.rules.rotation.clone(), make);
    rotator.unwrap()
}

fn every(interval: &str, key: pb::Key) -> pb::Key {
    pb::Key { auto_rotate: Some(true), rotation_interval: Some(interval.into()), ..key }
}

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort_unstable();
    paths
}

/// What the file of a key says.
fn delivered(directory: &Path, key: &pb::Key) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join(format!("{}.json", key.key_id))).unwrap()).unwrap()
}

async fn is_good(world: &World, secret: &str) -> bool {
    world.with_key(secret).keys().get_key(pb::GetKeyRequest::default()).await.is_ok()
}

on_both! {
    async fn what_is_due_is_rotated_once_and_its_secret_delivered(backend: Backend) {
        let directory = fresh_directory();
        let world = world(backend, &directory).await;
        let (first, key) = world.key(every("30d", pb::Key { key_alias: Some("ci".into()), ..Default::default() })).await;
        assert_eq!(key.next_rotation_at, at("2025-01-31T00:00:00Z"));
        let (_, blocked) = world.key(every("30d", pb::Key { blocked: Some(true), ..Default::default() })).await;
        let (_, still) = world.key(pb::Key::default()).await;
        let job = rotator(&world);
        world.hands().set("2025-01-30T23:59:59Z");
        assert_eq!(job.rotate_due().await.unwrap(), 0);
        world.hands().set("2025-01-31T00:00:00Z");
        // Two instances at once: one of them does it.
        let other = rotator(&world);
        let (here, there) = tokio::join!(job.rotate_due(), other.rotate_due());
        assert_eq!(here.unwrap() + there.unwrap(), 1);
        assert_eq!(job.rotate_due().await.unwrap(), 0);
        let told = delivered(&directory, &key);
        let second = told["secret"].as_str().unwrap().to_owned();
        assert_eq!((&told["key_alias"], &told["previous_key_valid_until"]), (&"ci".into(), &"2025-02-01T00:00:00Z".into()));
        assert_eq!(files(&directory, ".json").len(), 1, "neither {} nor {}", blocked.key_id, still.key_id);
        assert_eq!(std::fs::metadata(&files(&directory, ".json")[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(is_good(&world, &first).await && is_good(&world, &second).await);
        world.hands().set("2025-02-01T00:00:00Z");
        assert!(!is_good(&world, &first).await && is_good(&world, &second).await);
        let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: second.clone() }).await.answer().key.unwrap();
        assert_eq!((shown.rotation_count, shown.next_rotation_at), (1, at("2025-03-02T00:00:00Z")));
        // Unblocked, the other one is long due.
        world.admin.keys().unblock_key(pb::UnblockKeyRequest { key: blocked.key_hash.clone() }).await.answer();
        assert_eq!(job.rotate_due().await.unwrap(), 1);
        let never = pb::UpdateKeyRequest { key: Some(pb::Key { key_hash: second, auto_rotate: Some(false), ..Default::default() }), ..Default::default() };
        let shown = world.admin.keys().update_key(never).await.answer().key.unwrap();
        assert_eq!((shown.auto_rotate, shown.rotation_interval, shown.next_rotation_at), (Some(false), None, None));
        world.hands().set("2026-01-01T00:00:00Z");
        assert_eq!(job.rotate_due().await.unwrap(), 1, "the other one alone");
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn a_secret_that_can_not_be_delivered_is_not_made(backend: Backend) {
        let directory = fresh_directory();
        let world = world(backend, &directory).await;
        let (first, key) = world.key(every("1d", pb::Key::default())).await;
        let job = rotator(&world);
        world.hands().set("2025-01-02T00:00:00Z");
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(job.rotate_due().await.unwrap(), 0);
        world.hands().set("2025-01-10T00:00:00Z");
        assert!(is_good(&world, &first).await, "the secret that its owner has");
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(job.rotate_due().await.unwrap(), 1);
        assert!(is_good(&world, delivered(&directory, &key)["secret"].as_str().unwrap()).await);
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn what_a_crash_left_is_ended(backend: Backend) {
        let directory = fresh_directory();
        let world = world(backend, &directory).await;
        let (_, key) = world.key(every("30d", pb::Key::default())).await;
        let job = rotator(&world);
        world.hands().set("2025-01-31T00:00:00Z");
        assert_eq!(job.rotate_due().await.unwrap(), 1);
        // After the commit, before the name; and before the commit.
        let good = directory.join(format!("{}.x.pending", key.key_id));
        std::fs::rename(directory.join(format!("{}.json", key.key_id)), &good).unwrap();
        let text = std::fs::read_to_string(&good).unwrap();
        let secret = delivered_secret(&text);
        let bad = directory.join(format!("{}.y.pending", key.key_id));
        std::fs::write(&bad, text.replace(&secret, "sk-never-good-0123456789")).unwrap();
        std::fs::write(directory.join("half.pending"), "{").unwrap();
        assert_eq!(job.rotate_due().await.unwrap(), 0);
        assert_eq!(files(&directory, ".pending").len(), 3, "perhaps another instance is at it");
        world.hands().advance(600);
        assert_eq!(job.rotate_due().await.unwrap(), 0);
        assert_eq!(delivered(&directory, &key)["secret"], secret);
        assert_eq!(files(&directory, ".pending"), [directory.join("half.pending")]);
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn rotation_that_can_not_be_is_refused(backend: Backend) {
        let directory = fresh_directory();
        let world = world(backend, &directory).await;
        let half = pb::Key { auto_rotate: Some(true), ..Default::default() };
        let other_half = pb::Key { rotation_interval: Some("30d".into()), ..Default::default() };
        for key in [half, other_half, every("59m", pb::Key::default()), every("12h", pb::Key::default()), every("soon", pb::Key::default())] {
            assert_eq!(world.admin.keys().generate_key(generate(key)).await.bad()[0].0, "key.rotation_interval");
        }
        let (_, key) = world.key(every("30d", pb::Key::default())).await;
        let cleared = pb::UpdateKeyRequest {
            key: Some(pb::Key { key_hash: key.key_hash.clone(), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["rotation_interval".into()] }), ..Default::default()
        };
        assert_eq!(world.admin.keys().update_key(cleared).await.bad()[0].0, "key.rotation_interval");
        let named = pb::Key { key_hash: key.key_hash.clone(), ..Default::default() };
        let (_, still) = world.key(pb::Key::default()).await;
        for half in [
            pb::Key { auto_rotate: Some(false), rotation_interval: Some("30d".into()), ..named },
            pb::Key { auto_rotate: Some(true), key_hash: still.key_hash.clone(), ..Default::default() },
            pb::Key { rotation_interval: Some("30d".into()), key_hash: still.key_hash, ..Default::default() },
        ] {
            let half = pb::UpdateKeyRequest { key: Some(half), ..Default::default() };
            assert_eq!(world.admin.keys().update_key(half).await.bad()[0].0, "key.rotation_interval");
        }
        let user = pb::CreateUserRequest { key: Some(pb::Key { auto_rotate: Some(true), ..Default::default() }), ..Default::default() };
        assert_eq!(world.admin.users().create_user(user).await.bad()[0].0, "key.auto_rotate");
        let world = World::start(backend).await;
        let refused = world.admin.keys().generate_key(generate(every("30d", pb::Key::default()))).await;
        refused.refused(Code::FailedPrecondition, ErrorReason::NoRotationSink);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

fn delivered_secret(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap()["secret"].as_str().unwrap().to_owned()
}
