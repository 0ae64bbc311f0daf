//! Replacing rollups: what is there goes, what must be there comes, and what
//! was different is counted.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use super::super::connect::Store;
use super::super::dialect::{Bulk, Column};
use super::super::error::StoreError;
use super::super::rollup_rows::{self, Place, SUMS, Sums, add, column_of};
use super::super::rollups::rank_anew;
use super::day::{CellNames, sums_in};
use super::{Compared, Rebuild};
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cut, Dimension, Grain};

/// How many rows are written with one statement.
const AT_ONCE: usize = 2_000;

/// What a cut keeps in the finest of its buckets.
pub(super) type Cells = HashMap<(Timestamp, Place<String>), Sums>;

/// A row: its grain, bucket and cell, and where it is.
type Rows = HashMap<(Grain, Timestamp, String), (Place<String>, Sums)>;

impl Store {
    /// Replaces the month of each cut by the sum of its days.
    pub(super) async fn rebuild_month(
        &self,
        job: &Rebuild,
        month: Timestamp,
        now: Timestamp,
    ) -> Result<Compared, StoreError> {
        let end = Grain::Month.end(month);
        let mut compared = Compared::default();
        for cut in Cut::of_events() {
            let transaction = self.begin_replacing(job, now).await?;
            let cells = of_days(&transaction, cut, (month, end)).await?;
            compared.add(replace(&transaction, cut, &[Grain::Month], (month, end), cells).await?);
            transaction.commit().await?;
        }
        Ok(compared)
    }
}

/// The days of a month added up.
async fn of_days(
    transaction: &DatabaseTransaction,
    cut: Cut,
    (month, end): (Timestamp, Timestamp),
) -> Result<Cells, StoreError> {
    let columns = Dimension::ALL.map(column_of).join(", ");
    let sums = SUMS.map(|name| format!("CAST(SUM({name}) AS BIGINT) AS {name}")).join(", ");
    let sql = format!(
        "SELECT {columns}, {sums} FROM usage_rollups WHERE cut = '{}' AND grain = '{}' \
         AND bucket_at >= {} AND bucket_at < {} GROUP BY {columns}",
        cut.as_str(),
        Grain::Day.as_str(),
        month.micros(),
        end.micros()
    );
    let rows = transaction.query_all_raw(Statement::from_string(transaction.get_database_backend(), sql)).await?;
    rows.iter()
        .map(|row| {
            let mut place = Dimension::ALL.map(|_| String::new());
            for (value, dimension) in place.iter_mut().zip(Dimension::ALL) {
                *value = row.try_get("", column_of(dimension))?;
            }
            Ok(((month, place), sums_in(row)?))
        })
        .collect()
}

/// Replaces the rows of a cut in some grains between two instants.
pub(super) async fn replace(
    transaction: &DatabaseTransaction,
    cut: Cut,
    grains: &[Grain],
    (from, until): (Timestamp, Timestamp),
    cells: Cells,
) -> Result<Compared, StoreError> {
    let rows = rows_of(grains, cells);
    let names = grains.iter().map(|grain| format!("'{}'", grain.as_str())).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "DELETE FROM usage_rollups WHERE cut = '{}' AND grain IN ({names}) AND bucket_at >= {} AND bucket_at < {} \
         RETURNING grain, bucket_at, cell, {}",
        cut.as_str(),
        from.micros(),
        until.micros(),
        SUMS.join(", ")
    );
    let former = transaction.query_all_raw(Statement::from_string(transaction.get_database_backend(), sql)).await?;
    let mut right = 0_usize;
    for row in &former {
        let grain = super::super::json::word(&row.try_get::<String>("", "grain")?)?;
        let key = (grain, Timestamp::from_micros(row.try_get("", "bucket_at")?), row.try_get("", "cell")?);
        let sums = sums_in(row)?;
        right += usize::from(rows.get(&key).is_some_and(|(_, wanted)| *wanted == sums));
    }
    rank_anew(transaction, rows.keys().map(|(_, bucket, _)| *bucket).chain([from])).await?;
    let (before, after) = (former.len(), rows.len());
    insert(transaction, cut, rows).await?;
    // A wrong row was there and is there; one too many or too few is on one side.
    let repaired = before.max(after) - right;
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(Compared { compared: count(before.max(after)), repaired: count(repaired) })
}

/// The rows of each grain, without those in which nothing is left.
fn rows_of(grains: &[Grain], cells: Cells) -> Rows {
    let mut names = CellNames::default();
    let mut rows = Rows::new();
    for ((bucket, place), sums) in cells {
        let cell = names.of(&place);
        for grain in grains {
            let key = (*grain, grain.floor(bucket), cell.clone());
            add(&mut rows.entry(key).or_insert_with(|| (place.clone(), Sums::default())).1, &sums);
        }
    }
    rows.retain(|_, (_, sums)| sums.iter().any(|sum| *sum != 0));
    rows
}

async fn insert(transaction: &DatabaseTransaction, cut: Cut, rows: Rows) -> Result<(), StoreError> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    // In the order of the table's key.
    rows.sort_unstable_by(|(left, _), (right, _)| {
        (left.0.as_str(), left.1, &left.2).cmp(&(right.0.as_str(), right.1, &right.2))
    });
    for chunk in rows.chunks(AT_ONCE) {
        let mut columns = vec![
            ("cut", Column::Text(vec![cut.as_str().to_owned(); chunk.len()])),
            ("grain", Column::Text(chunk.iter().map(|((grain, ..), _)| grain.as_str().to_owned()).collect())),
            ("bucket_at", Column::Number(chunk.iter().map(|((_, bucket, _), _)| bucket.micros()).collect())),
            ("cell", Column::Text(chunk.iter().map(|((.., cell), _)| cell.clone()).collect())),
        ];
        let places = chunk.iter().map(|(_, (place, sums))| (place.each_ref().map(String::as_str), sums));
        columns.extend(rollup_rows::columns(places));
        Bulk { table: "usage_rollups", columns, suffix: "" }.run(transaction).await?;
    }
    Ok(())
}
