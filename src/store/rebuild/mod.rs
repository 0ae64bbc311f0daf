//! Rebuilding rollups from the events, a day at a time, while everything runs.
//!
//! While a day is rebuilt its deltas are not merged: they wait, and reports add
//! them as ever. So what the rollups of the day must be is what the events of
//! the day add up to, less the deltas that wait, both as of one instant. Each cut
//! is replaced in a transaction of its own. A job is claimed for a time and goes
//! on with the next day; if its instance dies, another one takes it over.

mod day;
mod replace;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, Statement,
};
use strum::VariantArray;

use super::connect::Store;
use super::entity::rollup_rebuilds::{self, Column};
use super::error::{StoreError, one_row};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;
use crate::domain::rollup::{Cut, Grain};

/// After how many seconds without a step another instance goes on with a job.
const CLAIM_SECONDS: i64 = 300;

/// Whoever merges deltas holds this lock with others, whoever replaces rollups
/// alone.
const MERGE_LOCK: i64 = 0x6275_7273_6d72;

/// A rebuild of the rollups of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// Its id.
    pub job_id: String,
    /// The first instant of the first day.
    pub from: Timestamp,
    /// The instant after the last day.
    pub until: Timestamp,
    /// The first instant of the first day that is not done.
    pub next: Timestamp,
    /// Whether all days are done.
    pub done: bool,
    /// How many rows were compared.
    pub compared: i64,
    /// How many of them were wrong, or missing, or too many.
    pub repaired: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// Tells the claims of a job apart.
    claim: i64,
}

/// What rows were compared, and how many were not as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    compared: i64,
    repaired: i64,
}

impl Compared {
    fn add(&mut self, more: Self) {
        self.compared += more.compared;
        self.repaired += more.repaired;
    }
}

impl View<'_> {
    /// The rebuild with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_rebuild(&self, job_id: &str) -> Result<Option<Rebuild>, StoreError> {
        Ok(rollup_rebuilds::Entity::find_by_id(job_id).one(&self.executor()).await?.map(to_rebuild))
    }

    /// The day of the first event; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn first_day(&self) -> Result<Option<Timestamp>, StoreError> {
        use super::entity::usage_events;
        let by_time = usage_events::Entity::find().order_by_asc(usage_events::Column::StartedAt);
        let first = by_time.one(&self.executor()).await?;
        Ok(first.map(|event| Grain::Day.floor(Timestamp::from_micros(event.started_at))))
    }
}

impl Tx {
    /// Asks for the rollups of some days of UTC to be rebuilt.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn insert_rebuild(&mut self, from: Timestamp, until: Timestamp) -> Result<Rebuild, StoreError> {
        let now = self.now();
        let job_id = new_uuid().to_string();
        let row = rollup_rebuilds::Model {
            job_id: job_id.clone(),
            from_at: from.micros(),
            until_at: until.micros(),
            next_at: from.micros(),
            done: from >= until,
            claim: 0,
            claimed_until_at: 0,
            compared: 0,
            repaired: 0,
            created_at: now.micros(),
            updated_at: now.micros(),
        };
        let active = rollup_rebuilds::ActiveModel {
            job_id: Set(row.job_id.clone()),
            from_at: Set(row.from_at),
            until_at: Set(row.until_at),
            next_at: Set(row.next_at),
            done: Set(row.done),
            claim: Set(row.claim),
            claimed_until_at: Set(row.claimed_until_at),
            compared: Set(row.compared),
            repaired: Set(row.repaired),
            created_at: Set(row.created_at),
            updated_at: Set(row.updated_at),
        };
        rollup_rebuilds::Entity::insert(active).exec_without_returning(&self.inner).await?;
        let days = std::collections::BTreeMap::from([("from", from), ("until", until)]);
        self.record(Change::created(ObjectType::Rollups, job_id, &days));
        Ok(to_rebuild(row))
    }
}

