//! Rankings: the largest parts of each day, and what all parts add up to. A day
//! of UTC that is over is ranked once, in advance, by each of [`RANKED`]; other
//! intervals, and what is asked for with filters, are ranked when asked.
//!
//! Whoever changes the rollups of a day notes it in the same transaction. A day
//! that is noted, or of which deltas wait, has no ranking until it gets a new one.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Alias, ExprTrait, Query};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::super::connect::Store;
use super::super::dialect::{Bulk, Column};
use super::super::entity::{due_rankings, usage_deltas};
use super::super::error::StoreError;
use super::super::rebuild::lock_merges_out;
use super::super::rollup_rows::column_of;
use super::super::usage::EventScope;
use super::super::view::View;
use super::report::part_columns;
use super::{UsageFilter, UsageRow, named};
use crate::domain::clock::Timestamp;
use crate::domain::rollup::{Dimension, Grain, Interval, RANKED, RANKED_MOST, intervals};

/// The largest parts of an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// The first instant of the interval, in microseconds.
    pub at: i64,
    /// How many parts it has.
    pub parts: i64,
    /// The largest of them, the largest spend first, then by id.
    pub largest: Vec<UsageRow>,
    /// What all parts add up to, if there are more of them.
    pub whole: Option<UsageRow>,
}

impl Ranking {
    fn hides_some(&self) -> bool {
        usize::try_from(self.parts).is_ok_and(|parts| parts > self.largest.len())
    }
}

/// One of the largest parts of an interval, as it is read.
#[derive(FromQueryResult)]
struct RankedRow {
    #[sea_orm(nested)]
    usage: UsageRow,
    parts: i64,
}

/// A row of a ranking that was made in advance.
#[derive(FromQueryResult)]
struct PlacedRow {
    #[sea_orm(nested)]
    ranked: RankedRow,
    place: i64,
}

/// The place of what all parts add up to; those of the parts follow.
const WHOLE: i64 = 0;

impl View<'_> {
    /// The largest parts of each interval between borders in which there are
    /// any, at most so many.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn ranked_usage(
        &self,
        filter: &UsageFilter,
        borders: &[Timestamp],
        by: Dimension,
        most: u64,
    ) -> Result<Vec<Ranking>, StoreError> {
        let asked = intervals(borders);
        let mut found = self.ranked_in_advance(filter, &asked, by, most).await?;
        let others: Vec<Interval> = asked.into_iter().filter(|(from, _)| !found.contains_key(&from.micros())).collect();
        if !others.is_empty() {
            found.extend(self.rank(filter, &others, by, most).await?);
        }
        Ok(found.into_values().collect())
    }

    /// The rankings of those intervals that were ranked in advance.
    async fn ranked_in_advance(
        &self,
        filter: &UsageFilter,
        asked: &[Interval],
        by: Dimension,
        most: u64,
    ) -> Result<BTreeMap<i64, Ranking>, StoreError> {
        let mut found: BTreeMap<i64, Ranking> = BTreeMap::new();
        let all = filter.among.is_empty() && filter.calls.is_none() && matches!(filter.visible_to, EventScope::All);
        let is_day = |of: &&Interval| Grain::Day.floor(of.0) == of.0 && Grain::Day.end(of.0) == of.1;
        let days: BTreeSet<i64> = asked.iter().filter(is_day).map(|(from, _)| from.micros()).collect();
        if !all || !RANKED.contains(&(filter.source, by)) || most > RANKED_MOST || days.is_empty() {
            return Ok(found);
        }
        let changed = self.changed_days(filter, &days).await?;
        let mut query = Query::select();
        query.expr_as(named("bucket_at"), Alias::new("at")).columns(part_columns());
        query.columns(["parts", "place"].map(Alias::new)).from(Alias::new("usage_rankings"));
        query.and_where(named("dimension").eq(column_of(by)));
        query.and_where(named("bucket_at").is_in(days.difference(&changed).copied()));
        query.and_where(named("place").lte(WHOLE.saturating_add_unsigned(most)));
        query.order_by(Alias::new("place"), sea_orm::Order::Asc);
        for PlacedRow { ranked, place } in self.rows(&query).await? {
            let RankedRow { usage, parts } = ranked;
            let ranking =
                found.entry(usage.at).or_insert_with(|| Ranking { at: usage.at, parts, ..Ranking::default() });
            if place == WHOLE {
                ranking.whole = Some(usage);
            } else {
                ranking.largest.push(usage);
            }
        }
        for ranking in found.values_mut().filter(|ranking| !ranking.hides_some()) {
            ranking.whole = None;
        }
        Ok(found)
    }

    /// The days whose rankings are no longer those of their usage.
    async fn changed_days(&self, filter: &UsageFilter, days: &BTreeSet<i64>) -> Result<BTreeSet<i64>, StoreError> {
        let first = days.first().copied().unwrap_or_default();
        let end = days.last().map_or(first, |last| Grain::Day.end(Timestamp::from_micros(*last)).micros());
        let due = due_rankings::Entity::find()
            .select_only()
            .column(due_rankings::Column::BucketAt)
            .filter(due_rankings::Column::BucketAt.gte(first))
            .filter(due_rankings::Column::BucketAt.lt(end));
        let waiting = usage_deltas::Entity::find()
            .select_only()
            .column(usage_deltas::Column::BucketAt)
            .distinct()
            .filter(usage_deltas::Column::Source.eq(filter.source.as_str()))
            .filter(usage_deltas::Column::BucketAt.gte(first))
            .filter(usage_deltas::Column::BucketAt.lt(end));
        let mut changed: Vec<i64> = due.into_tuple().all(&self.executor()).await?;
        changed.extend(waiting.into_tuple::<i64>().all(&self.executor()).await?);
        Ok(changed.into_iter().map(|at| Grain::Day.floor(Timestamp::from_micros(at)).micros()).collect())
    }

    /// Ranks intervals now.
    async fn rank(
        &self,
        filter: &UsageFilter,
        asked: &[Interval],
        by: Dimension,
        most: u64,
    ) -> Result<BTreeMap<i64, Ranking>, StoreError> {
        let mut found: BTreeMap<i64, Ranking> = BTreeMap::new();
        let ranked = self.report(filter, asked, Some(by)).await?.ranked(most);
        for RankedRow { usage, parts } in self.rows(&ranked).await? {
            let ranking =
                found.entry(usage.at).or_insert_with(|| Ranking { at: usage.at, parts, ..Ranking::default() });
            ranking.largest.push(usage);
        }
        let hidden = |(from, _): &&Interval| found.get(&from.micros()).is_some_and(Ranking::hides_some);
        let hidden: Vec<Interval> = asked.iter().filter(hidden).copied().collect();
        if !hidden.is_empty() {
            let whole = self.report(filter, &hidden, None).await?.rows();
            for whole in self.rows::<UsageRow>(&whole).await? {
                if let Some(ranking) = found.get_mut(&whole.at) {
                    ranking.whole = Some(whole);
                }
            }
        }
        Ok(found)
    }
}

