//! What events write: the rows of a batch, worked out before the transaction
//! that writes them, or while the one before is under way.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::DatabaseTransaction;

use super::dialect::{Bulk, Column};
use super::error::StoreError;
use super::rollup_rows::{self, Place, Sums, add};
use super::usage::to_columns;
use crate::domain::rollup::{Dimension, Source, bucket_of};
use crate::domain::usage::{CostSource, Event, UsageStatus};

/// Columns of rows, by name.
type Columns = Vec<(&'static str, Column)>;

/// The rows of some events.
pub struct EventRows {
    pub(super) ids: Columns,
    pub(super) new: NewRows,
}

/// The rows that are written for those events only that are new.
pub(super) struct NewRows {
    events: Columns,
    tags: Columns,
    deltas: Columns,
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
        Ok(Self { ids: ids(events), new: NewRows::new(events)? })
    }
}

impl NewRows {
    pub(super) fn new(new: &[&Event]) -> Result<Self, StoreError> {
        Ok(Self { events: to_columns(new)?, tags: tags(new), deltas: deltas(new) })
    }

    /// Writes the events, their tags and their deltas.
    pub(super) async fn write(self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        Bulk { table: "usage_events", columns: self.events, suffix: "" }.run(transaction).await?;
        let tags = Bulk { table: "usage_event_tags", columns: self.tags, suffix: "ON CONFLICT DO NOTHING" };
        tags.run(transaction).await?;
        let deltas = Bulk { table: "usage_deltas", columns: self.deltas, suffix: "" };
        deltas.run(transaction).await?;
        Ok(())
    }
}

/// What keeps ids unique, and tells a repeat from another event.
fn ids(events: &[&Event]) -> Columns {
    let text = |of: fn(&Event) -> &str| Column::Text(events.iter().map(|event| of(event).to_owned()).collect());
    let number = |of: fn(&Event) -> i64| Column::Number(events.iter().map(|event| of(event)).collect());
    vec![
        ("request_id", text(|event| &event.usage.request_id)),
        ("fingerprint", text(|event| &event.fingerprint)),
        ("cost_nanos", number(|event| event.costing.cost.nanos())),
        ("started_at", number(|event| event.started_at.micros())),
    ]
}

fn tags(new: &[&Event]) -> Columns {
    let tags = || new.iter().flat_map(|event| event.usage.tags.iter().map(move |tag| (event, tag)));
    vec![
        ("tag", Column::Text(tags().map(|(_, tag)| tag.clone()).collect())),
        ("started_at", Column::Number(tags().map(|(event, _)| event.started_at.micros()).collect())),
        ("request_id", Column::Text(tags().map(|(event, _)| event.usage.request_id.clone()).collect())),
    ]
}

/// One row for each source, half hour and place.
fn deltas(new: &[&Event]) -> Columns {
    let counted = new.iter().filter(|event| event.costing.source != CostSource::Adjustment);
    let counted: Vec<(&Event, Place<String>)> = counted.map(|event| (*event, place_of(event))).collect();
    let mut rows: BTreeMap<(Source, i64, Place<&str>), Sums> = BTreeMap::new();
    for (event, place) in &counted {
        let (bucket, sums) = (bucket_of(event.started_at).micros(), sums_of(event));
        for (source, tag) in appearances(event) {
            add(rows.entry((source, bucket, kept_apart(source, place, tag))).or_default(), &sums);
        }
    }
    let mut columns = vec![
        ("source", Column::Text(rows.keys().map(|(source, ..)| source.as_str().to_owned()).collect())),
        ("bucket_at", Column::Number(rows.keys().map(|(_, bucket, _)| *bucket).collect())),
    ];
    columns.extend(rollup_rows::columns(rows.iter().map(|((_, _, place), sums)| (*place, sums))));
    columns
}

/// Where an event appears: among the calls, among the failures if it is one,
/// and once with each of its tags, or once without any.
fn appearances(event: &Event) -> impl Iterator<Item = (Source, &str)> {
    let failed = event.usage.status == UsageStatus::Failure;
    let tags: BTreeSet<&str> = event.usage.tags.iter().map(String::as_str).collect();
    let untagged = tags.is_empty().then_some("");
    let tagged = tags.into_iter().chain(untagged).map(|tag| (Source::Tag, tag));
    std::iter::once((Source::Call, "")).chain(failed.then_some((Source::Failure, ""))).chain(tagged)
}

/// What an event adds to a row.
fn sums_of(event: &Event) -> Sums {
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

/// An event's values in all dimensions; of its tags it has several.
fn place_of(event: &Event) -> Place<String> {
    let text = |value: Option<&dyn ToString>| value.map(ToString::to_string).unwrap_or_default();
    Dimension::ALL.map(|dimension| match dimension {
        Dimension::Key => text(event.key_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::User => text(event.user_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Team => text(event.team_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Organization => text(event.organization_id.as_ref().map(|id| id as &dyn ToString)),
        Dimension::Customer => event.usage.customer_id.clone(),
        Dimension::Tag => String::new(),
        Dimension::Model => event.usage.model.clone(),
        Dimension::ModelGroup => event.usage.model_group.clone(),
        Dimension::Provider => event.costing.provider.clone(),
        Dimension::Deployment => event.usage.deployment.clone(),
        Dimension::ErrorCode => event.usage.error_code.clone(),
    })
}

/// An event's place among the deltas of a source: what they do not keep apart
/// is empty.
fn kept_apart<'a>(source: Source, place: &'a Place<String>, tag: &'a str) -> Place<&'a str> {
    let mut kept = place.each_ref().map(String::as_str);
    for (value, dimension) in kept.iter_mut().zip(Dimension::ALL) {
        if dimension == Dimension::Tag {
            *value = tag;
        } else if !source.has(dimension) {
            *value = "";
        }
    }
    kept
}
