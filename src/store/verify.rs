//! Verifying: do the counters equal the sum of the events?

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::balances::BalanceKey;
use super::connect::Store;
use super::entity::{balances, usage_deltas, usage_rollups};
use super::error::StoreError;
use super::json::word;
use super::page::PageRequest;
use super::partitions::end_of;
use super::rollups::sum;
use super::usage::EventFilter;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Cut, Grain, Source, bucket_of};
use crate::domain::usage::{CostSource, UsageStatus};

/// How many rows are read at a time.
const PAGE: u64 = 5_000;

/// A counter that is not the sum of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discrepancy {
    /// An account's window.
    Account {
        /// The account and the start of the window.
        key: BalanceKey,
        /// What the counter says, in nano-dollars.
        counted_nanos: i128,
        /// What the events add up to.
        summed_nanos: i128,
    },
    /// All rows of one cut and grain in one bucket, with what is not merged
    /// into them yet.
    Rollup {
        /// The cut.
        cut: Cut,
        /// The grain.
        grain: Grain,
        /// The bucket's first instant.
        bucket: Timestamp,
        /// Spend in nano-dollars, and calls, as the rows say.
        counted: (i128, i128),
        /// As the events add up.
        summed: (i128, i128),
    },
}

/// What was verified.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// How many events were added up.
    pub events: u64,
    /// How many account windows were compared.
    pub accounts: u64,
    /// What does not add up.
    pub discrepancies: Vec<Discrepancy>,
}

impl Store {
    /// Adds up every event and compares the sums with every counter, as they
    /// stood at one instant; the server may run meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let snapshot = self.snapshot().await?;
        let view = snapshot.view();
        let mut result = Verification::default();
        // What is no longer kept goes before what is.
        let mut accounts: BTreeMap<BalanceKey, i128> = view.opening_balances().await?;
        let mut sums = Sums::new();
        let mut page = PageRequest { size: PAGE, after: None, count: false };
        loop {
            let events = view.events_in_order(&EventFilter::default(), &page).await?;
            result.events += events.items.len() as u64;
            for stored in events.items {
                let event = stored.event;
                let cost = i128::from(event.costing.cost.nanos());
                for posting in &event.postings {
                    for start in posting.windows() {
                        *accounts.entry((posting.account.clone(), start)).or_default() += cost;
                    }
                }
                if event.costing.source == CostSource::Adjustment {
                    continue;
                }
                let tags: BTreeSet<&String> = event.usage.tags.iter().collect();
                for (source, times) in [
                    (Source::Call, 1),
                    (Source::Tag, tags.len().max(1)),
                    (Source::Failure, usize::from(event.usage.status == UsageStatus::Failure)),
                ] {
                    let times = i128::try_from(times).unwrap_or_default();
                    add(&mut sums, (source, bucket_of(event.started_at)), (times * cost, times));
                }
            }
            page.after = events.next;
            if page.after.is_none() {
                break;
            }
        }
        compare_accounts(&view, accounts, &mut result).await?;
        compare_rollups(&view, &sums, &mut result).await?;
        Ok(result)
    }
}

async fn compare_accounts(
    view: &View<'_>,
    mut sums: BTreeMap<BalanceKey, i128>,
    result: &mut Verification,
) -> Result<(), StoreError> {
    use balances::Column;
    let mut last: Option<(String, String, i64)> = None;
    loop {
        let mut query = balances::Entity::find()
            .order_by_asc(Column::Scope)
            .order_by_asc(Column::Name)
            .order_by_asc(Column::WindowStartAt)
            .limit(PAGE);
        if let Some((scope, name, start)) = &last {
            let key = Expr::tuple([Column::Scope, Column::Name, Column::WindowStartAt].map(Expr::col));
            let end = Expr::tuple([Expr::val(scope.as_str()), Expr::val(name.as_str()), Expr::val(*start)]);
            query = query.filter(key.gt(end));
        }
        let rows = query.all(&view.executor()).await?;
        let Some(end) = rows.last() else { break };
        last = Some((end.scope.clone(), end.name.clone(), end.window_start_at));
        result.accounts += rows.len() as u64;
        for row in rows {
            let scope: Scope = word(&row.scope)?;
            let key = (AccountId::stored(scope, row.name), Timestamp::from_micros(row.window_start_at));
            let summed_nanos = sums.remove(&key).unwrap_or(0);
            let counted_nanos = i128::from(row.spent_nanos);
            if counted_nanos != summed_nanos {
                result.discrepancies.push(Discrepancy::Account { key, counted_nanos, summed_nanos });
            }
        }
    }
    // What is left has events but no counter.
    let missing = sums.into_iter().filter(|(_, sum)| *sum != 0);
    result.discrepancies.extend(missing.map(|(key, summed_nanos)| Discrepancy::Account {
        key,
        counted_nanos: 0,
        summed_nanos,
    }));
    Ok(())
}

