//! Partitions: made by whoever needs one first, found by whoever waited.

use std::time::Duration;

use bursar::pb;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, query_scalar};

use crate::spend::{at, event, record};
use crate::support::Backend;
use crate::support::world::World;

/// What whoever makes a partition holds.
const LOCK: i64 = 0x6275_7273_7061;

/// Sixteen days, in microseconds.
const SPAN: i64 = 16 * 86_400_000_000;

#[tokio::test]
async fn who_waited_for_another_to_make_a_partition_uses_it() {
    let world = World::builder(Backend::Postgres).at("2025-06-01T00:00:00Z").start().await;
    let (secret, _) = world.key(pb::Key::default()).await;
    let mut other = PgConnection::connect(&world.database.url).await.unwrap();
    // Another instance is about to make the partition of May,
    other.execute("BEGIN").await.unwrap();
    other.execute(AssertSqlSafe(format!("SELECT pg_advisory_xact_lock({LOCK})"))).await.unwrap();
    let early = pb::UsageEvent { start_time: at("2025-05-20T00:00:00Z"), ..event("early", &secret, 400) };
    let admin = world.admin.clone();
    let recording = tokio::spawn(async move { record(&admin, vec![early]).await });
    // which this one needs, too, and has not found.
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while query_scalar::<_, i64>(waiting).fetch_one(&mut other).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let may = at("2025-05-20T00:00:00Z").unwrap().seconds * 1_000_000;
    let from = may / SPAN * SPAN;
    for table in ["usage_events", "usage_event_tags"] {
        let name = format!("{table}_{from}");
        for sql in [
            format!("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"),
            format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({})", from + SPAN),
        ] {
            other.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
    other.execute("COMMIT").await.unwrap();
    let recorded = recording.await.unwrap();
    assert_eq!((recorded.recorded, &recorded.results[0].error), (1, &None));
}
