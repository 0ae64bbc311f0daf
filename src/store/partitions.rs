//! Partitions: where PostgreSQL keeps usage events, sixteen days in each, so
//! that old ones go at once. SQLite has none.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};

use super::error::StoreError;
use crate::domain::clock::Timestamp;

/// The tables that have partitions.
const TABLES: [&str; 2] = ["usage_events", "usage_event_tags"];

/// Whoever makes or drops a partition, or writes into an old one, does so alone.
const LOCK: i64 = 0x6275_7273_7061;

/// How many spans back a partition is never dropped: what is known of it stays
/// true.
const FRESH_SPANS: i64 = 3;

/// The partitions that are known to be there and to stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<BTreeSet<Timestamp>>>);

/// How long a partition is, in microseconds; partitions begin at multiples of
/// it, as the migration that made the first ones has it.
const SPAN_MICROS: i64 = 16 * 86_400_000_000;

/// The partition that an instant belongs to.
pub(super) const fn span_of(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().div_euclid(SPAN_MICROS) * SPAN_MICROS)
}

/// The instant after a span.
pub(super) const fn end_of(span: Timestamp) -> Timestamp {
    Timestamp::from_micros(span.micros() + SPAN_MICROS)
}

/// The latest instant before which spans may be closed.
pub(super) const fn closable_until(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(span_of(now).micros() - FRESH_SPANS * SPAN_MICROS)
}

/// Sees to it that there is a partition for each of these instants. To be called
/// before the transaction locks anything else.
pub(super) async fn ensure(
    transaction: &DatabaseTransaction,
    known: &Known,
    instants: impl Iterator<Item = Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if transaction.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let spans: BTreeSet<Timestamp> = instants.map(span_of).collect();
    let unknown: Vec<Timestamp> = {
        let mut known = known.0.lock();
        // What was fresh once may be dropped by now.
        known.retain(|span| *span >= closable_until(now));
        spans.into_iter().filter(|span| !known.contains(span)).collect()
    };
    for span in unknown {
        let is_fresh = span >= closable_until(now);
        // Nobody drops a fresh one, so that it is safe to look without the lock.
        // What this transaction makes it may still roll back: that is known when
        // a later one finds it.
        if is_fresh && all_exist(transaction, span).await? {
            known.0.lock().insert(span);
            continue;
        }
        lock(transaction).await?;
        for table in TABLES {
            make(transaction, table, span).await?;
        }
    }
    Ok(())
}

async fn all_exist(transaction: &DatabaseTransaction, span: Timestamp) -> Result<bool, StoreError> {
    for table in TABLES {
        if !exists(transaction, &name_of(table, span)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Drops the partitions of a span, if nothing is in them.
pub(super) async fn drop_empty(transaction: &DatabaseTransaction, span: Timestamp) -> Result<(), StoreError> {
    if transaction.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // Whoever reads usage for long is not made to wait for this: it is tried
    // again later.
    transaction.execute_unprepared("SET LOCAL lock_timeout = '2s'").await?;
    lock(transaction).await?;
    for table in TABLES {
        let name = name_of(table, span);
        if !exists(transaction, &name).await? {
            continue;
        }
        if table == "usage_events" && has_rows(transaction, &name).await? {
            return Ok(());
        }
        transaction.execute_unprepared(&format!("ALTER TABLE {table} DETACH PARTITION {name}")).await?;
        transaction.execute_unprepared(&format!("DROP TABLE {name}")).await?;
    }
    Ok(())
}

async fn lock(transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    let sql = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(())
}

/// Made apart and attached, which keeps nobody from reading and writing; made in
/// place it would.
async fn make(transaction: &DatabaseTransaction, table: &str, span: Timestamp) -> Result<(), StoreError> {
    let name = name_of(table, span);
    if exists(transaction, &name).await? {
        return Ok(());
    }
    let (from, until) = (span.micros(), end_of(span).micros());
    transaction.execute_unprepared(&format!("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")).await?;
    let attach = format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({until})");
    transaction.execute_unprepared(&attach).await?;
    Ok(())
}

fn name_of(table: &str, span: Timestamp) -> String {
    format!("{table}_{}", span.micros())
}

/// Asks the catalog's rows: `to_regclass` answers from a cache, which a wait for
/// the advisory lock does not freshen.
async fn exists(transaction: &DatabaseTransaction, name: &str) -> Result<bool, StoreError> {
    let rows =
        format!("SELECT 1 FROM pg_class WHERE relname = '{name}' AND relnamespace = current_schema()::regnamespace");
    truth(transaction, format!("SELECT EXISTS ({rows}) AS found")).await
}

async fn has_rows(transaction: &DatabaseTransaction, name: &str) -> Result<bool, StoreError> {
    truth(transaction, format!("SELECT EXISTS (SELECT 1 FROM {name}) AS found")).await
}

async fn truth(transaction: &DatabaseTransaction, sql: String) -> Result<bool, StoreError> {
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(row.map(|row| row.try_get("", "found")).transpose()?.unwrap_or_default())
}