impl Store {
    /// Claims the oldest rebuild that is not done and that nobody is at.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn claim_rebuild(&self, now: Timestamp) -> Result<Option<Rebuild>, StoreError> {
        loop {
            let free = rollup_rebuilds::Entity::find()
                .filter(Column::Done.eq(false))
                .filter(Column::ClaimedUntilAt.lte(now.micros()))
                .order_by_asc(Column::CreatedAt)
                .one(self.readers())
                .await?;
            let Some(row) = free else { return Ok(None) };
            // Under the lock, so that no merge is under way that does not know.
            let transaction = self.begin_raw().await?;
            lock_merges_out(&transaction).await?;
            let claimed = rollup_rebuilds::Entity::update_many()
                .col_expr(Column::Claim, Expr::value(row.claim + 1))
                .col_expr(Column::ClaimedUntilAt, Expr::value(now.plus_seconds(CLAIM_SECONDS).micros()))
                .filter(Column::JobId.eq(row.job_id.as_str()))
                .filter(Column::Claim.eq(row.claim))
                .exec(&transaction)
                .await?;
            transaction.commit().await?;
            if claimed.rows_affected == 1 {
                return Ok(Some(to_rebuild(rollup_rebuilds::Model { claim: row.claim + 1, ..row })));
            }
        }
    }

    /// Rebuilds the next day of a claimed job; returns the job as it is then.
    /// When it is done, or has failed, merging goes on.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if the claim was lost; what was replaced is right.
    pub async fn rebuild_next_day(&self, job: &Rebuild, now: Timestamp) -> Result<Rebuild, StoreError> {
        let day = job.next;
        let next = self.day_with_anything(Grain::Day.end(day)).await?;
        let next = next.unwrap_or(job.until).min(job.until);
        let month = Grain::Month.floor(day);
        let mut compared = self.rebuild_day(job, day, now).await?;
        if Grain::Month.floor(next) != month || next >= job.until {
            compared.add(self.rebuild_month(job, month, now).await?);
        }
        let done = next >= job.until;
        let transaction = self.begin_raw().await?;
        lock_merges_out(&transaction).await?;
        let until = if done { 0 } else { now.plus_seconds(CLAIM_SECONDS).micros() };
        let moved = rollup_rebuilds::Entity::update_many()
            .col_expr(Column::NextAt, Expr::value(next.micros()))
            .col_expr(Column::Done, Expr::value(done))
            .col_expr(Column::ClaimedUntilAt, Expr::value(until))
            .col_expr(Column::Compared, Expr::col(Column::Compared).add(compared.compared))
            .col_expr(Column::Repaired, Expr::col(Column::Repaired).add(compared.repaired))
            .col_expr(Column::UpdatedAt, Expr::value(now.micros()))
            .filter(Column::JobId.eq(job.job_id.as_str()))
            .filter(Column::Claim.eq(job.claim))
            .exec(&transaction)
            .await?;
        one_row(moved.rows_affected)?;
        transaction.commit().await?;
        Ok(Rebuild {
            next,
            done,
            compared: job.compared + compared.compared,
            repaired: job.repaired + compared.repaired,
            updated_at: now,
            ..job.clone()
        })
    }

    /// The first day from one on that has events or rollups.
    async fn day_with_anything(&self, from: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let from = from.micros();
        let of_cut = |cut: &Cut, grain: &Grain| {
            let (cut, grain) = (cut.as_str(), grain.as_str());
            format!(
                "SELECT MIN(bucket_at) AS at FROM usage_rollups \
                 WHERE cut = '{cut}' AND grain = '{grain}' AND bucket_at >= {from}"
            )
        };
        let cuts = Cut::VARIANTS.iter().flat_map(|cut| cut.grains().iter().map(move |grain| of_cut(cut, grain)));
        let events = format!("SELECT MIN(started_at) AS at FROM usage_events WHERE started_at >= {from}");
        let all: Vec<String> = cuts.chain([events]).collect();
        let sql = format!("SELECT MIN(at) AS at FROM ({}) found", all.join(" UNION ALL "));
        let readers = self.readers();
        let row = readers.query_one_raw(Statement::from_string(readers.get_database_backend(), sql)).await?;
        let first: Option<i64> = row.map(|row| row.try_get("", "at")).transpose()?.flatten();
        Ok(first.map(|at| Grain::Day.floor(Timestamp::from_micros(at))))
    }

    /// Begins to replace rollups: merges wait until it is done.
    async fn begin_replacing(&self, job: &Rebuild, now: Timestamp) -> Result<DatabaseTransaction, StoreError> {
        let transaction = self.begin_raw().await?;
        lock_merges_out(&transaction).await?;
        let held = rollup_rebuilds::Entity::update_many()
            .col_expr(Column::ClaimedUntilAt, Expr::value(now.plus_seconds(CLAIM_SECONDS).micros()))
            .filter(Column::JobId.eq(job.job_id.as_str()))
            .filter(Column::Claim.eq(job.claim))
            .exec(&transaction)
            .await?;
        one_row(held.rows_affected)?;
        Ok(transaction)
    }
}

/// Keeps everybody from changing rollups until the end of a transaction.
pub(super) async fn lock_merges_out(transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    lock(transaction, "pg_advisory_xact_lock").await
}

/// Keeps rebuilds from replacing anything until the end of a transaction that
/// merges.
pub(super) async fn lock_rebuilds_out(transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    lock(transaction, "pg_advisory_xact_lock_shared").await
}

/// SQLite has one writer: its transactions wait for each other in any case.
async fn lock(transaction: &DatabaseTransaction, function: &str) -> Result<(), StoreError> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let sql = format!("SELECT {function}({MERGE_LOCK})");
        transaction.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    }
    Ok(())
}

/// The deltas that may be merged: not those of a day that is being rebuilt, or
/// was when its instance died. That no clock decides: one that is wrong must not
/// lose a delta.
pub(super) fn mergeable() -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM rollup_rebuilds r WHERE NOT r.done AND r.claim > 0 \
         AND bucket_at >= r.next_at AND bucket_at < r.next_at + {})",
        Grain::Day.end(Timestamp::EPOCH).micros()
    )
}

fn to_rebuild(row: rollup_rebuilds::Model) -> Rebuild {
    Rebuild {
        job_id: row.job_id,
        from: Timestamp::from_micros(row.from_at),
        until: Timestamp::from_micros(row.until_at),
        next: Timestamp::from_micros(row.next_at),
        done: row.done,
        compared: row.compared,
        repaired: row.repaired,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        claim: row.claim,
    }
}
