//! Merging: deltas become rollups, many at once, so that a row of a busy half
//! hour is written a few times and not for every call.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult, QuerySelect, Statement};
use sha2::{Digest, Sha256};

use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::entity::usage_deltas::{self, Model as Delta};
use super::error::StoreError;
use super::json::word;
use super::rebuild::{lock_rebuilds_out, mergeable};
use super::rollup_rows::{self, Place, Sums, add};
use super::rollups::rank_anew;
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cut, Dimension, Grain, Source};

/// The bytes of a cell's name: enough that no two have the same.
const CELL_BYTES: usize = 16;

impl Store {
    /// Merges deltas into the rollups, at most so many; returns how many. A
    /// report sees them before or after, never twice and never not at all.
    ///
    /// # Errors
    /// [`StoreError`]; then none is merged.
    pub async fn merge_deltas(&self, most: u32) -> Result<usize, StoreError> {
        let waiting: Option<i64> = usage_deltas::Entity::find()
            .select_only()
            .column(usage_deltas::Column::DeltaId)
            .limit(1)
            .into_tuple()
            .one(self.readers())
            .await?;
        if waiting.is_none() {
            return Ok(0);
        }
        let transaction = self.begin_raw().await?;
        lock_rebuilds_out(&transaction).await?;
        let deltas = take(&transaction, most).await?;
        write(&transaction, &merged(&deltas)?).await?;
        rank_anew(&transaction, deltas.iter().map(|delta| Timestamp::from_micros(delta.bucket_at))).await?;
        transaction.commit().await?;
        Ok(deltas.len())
    }
}

/// Removes deltas that nobody else is merging, the oldest first.
async fn take(transaction: &DatabaseTransaction, most: u32) -> Result<Vec<Delta>, StoreError> {
    let backend = transaction.get_database_backend();
    let skip = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "DELETE FROM usage_deltas WHERE delta_id IN \
         (SELECT delta_id FROM usage_deltas WHERE {} ORDER BY delta_id LIMIT {most} {skip}) RETURNING *",
        mergeable()
    );
    if backend == DbBackend::Postgres {
        // Of a table that fills and empties, statistics say that it is empty when it
        // is not; rows would be looked for in the list one by one.
        transaction.execute_unprepared("SET LOCAL enable_nestloop = off").await?;
    }
    Ok(Delta::find_by_statement(Statement::from_string(backend, sql)).all(transaction).await?)
}

/// A row of the rollups: its cut, grain and bucket, and the name of its cell.
type RowKey = (Cut, Grain, Timestamp, String);

/// What some deltas add to which rows, in one order for all transactions.
fn merged(deltas: &[Delta]) -> Result<BTreeMap<RowKey, (Place<&str>, Sums)>, StoreError> {
    let mut rows: BTreeMap<RowKey, (Place<&str>, Sums)> = BTreeMap::new();
    for cut in <Cut as strum::VariantArray>::VARIANTS {
        // By place first: a cell is named once, however many buckets it has.
        let mut places: BTreeMap<Place<&str>, BTreeMap<(Grain, Timestamp), Sums>> = BTreeMap::new();
        for delta in deltas {
            if word::<Source>(&delta.source)? != cut.source() {
                continue;
            }
            let buckets = places.entry(kept_apart(*cut, delta)).or_default();
            for grain in cut.grains() {
                let bucket = grain.floor(Timestamp::from_micros(delta.bucket_at));
                add(buckets.entry((*grain, bucket)).or_default(), &sums_of(delta));
            }
        }
        for (place, buckets) in places {
            let cell = cell_of(&place);
            for ((grain, bucket), sums) in buckets {
                rows.insert((*cut, grain, bucket, cell.clone()), (place, sums));
            }
        }
    }
    Ok(rows)
}

async fn write(
    transaction: &DatabaseTransaction,
    rows: &BTreeMap<RowKey, (Place<&str>, Sums)>,
) -> Result<(), StoreError> {
    let text = |of: fn(&RowKey) -> &str| Column::Text(rows.keys().map(|key| of(key).to_owned()).collect());
    let mut columns = vec![
        ("cut", text(|key| key.0.as_str())),
        ("grain", text(|key| key.1.as_str())),
        ("bucket_at", Column::Number(rows.keys().map(|key| key.2.micros()).collect())),
        ("cell", text(|key| &key.3)),
    ];
    columns.extend(rollup_rows::columns(rows.values().map(|(place, sums)| (*place, sums))));
    Bulk { table: "usage_rollups", columns, suffix: ADD_TO_ROLLUP }.run(transaction).await?;
    Ok(())
}

const ADD_TO_ROLLUP: &str = "ON CONFLICT (cut, grain, bucket_at, cell) DO UPDATE SET \
     spent_nanos = usage_rollups.spent_nanos + excluded.spent_nanos, \
     prompt_tokens = usage_rollups.prompt_tokens + excluded.prompt_tokens, \
     completion_tokens = usage_rollups.completion_tokens + excluded.completion_tokens, \
     cache_read_tokens = usage_rollups.cache_read_tokens + excluded.cache_read_tokens, \
     cache_write_tokens = usage_rollups.cache_write_tokens + excluded.cache_write_tokens, \
     api_requests = usage_rollups.api_requests + excluded.api_requests, \
     successful_requests = usage_rollups.successful_requests + excluded.successful_requests, \
     failed_requests = usage_rollups.failed_requests + excluded.failed_requests";

pub(super) fn sums_of(delta: &Delta) -> Sums {
    [
        delta.spent_nanos,
        delta.prompt_tokens,
        delta.completion_tokens,
        delta.cache_read_tokens,
        delta.cache_write_tokens,
        delta.api_requests,
        delta.successful_requests,
        delta.failed_requests,
    ]
}

/// A delta's place in a cut: what the cut does not keep apart is empty.
pub(super) fn kept_apart(cut: Cut, delta: &Delta) -> Place<&str> {
    Dimension::ALL.map(|dimension| {
        let value = match dimension {
            Dimension::Key => &delta.key_id,
            Dimension::User => &delta.user_id,
            Dimension::Team => &delta.team_id,
            Dimension::Organization => &delta.organization_id,
            Dimension::Customer => &delta.customer_id,
            Dimension::Tag => &delta.tag,
            Dimension::Model => &delta.model,
            Dimension::ModelGroup => &delta.model_group,
            Dimension::Provider => &delta.provider,
            Dimension::Deployment => &delta.deployment,
            Dimension::ErrorCode => &delta.error_code,
        };
        if cut.has(dimension) { value.as_str() } else { "" }
    })
}

/// The name of a place: a hash, because the place itself would be a large key.
pub(super) fn cell_of(place: &Place<&str>) -> String {
    let mut hash = Sha256::new();
    for value in place {
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..CELL_BYTES])
}
