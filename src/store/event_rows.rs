//! What events write: the rows of a batch, worked out before the transaction
//! that writes them, or while the one before is under way.

use std::collections::BTreeMap;

use sea_orm::DatabaseTransaction;

use super::dialect::{Bulk, Column};
use super::error::StoreError;
use super::usage::to_columns;
use crate::domain::rollup::{Cut, Dimension, bucket_of};
use crate::domain::usage::{CostSource, Event, UsageStatus};

/// Columns of rows, by name.
type Columns = Vec<(&'static str, Column)>;

/// The rows of some events.
pub struct EventRows {
    pub(super) events: Columns,
    pub(super) counted: CountedRows,
}

/// The rows that are written for those events only that are new.
pub(super) struct CountedRows {
    tags: Columns,
    rollups: Columns,
}

impl std::fmt::Debug for EventRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRows").finish_non_exhaustive()
    }
}

impl EventRows {
    /// The rows of these events, all of which may be new.
    ///
    /// # Errors
    /// [`StoreError`] if a value can't be stored.
    pub fn new(events: &[&Event]) -> Result<Self, StoreError> {
        Ok(Self { events: to_columns(events)?, counted: CountedRows::new(events) })
    }
}

impl CountedRows {
    pub(super) fn new(new: &[&Event]) -> Self {
        Self { tags: tags(new), rollups: rollups(new) }
    }

    /// Writes the tags, and adds to one row of each cut.
    pub(super) async fn write(self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let tags = Bulk { table: "usage_event_tags", columns: self.tags, suffix: "ON CONFLICT DO NOTHING" };
        tags.run(transaction).await?;
        let rollups = Bulk { table: "usage_rollups", columns: self.rollups, suffix: ADD_TO_ROLLUP };
        rollups.run(transaction).await?;
        Ok(())
    }
}

const ADD_TO_ROLLUP: &str = "ON CONFLICT (cut, bucket_at, key_id, user_id, team_id, organization_id, model, provider) DO UPDATE SET \
     spent_nanos = usage_rollups.spent_nanos + excluded.spent_nanos, \
     prompt_tokens = usage_rollups.prompt_tokens + excluded.prompt_tokens, \
     completion_tokens = usage_rollups.completion_tokens + excluded.completion_tokens, \
     cache_read_tokens = usage_rollups.cache_read_tokens + excluded.cache_read_tokens, \
     cache_write_tokens = usage_rollups.cache_write_tokens + excluded.cache_write_tokens, \
     api_requests = usage_rollups.api_requests + excluded.api_requests, \
     successful_requests = usage_rollups.successful_requests + excluded.successful_requests, \
     failed_requests = usage_rollups.failed_requests + excluded.failed_requests";

fn tags(new: &[&Event]) -> Columns {
    let tags = || new.iter().flat_map(|event| event.usage.tags.iter().map(move |tag| (event, tag)));
    vec![
        ("tag", Column::Text(tags().map(|(_, tag)| tag.clone()).collect())),
        ("started_at", Column::Number(tags().map(|(event, _)| event.started_at.micros()).collect())),
        ("request_id", Column::Text(tags().map(|(event, _)| event.usage.request_id.clone()).collect())),
    ]
}

fn rollups(new: &[&Event]) -> Columns {
    let counted: Vec<(&Event, [String; 6])> = new
        .iter()
        .filter(|event| event.costing.source != CostSource::Adjustment)
        .map(|event| (*event, dimensions_of(event)))
        .collect();
    let mut rows: BTreeMap<(&'static str, i64, [&str; 6]), [i64; 8]> = BTreeMap::new();
    for (event, values) in &counted {
        let sums = sums_of(event);
        for cut in <Cut as strum::VariantArray>::VARIANTS {
            let key = (cut.as_str(), bucket_of(event.started_at).micros(), kept_apart(*cut, values));
            let row = rows.entry(key).or_default();
            row.iter_mut().zip(sums).for_each(|(total, part)| *total = total.saturating_add(part));
        }
    }
    let dimension = |index: usize| Column::Text(rows.keys().map(|(_, _, values)| values[index].to_owned()).collect());
    let sum = |index: usize| Column::Number(rows.values().map(|sums| sums[index]).collect());
    vec![
        ("cut", Column::Text(rows.keys().map(|(cut, ..)| (*cut).to_owned()).collect())),
        ("bucket_at", Column::Number(rows.keys().map(|(_, bucket, _)| *bucket).collect())),
        ("key_id", dimension(0)),
        ("user_id", dimension(1)),
        ("team_id", dimension(2)),
        ("organization_id", dimension(3)),
        ("model", dimension(4)),
        ("provider", dimension(5)),
        ("spent_nanos", sum(0)),
        ("prompt_tokens", sum(1)),
        ("completion_tokens", sum(2)),
        ("cache_read_tokens", sum(3)),
        ("cache_write_tokens", sum(4)),
        ("api_requests", sum(5)),
        ("successful_requests", sum(6)),
        ("failed_requests", sum(7)),
    ]
}

/// What an event adds to a rollup row, in the order of its columns.
fn sums_of(event: &Event) -> [i64; 8] {
    let counts = &event.usage.counts;
    let succeeded = event.usage.status == UsageStatus::Success;
    [
        event.costing.cost.nanos(),
        counts.prompt,
        counts.completion,
        counts.cache_read,
        counts.cache_write,
        1,
        i64::from(succeeded),
        i64::from(!succeeded),
    ]
}

/// The dimensions of rollups, in the order of their columns.
const DIMENSIONS: [Dimension; 6] =
    [Dimension::Key, Dimension::User, Dimension::Team, Dimension::Organization, Dimension::Model, Dimension::Provider];

/// An event's values in all dimensions.
fn dimensions_of(event: &Event) -> [String; 6] {
    let text = |value: Option<&dyn ToString>| value.map(ToString::to_string).unwrap_or_default();
    DIMENSIONS.map(|dimension| match dimension {
        Dimension::Key => text(event.key_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::User => text(event.user_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Team => text(event.team_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Organization => text(event.organization_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Model => event.usage.model.clone(),
        Dimension::Provider => event.costing.provider.clone(),
    })
}

/// An event's place in a cut: what the cut does not keep apart is empty.
fn kept_apart(cut: Cut, values: &[String; 6]) -> [&str; 6] {
    let mut kept = values.each_ref().map(String::as_str);
    for (value, dimension) in kept.iter_mut().zip(DIMENSIONS) {
        if !cut.has(dimension) {
            *value = "";
        }
    }
    kept
}
