//! What the rollups of a day must be.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, QueryResult};
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, Statement};

use super::super::connect::Store;
use super::super::entity::usage_deltas;
use super::super::error::StoreError;
use super::super::json::word;
use super::super::merge::{cell_of, kept_apart, sums_of};
use super::super::partitions::span_of;
use super::super::rollup_rows::{Place, SUMS, Sums, column_of};
use super::super::view::View;
use super::replace::{Cells, replace};
use super::{Compared, Rebuild};
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cut, Dimension, Grain, Source};
use crate::domain::usage::{CostSource, UsageStatus};

/// The sums of events in SQL, in the order of [`SUMS`].
const OF_EVENTS: [&str; 8] = [
    "SUM(cost_nanos)",
    "SUM(prompt_tokens)",
    "SUM(completion_tokens)",
    "SUM(cache_read_tokens)",
    "SUM(cache_write_tokens)",
    "COUNT(*)",
    "SUM(CASE WHEN status = '{success}' THEN 1 ELSE 0 END)",
    "SUM(CASE WHEN status = '{success}' THEN 0 ELSE 1 END)",
];

impl Store {
    /// Replaces the half hours and the day of each cut.
    pub(super) async fn rebuild_day(
        &self,
        job: &Rebuild,
        day: Timestamp,
        now: Timestamp,
    ) -> Result<Compared, StoreError> {
        let end = Grain::Day.end(day);
        // One instant for the events and for the deltas that wait.
        let snapshot = self.snapshot().await?.0;
        // Of what is no longer kept there are only the rollups.
        if View::of_transaction(&snapshot).closed_spans().await?.contains(&span_of(day)) {
            return Ok(Compared::default());
        }
        let waiting = usage_deltas::Entity::find()
            .filter(usage_deltas::Column::BucketAt.gte(day.micros()))
            .filter(usage_deltas::Column::BucketAt.lt(end.micros()))
            .all(&snapshot)
            .await?;
        let mut compared = Compared::default();
        for cut in Cut::of_events() {
            let grains: Vec<Grain> = cut.grains().iter().copied().filter(|grain| *grain < Grain::Month).collect();
            let mut cells = of_events(&snapshot, cut, (day, end)).await?;
            for delta in &waiting {
                if word::<Source>(&delta.source)? == cut.source() {
                    let place = kept_apart(cut, delta).map(str::to_owned);
                    let bucket = bucket_in(cut, Timestamp::from_micros(delta.bucket_at));
                    let sums = cells.entry((bucket, place)).or_default();
                    sums.iter_mut().zip(sums_of(delta)).for_each(|(sum, part)| *sum = sum.saturating_sub(part));
                }
            }
            let transaction = self.begin_replacing(job, now).await?;
            compared.add(replace(&transaction, cut, &grains, (day, end), cells).await?);
            transaction.commit().await?;
        }
        snapshot.commit().await?;
        Ok(compared)
    }
}

/// The finest bucket in which a cut keeps an instant.
fn bucket_in(cut: Cut, at: Timestamp) -> Timestamp {
    cut.grains().first().map_or(at, |grain| grain.floor(at))
}

/// The events of a day, added up as a cut keeps them.
async fn of_events(
    snapshot: &DatabaseTransaction,
    cut: Cut,
    (day, end): (Timestamp, Timestamp),
) -> Result<Cells, StoreError> {
    let success: &str = UsageStatus::Success.into();
    let adjustment: &str = CostSource::Adjustment.into();
    let finest = cut.grains().first().copied().unwrap_or(Grain::Day);
    let size = finest.end(Timestamp::EPOCH).micros();
    let dimensions = cut.dimensions();
    let columns: Vec<String> = dimensions.iter().map(|of| column_in_events(*of)).collect();
    let sums: Vec<String> = OF_EVENTS
        .iter()
        .zip(SUMS)
        .map(|(sum, name)| format!("CAST({} AS BIGINT) AS {name}", sum.replace("{success}", success)))
        .collect();
    let tags = match cut.source() {
        Source::Tag => "LEFT JOIN usage_event_tags t ON t.request_id = e.request_id AND t.started_at = e.started_at",
        Source::Call | Source::Failure | Source::Denial => "",
    };
    let failed = if cut.source() == Source::Failure { format!("AND status <> '{success}'") } else { String::new() };
    let by: Vec<String> = (1..=columns.len() + 1).map(|position| position.to_string()).collect();
    let sql = format!(
        "SELECT e.started_at / {size} * {size} AS bucket_at, {}, {} FROM usage_events e {tags} \
         WHERE e.started_at >= {} AND e.started_at < {} AND cost_source <> '{adjustment}' {failed} GROUP BY {}",
        columns.join(", "),
        sums.join(", "),
        day.micros(),
        end.micros(),
        by.join(", "),
    );
    let rows = snapshot.query_all_raw(Statement::from_string(snapshot.get_database_backend(), sql)).await?;
    let mut cells = Cells::new();
    for row in rows {
        let bucket = Timestamp::from_micros(row.try_get("", "bucket_at")?);
        let mut place: Place<String> = Dimension::ALL.map(|_| String::new());
        for (value, dimension) in place.iter_mut().zip(Dimension::ALL) {
            if cut.has(dimension) {
                *value = row.try_get("", column_of(dimension))?;
            }
        }
        cells.insert((bucket, place), sums_in(&row)?);
    }
    Ok(cells)
}

/// A dimension of events in SQL, under its name.
fn column_in_events(dimension: Dimension) -> String {
    let name = column_of(dimension);
    match dimension {
        Dimension::Tag => format!("COALESCE(t.tag, '') AS {name}"),
        _ => format!("e.{name} AS {name}"),
    }
}

pub(super) fn sums_in(row: &QueryResult) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    for (sum, name) in sums.iter_mut().zip(SUMS) {
        *sum = row.try_get("", name)?;
    }
    Ok(sums)
}

/// Names of cells, each worked out once.
#[derive(Default)]
pub(super) struct CellNames(HashMap<Place<String>, String>);

impl CellNames {
    pub(super) fn of(&mut self, place: &Place<String>) -> String {
        if let Some(name) = self.0.get(place) {
            return name.clone();
        }
        let name = cell_of(&place.each_ref().map(String::as_str));
        self.0.insert(place.clone(), name.clone());
        name
    }
}
