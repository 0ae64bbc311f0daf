//! Merging: what it costs does not depend on what PostgreSQL believes of the
//! table of deltas.

use std::time::Duration;

use bursar::store::{ConnectOptions, Store};
use sqlx::{Connection, Executor, PgConnection, query_scalar};

use crate::support::Backend;
use crate::support::database::Database;

/// How many deltas there are, and how many of them one transaction merges.
const DELTAS: i64 = 20_000;
const AT_ONCE: u32 = 5_000;

const FILL: &str = "INSERT INTO usage_deltas (source, bucket_at, key_id, user_id, team_id, organization_id, \
     customer_id, tag, model, model_group, provider, deployment, error_code, spent_nanos, prompt_tokens, \
     completion_tokens, cache_read_tokens, cache_write_tokens, api_requests, successful_requests, failed_requests) \
     SELECT 'call', 0, 'k' || n % 7, '', '', '', '', '', '', '', '', '', '', 1, 1, 1, 0, 0, 1, 1, 0 \
     FROM generate_series(1, 20000) n";

#[tokio::test]
async fn a_table_that_was_empty_when_it_was_analyzed_is_read_once() {
    let database = Database::new(Backend::Postgres).await;
    let options = ConnectOptions {
        url: database.url.clone(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_mins(1),
    };
    let store = Store::connect(&options).await.unwrap();
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    // As it is after a busy hour, when everything is merged: pages without rows.
    let emptied = ["DELETE FROM usage_deltas", "ANALYZE usage_deltas"];
    for sql in ["ALTER TABLE usage_deltas SET (autovacuum_enabled = false)", FILL].into_iter().chain(emptied) {
        connection.execute(sql).await.unwrap();
    }
    connection.execute(FILL).await.unwrap();
    let read =
        "SELECT seq_tup_read + COALESCE(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'usage_deltas'";
    connection.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let before: i64 = query_scalar(read).fetch_one(&mut connection).await.unwrap();
    assert_eq!(store.merge_deltas(AT_ONCE).await.unwrap(), AT_ONCE as usize);
    // Its connection tells what it did when it ends.
    store.close().await.unwrap();
    let gone = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'usage_deltas'";
    while query_scalar::<_, i64>(gone).fetch_one(&mut connection).await.unwrap() < DELTAS + i64::from(AT_ONCE) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after: i64 = query_scalar(read).fetch_one(&mut connection).await.unwrap();
    assert!(after - before <= 4 * DELTAS, "{} rows were read to merge {AT_ONCE} of {DELTAS}", after - before);
    let left: i64 = query_scalar("SELECT COUNT(*) FROM usage_deltas").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, DELTAS - i64::from(AT_ONCE));
}
