//! Verifying by itself: a gauge that must read 0.

use std::sync::Arc;

use bursar::jobs::verify_if_due;
use bursar::pb;

use crate::gateway::{reserve, settle};
use crate::support::database::fresh_directory;
use crate::support::process::{run, text};
use crate::support::world::World;
use crate::support::{Backend, on_both};

const HOUR: i64 = 3_600;

/// Verifies if it is due; gives the gauge, and how many events were added up.
async fn gauge(world: &World) -> (u64, u64) {
    let app = world.app();
    verify_if_due(&app.store, &app.metrics, &app.clock, HOUR).await.unwrap();
    let page = reqwest::get(format!("{}/metrics", world.http_address)).await.unwrap().text().await.unwrap();
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    };
    (value("bursar_reconciliation_differences"), value("bursar_reconciliation_events"))
}

on_both! {
    async fn what_differs_shows_at_every_instance_once_one_has_verified(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let call = reserve(&client, "a", "0.01").await;
        settle(&client, &call, 100).await;
        assert_eq!(gauge(&world).await, (0, 1));
        let other = World::builder(backend).at("2025-01-01T12:30:00Z").start_on(Arc::clone(&world.database)).await;
        assert!(world.execute("UPDATE balances SET spent_nanos = spent_nanos + 1 WHERE scope = 'key'").await > 0);
        // It was done half an hour ago, by another one.
        assert_eq!(gauge(&other).await, (0, 1));
        other.hands().advance(1_800);
        let (differences, events) = gauge(&other).await;
        assert!(differences > 0 && events == 1, "{differences} in {events}");
        assert_eq!(gauge(&world).await.0, differences, "every instance tells");
        assert!(world.execute("UPDATE balances SET spent_nanos = spent_nanos - 1 WHERE scope = 'key'").await > 0);
        other.hands().advance(HOUR);
        assert_eq!(gauge(&other).await, (0, 1));
        // What somebody finds by hand shows, too.
        assert!(world.execute("UPDATE balances SET spent_nanos = spent_nanos + 1 WHERE scope = 'key'").await > 0);
        let directory = fresh_directory();
        let by_hand = run(&directory, &["verify", "--database-url", &world.database.url]);
        assert_eq!(by_hand.status.code(), Some(1), "{}", text(&by_hand.stderr));
        assert_eq!(gauge(&other).await, (differences, 1));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
