//! Several instances on one PostgreSQL.

mod chaos;
mod upgrade;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::pb;
use sqlx::{Connection, Executor, PgConnection};

use crate::gateway::{ask, authorize};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client};

/// How many keys are blocked, one after the other.
const KEYS: usize = 40;

/// So long nobody waits, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The connections on which instances listen, and the end of these.
const LISTENERS: &str = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
const LISTENERS_CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                             WHERE datname = current_database() AND query ILIKE 'LISTEN%'";

/// Two instances on one database.
async fn two() -> (World, World) {
    let first = World::start(Backend::Postgres).await;
    let second = World::builder(Backend::Postgres).start_on(Arc::clone(&first.database)).await;
    (first, second)
}

async fn is_allowed(client: &Client, id: &str) -> bool {
    authorize(client, pb::AuthorizeRequest { reserve: false, ..ask(id, "0") }).await.decision() == pb::Decision::Allow
}

/// Blocks a key on one instance; returns how long another one goes on allowing it.
async fn block(here: &World, there: &World) -> Duration {
    let (secret, key) = here.key(pb::Key::default()).await;
    let client = there.with_key(&secret);
    assert!(is_allowed(&client, "a").await);
    here.admin.keys().block_key(pb::BlockKeyRequest { key: key.key_hash, ..Default::default() }).await.answer();
    let blocked_at = Instant::now();
    while client.gateway().authorize(pb::AuthorizeRequest { reserve: false, ..ask("b", "0") }).await.is_ok() {
        assert!(blocked_at.elapsed() < PATIENCE, "it is never refused");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    blocked_at.elapsed()
}

async fn both_listen(database: &mut PgConnection) {
    let waiting_since = Instant::now();
    while database.execute(LISTENERS).await.unwrap().rows_affected() < 2 {
        assert!(waiting_since.elapsed() < PATIENCE, "they do not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn percentile(sorted: &[Duration], of_hundred: usize) -> Duration {
    sorted[(sorted.len() * of_hundred).div_ceil(100) - 1]
}

#[expect(clippy::print_stdout, reason = "how long it takes is measured, and no test of its own")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_blocked_on_one_is_refused_by_all() {
    let (first, second) = two().await;
    let mut took = Vec::with_capacity(KEYS);
    for _ in 0..KEYS {
        took.push(block(&first, &second).await);
    }
    took.sort();
    println!("refused elsewhere after: p50 {:?}, p99 {:?}", percentile(&took, 50), percentile(&took, 99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bell_that_is_cut_is_mended_and_nothing_is_missed_meanwhile() {
    let (first, second) = two().await;
    let mut database = PgConnection::connect(&first.database.url).await.unwrap();
    both_listen(&mut database).await;
    let cut = database.execute(LISTENERS_CUT).await.unwrap();
    assert_eq!(cut.rows_affected(), 2);
    block(&first, &second).await;
    both_listen(&mut database).await;
    block(&first, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_something_rings() {
    let (first, second) = two().await;
    let mut listener = second.store().listen().await.unwrap().unwrap();
    // Not of what began before it listened.
    while tokio::time::timeout(Duration::from_millis(200), listener.heard()).await.is_ok() {}
    first.key(pb::Key::default()).await;
    tokio::time::timeout(PATIENCE, listener.heard()).await.unwrap().unwrap();
}
