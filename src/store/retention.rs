//! Retention: events that are no longer kept leave, some at a time, in the
//! transaction that adds them to the opening balances: counters stay the sum of
//! both. Rollups stay. Then their partition is dropped.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::entity::{closed_spans, opening_balances, usage_event_tags, usage_events, usage_ids};
use super::error::StoreError;
use super::json::word;
use super::partitions::{closable_until, drop_empty, end_of, span_of};
use super::usage::to_event;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::usage::Event;

/// How many events leave at once: few enough that the one writer of SQLite is
/// not kept for long.
const AT_ONCE: u64 = 2_000;

impl View<'_> {
    /// The instant before which usage events may be gone; that of nothing if all
    /// are there.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn events_gone_until(&self) -> Result<Option<Timestamp>, StoreError> {
        let latest = closed_spans::Entity::find().order_by_desc(closed_spans::Column::SpanAt);
        let last = latest.one(&self.executor()).await?;
        Ok(last.map(|row| end_of(Timestamp::from_micros(row.span_at))))
    }

    /// The opening balances: what events that are gone add up to.
    pub(super) async fn opening_balances(&self) -> Result<BTreeMap<(AccountId, Timestamp), i128>, StoreError> {
        let rows = opening_balances::Entity::find().all(&self.executor()).await?;
        let of = |row: opening_balances::Model| {
            let scope: Scope = word(&row.scope)?;
            let account = AccountId::stored(scope, row.name);
            Ok(((account, Timestamp::from_micros(row.window_start_at)), i128::from(row.spent_nanos)))
        };
        rows.into_iter().map(of).collect()
    }

    /// The spans of which events are gone.
    pub(super) async fn closed_spans(&self) -> Result<Vec<Timestamp>, StoreError> {
        let rows = closed_spans::Entity::find().all(&self.executor()).await?;
        Ok(rows.into_iter().map(|row| Timestamp::from_micros(row.span_at)).collect())
    }
}

impl Store {
    /// Lets some events go that began before an instant, whole spans of them and
    /// none of the last ones; says whether any may be left. If none is, their
    /// partitions are dropped.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them is gone.
    pub async fn close_events_before(&self, horizon: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let until = span_of(horizon).min(closable_until(now));
        let first = usage_events::Entity::find()
            .filter(usage_events::Column::StartedAt.lt(until.micros()))
            .order_by_asc(usage_events::Column::StartedAt)
            .one(self.readers())
            .await?;
        let Some(first) = first else {
            self.drop_closed_partitions().await?;
            return Ok(false);
        };
        let span = span_of(Timestamp::from_micros(first.started_at));
        let transaction = self.begin_raw().await?;
        let gone = take(&transaction, span).await?;
        if !gone.is_empty() {
            open_balances(&transaction, &gone).await?;
            forget(&transaction, &gone).await?;
            note(&transaction, span, gone.len(), now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Drops the partitions of closed spans in which nothing is left.
    async fn drop_closed_partitions(&self) -> Result<(), StoreError> {
        for span in self.view().closed_spans().await? {
            let transaction = self.begin_raw().await?;
            drop_empty(&transaction, span).await?;
            transaction.commit().await?;
        }
        Ok(())
    }
}

/// Some events of a span, locked.
async fn take(transaction: &DatabaseTransaction, span: Timestamp) -> Result<Vec<Event>, StoreError> {
    let rows = usage_events::Entity::find()
        .filter(usage_events::Column::StartedAt.gte(span.micros()))
        .filter(usage_events::Column::StartedAt.lt(end_of(span).micros()))
        .order_by_asc(usage_events::Column::StartedAt)
        .order_by_asc(usage_events::Column::RequestId)
        .limit(AT_ONCE)
        .lock_exclusive()
        .all(transaction)
        .await?;
    rows.into_iter().map(|row| to_event(row).map(|stored| stored.event)).collect()
}

/// Adds events to the opening balances: to each window, and to the whole life.
async fn open_balances(transaction: &DatabaseTransaction, gone: &[Event]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<(AccountId, Timestamp), i64> = BTreeMap::new();
    for event in gone {
        let cost = event.costing.cost.nanos();
        for posting in &event.postings {
            for start in posting.windows() {
                let sum = sums.entry((posting.account.clone(), start)).or_default();
                *sum = sum.saturating_add(cost);
            }
        }
    }
    let balances = Bulk {
        table: "opening_balances",
        columns: vec![
            ("scope", Column::Text(sums.keys().map(|(account, _)| account.scope().as_str().to_owned()).collect())),
            ("name", Column::Text(sums.keys().map(|(account, _)| account.name().to_owned()).collect())),
            ("window_start_at", Column::Number(sums.keys().map(|(_, start)| start.micros()).collect())),
            ("spent_nanos", Column::Number(sums.values().copied().collect())),
        ],
        suffix: "ON CONFLICT (scope, name, window_start_at) DO UPDATE SET \
                 spent_nanos = opening_balances.spent_nanos + excluded.spent_nanos",
    };
    balances.run(transaction).await?;
    Ok(())
}

/// Removes events, their ids and their tags.
async fn forget(transaction: &DatabaseTransaction, gone: &[Event]) -> Result<(), StoreError> {
    for chunk in gone.chunks(500) {
        let ids = || chunk.iter().map(|event| event.usage.request_id.as_str());
        let (first, last) = (&chunk[0], &chunk[chunk.len() - 1]);
        // The time is what finds them.
        let (from, until) = (first.started_at.micros(), last.started_at.micros());
        usage_events::Entity::delete_many()
            .filter(usage_events::Column::StartedAt.between(from, until))
            .filter(usage_events::Column::RequestId.is_in(ids()))
            .exec(transaction)
            .await?;
        usage_ids::Entity::delete_many().filter(usage_ids::Column::RequestId.is_in(ids())).exec(transaction).await?;
        let mut tags: Vec<&str> = chunk.iter().flat_map(|event| &event.usage.tags).map(String::as_str).collect();
        tags.sort_unstable();
        tags.dedup();
        usage_event_tags::Entity::delete_many()
            .filter(usage_event_tags::Column::Tag.is_in(tags))
            .filter(usage_event_tags::Column::StartedAt.between(from, until))
            .filter(usage_event_tags::Column::RequestId.is_in(ids()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

async fn note(
    transaction: &DatabaseTransaction,
    span: Timestamp,
    count: usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO closed_spans (span_at, events, closed_at) VALUES ({}, {count}, {}) \
         ON CONFLICT (span_at) DO UPDATE SET events = closed_spans.events + excluded.events, \
         closed_at = excluded.closed_at",
        span.micros(),
        now.micros()
    );
    transaction.execute_unprepared(&sql).await?;
    Ok(())
}