impl Store {
    /// Ranks a day that is over before an instant and whose usage has changed,
    /// the latest first. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError`]; then it is still to be ranked.
    pub async fn rank_a_day(&self, before: Timestamp) -> Result<bool, StoreError> {
        let due: Option<i64> = due_rankings::Entity::find()
            .select_only()
            .column(due_rankings::Column::BucketAt)
            .filter(due_rankings::Column::BucketAt.lt(Grain::Day.floor(before).micros()))
            .order_by_desc(due_rankings::Column::BucketAt)
            .into_tuple()
            .one(self.readers())
            .await?;
        let Some(day) = due else { return Ok(false) };
        let transaction = self.begin_raw().await?;
        lock_merges_out(&transaction).await?;
        due_rankings::Entity::delete_by_id(day).exec(&transaction).await?;
        write(&transaction, Timestamp::from_micros(day)).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Writes the rankings of a day anew.
async fn write(transaction: &DatabaseTransaction, day: Timestamp) -> Result<(), StoreError> {
    use sea_orm::{ConnectionTrait, Statement};
    let sql = format!("DELETE FROM usage_rankings WHERE bucket_at = {}", day.micros());
    transaction.execute_raw(Statement::from_string(transaction.get_database_backend(), sql)).await?;
    let view = View::of_transaction(transaction);
    let of_day = [(day, Grain::Day.end(day))];
    for (source, by) in RANKED {
        let filter = UsageFilter::of(source, EventScope::All);
        let whole = view.rows::<UsageRow>(&view.report(&filter, &of_day, None).await?.rows()).await?;
        let ranked = view.report(&filter, &of_day, Some(by)).await?.ranked(RANKED_MOST);
        let ranked: Vec<RankedRow> = view.rows(&ranked).await?;
        let parts = ranked.first().map_or(0, |row| row.parts);
        let rows: Vec<UsageRow> = whole.into_iter().chain(ranked.into_iter().map(|row| row.usage)).collect();
        let number = |of: fn(&UsageRow) -> i64| Column::Number(rows.iter().map(of).collect());
        let columns = vec![
            ("dimension", Column::Text(vec![column_of(by).to_owned(); rows.len()])),
            ("bucket_at", Column::Number(vec![day.micros(); rows.len()])),
            ("place", Column::Number((WHOLE..).take(rows.len()).collect())),
            ("parts", Column::Number(vec![parts; rows.len()])),
            ("slice", Column::Text(rows.iter().map(|row| row.slice.clone()).collect())),
            ("spent_nanos", number(|row| row.spent_nanos)),
            ("prompt_tokens", number(|row| row.prompt_tokens)),
            ("completion_tokens", number(|row| row.completion_tokens)),
            ("cache_read_tokens", number(|row| row.cache_read_tokens)),
            ("cache_write_tokens", number(|row| row.cache_write_tokens)),
            ("api_requests", number(|row| row.api_requests)),
            ("successful_requests", number(|row| row.successful_requests)),
            ("failed_requests", number(|row| row.failed_requests)),
        ];
        Bulk { table: "usage_rankings", columns, suffix: "" }.run(transaction).await?;
    }
    Ok(())
}

/// Notes that the usage of days has changed.
///
/// # Errors
/// [`StoreError`] if the database fails.
pub(in crate::store) async fn rank_anew(
    transaction: &DatabaseTransaction,
    days: impl IntoIterator<Item = Timestamp>,
) -> Result<(), StoreError> {
    // In one order for all transactions.
    let days: BTreeSet<i64> = days.into_iter().map(|day| Grain::Day.floor(day).micros()).collect();
    let columns = vec![("bucket_at", Column::Number(days.into_iter().collect()))];
    Bulk { table: "due_rankings", columns, suffix: "ON CONFLICT (bucket_at) DO NOTHING" }.run(transaction).await?;
    Ok(())
}