/// Spend in nano-dollars, and calls, by source and half hour.
type Sums = BTreeMap<(Source, Timestamp), (i128, i128)>;

fn add<K: Ord>(sums: &mut BTreeMap<K, (i128, i128)>, key: K, (cost, calls): (i128, i128)) {
    let sum = sums.entry(key).or_default();
    *sum = (sum.0 + cost, sum.1 + calls);
}

async fn compare_rollups(view: &View<'_>, sums: &Sums, result: &mut Verification) -> Result<(), StoreError> {
    let deltas = deltas(view).await?;
    // Rollups of what is no longer kept have nothing to be compared with.
    let closed = view.closed_spans().await?;
    for cut in Cut::of_events() {
        for grain in cut.grains() {
            let in_buckets = |of: &Sums| {
                let mut buckets = BTreeMap::new();
                for ((_, at), sum) in of.iter().filter(|((source, _), _)| *source == cut.source()) {
                    add(&mut buckets, grain.floor(*at), *sum);
                }
                buckets
            };
            let summed = in_buckets(sums);
            let mut counted = in_buckets(&deltas);
            for (bucket, sum) in rollups(view, cut, *grain).await? {
                add(&mut counted, bucket, sum);
            }
            let every: BTreeSet<Timestamp> = counted.keys().chain(summed.keys()).copied().collect();
            let is_closed =
                |bucket: &Timestamp| closed.iter().any(|span| *span < grain.end(*bucket) && *bucket < end_of(*span));
            for bucket in every.into_iter().filter(|bucket| !is_closed(bucket)) {
                let [counted, summed] = [&counted, &summed].map(|sums| sums.get(&bucket).copied().unwrap_or_default());
                if counted != summed {
                    result.discrepancies.push(Discrepancy::Rollup { cut, grain: *grain, bucket, counted, summed });
                }
            }
        }
    }
    Ok(())
}

/// What the rows of a cut and grain say, by bucket.
async fn rollups(
    view: &View<'_>,
    cut: Cut,
    grain: Grain,
) -> Result<impl Iterator<Item = (Timestamp, (i128, i128))>, StoreError> {
    use usage_rollups::Column;
    let rows: Vec<(i64, i64, i64)> = usage_rollups::Entity::find()
        .select_only()
        .column(Column::BucketAt)
        .expr_as(sum(Expr::col(Column::SpentNanos), view.backend()), "spent_nanos")
        .expr_as(sum(Expr::col(Column::ApiRequests), view.backend()), "api_requests")
        .filter(Column::Cut.eq(cut.as_str()))
        .filter(Column::Grain.eq(grain.as_str()))
        .group_by(Column::BucketAt)
        .into_tuple()
        .all(&view.executor())
        .await?;
    Ok(rows.into_iter().map(|(bucket, spent, calls)| (Timestamp::from_micros(bucket), (spent.into(), calls.into()))))
}

/// What is not merged yet.
async fn deltas(view: &View<'_>) -> Result<Sums, StoreError> {
    use usage_deltas::Column;
    let rows: Vec<(String, i64, i64, i64)> = usage_deltas::Entity::find()
        .select_only()
        .column(Column::Source)
        .column(Column::BucketAt)
        .expr_as(sum(Expr::col(Column::SpentNanos), view.backend()), "spent_nanos")
        .expr_as(sum(Expr::col(Column::ApiRequests), view.backend()), "api_requests")
        .group_by(Column::Source)
        .group_by(Column::BucketAt)
        .into_tuple()
        .all(&view.executor())
        .await?;
    let mut sums = Sums::new();
    for (source, bucket, spent, calls) in rows {
        add(&mut sums, (word(&source)?, Timestamp::from_micros(bucket)), (spent.into(), calls.into()));
    }
    Ok(sums)
}
