//! Reservations of other runs. Whoever closes one of a run that goes on writes that
//! down, and that run frees its room. A run that stops leaves a list of those that
//! are open; whoever closes one takes it off the list, and its room off the lease.
//! After a crash there is no list: then nobody knows which were closed, and the
//! whole lease counts until it expires.

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::balances::BalanceKey;
use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::entity::{closings, holders, leases, open_reservations};
use super::error::StoreError;
use super::leases::is_on;
use super::view::View;
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;

/// How many are looked up, or heard of, at a time.
const CHUNK: usize = 1_000;

/// A reservation of another run that need not be held any longer.
#[derive(Clone, Debug)]
pub struct ClosedReservation {
    /// The reservation.
    pub reservation: Uuid,
    /// The run that holds room for it.
    pub holder: i64,
    /// The windows, and what it holds in each.
    pub windows: Vec<(BalanceKey, Usd)>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// What the call used, as rate limits count; `None` if it was not made.
    pub tokens: Option<i64>,
}

/// What became of a call at another instance than the one that holds room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The reservation.
    pub reservation: Uuid,
    /// What the call used, as rate limits count; `None` if it was not made.
    pub tokens: Option<i64>,
}

/// What was taken off another run's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freed {
    /// The account and window.
    pub key: BalanceKey,
    /// The run.
    pub holder: i64,
    /// How much less it holds.
    pub amount: Usd,
}

impl View<'_> {
    /// What others wrote down for a run, and it has not heard yet; some of it, if it
    /// is much.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn closings_for(&self, holder: i64) -> Result<Vec<Closing>, StoreError> {
        let rows = closings::Entity::find()
            .filter(closings::Column::Holder.eq(holder))
            .filter(closings::Column::Heard.eq(false))
            .limit(CHUNK as u64)
            .all(&self.executor())
            .await?;
        let closing = |row: closings::Model| {
            let reservation = row.reservation.parse().ok()?;
            Some(Closing { reservation, tokens: row.was_made.then_some(row.tokens) })
        };
        Ok(rows.into_iter().filter_map(closing).collect())
    }
}

impl Store {
    /// Writes down that a run has heard of these.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn hear_closings(&self, closings: &[Closing]) -> Result<(), StoreError> {
        let ids = closings.iter().map(|closing| closing.reservation.to_string());
        closings::Entity::update_many()
            .col_expr(closings::Column::Heard, Expr::val(true))
            .filter(closings::Column::Reservation.is_in(ids))
            .exec(self.writer())
            .await?;
        Ok(())
    }

    /// Forgets what was open, or closed, and has expired before an instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_open_reservations(&self, instant: Timestamp) -> Result<(), StoreError> {
        closings::Entity::delete_many()
            .filter(closings::Column::ExpiresAt.lt(instant.micros()))
            .exec(self.writer())
            .await?;
        open_reservations::Entity::delete_many()
            .filter(open_reservations::Column::ExpiresAt.lt(instant.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}

/// Lists the reservations that are open when a run stops.
async fn list(transaction: &DatabaseTransaction, open: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
    let insert = Bulk {
        table: "open_reservations",
        columns: vec![
            ("reservation", Column::Text(open.iter().map(|(id, _)| id.to_string()).collect())),
            ("expires_at", Column::Number(open.iter().map(|(_, at)| at.micros()).collect())),
        ],
        suffix: "ON CONFLICT (reservation) DO NOTHING",
    };
    insert.run(transaction).await?;
    Ok(())
}

/// What became of reservations that were closed.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// Those that were open until now, as far as anybody knows.
    pub(super) now: HashSet<Uuid>,
    /// Those of them whose holders are yet to hear of it.
    pub(super) told: HashSet<Uuid>,
    /// What was freed.
    pub(super) freed: Vec<Freed>,
}

/// Closes reservations of other runs, each once. What a run left behind is taken off
/// the lease that held it; one that goes on is told, and frees it itself.
pub(super) async fn close(
    transaction: &DatabaseTransaction,
    reservations: &[&ClosedReservation],
) -> Result<Closed, StoreError> {
    let mut closed = Closed::default();
    if reservations.is_empty() {
        return Ok(closed);
    }
    let mut left_behind = take_off_list(transaction, reservations).await?;
    let running = running(transaction, reservations).await?;
    let mut told: Vec<&ClosedReservation> = Vec::new();
    for reservation in reservations {
        if left_behind.remove(&reservation.reservation) {
            closed.now.insert(reservation.reservation);
            free(transaction, reservation, &mut closed.freed).await?;
        } else if running.contains(&reservation.holder) {
            told.push(reservation);
        }
    }
    closed.told = tell(transaction, &told).await?;
    closed.now.extend(&closed.told);
    Ok(closed)
}

/// Takes reservations off the list of what runs left open; returns those that were
/// on it.
async fn take_off_list(
    transaction: &DatabaseTransaction,
    reservations: &[&ClosedReservation],
) -> Result<HashSet<Uuid>, StoreError> {
    let mut taken = HashSet::new();
    for chunk in reservations.chunks(CHUNK) {
        let ids = chunk.iter().map(|closed| closed.reservation.to_string());
        let deleted = open_reservations::Entity::delete_many()
            .filter(open_reservations::Column::Reservation.is_in(ids))
            .exec_with_returning(transaction)
            .await?;
        taken.extend(deleted.iter().filter_map(|row| row.reservation.parse::<Uuid>().ok()));
    }
    Ok(taken)
}

/// The runs among the holders that have not said that they stop.
async fn running(
    transaction: &DatabaseTransaction,
    reservations: &[&ClosedReservation],
) -> Result<HashSet<i64>, StoreError> {
    let all: HashSet<i64> = reservations.iter().map(|closed| closed.holder).collect();
    let mut running = HashSet::new();
    for chunk in all.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
        let wanted = holders::Column::Holder.is_in(chunk.iter().copied());
        let query = holders::Entity::find().filter(wanted).filter(holders::Column::StoppedAt.is_null());
        running.extend(query.all(transaction).await?.into_iter().map(|row| row.holder));
    }
    Ok(running)
}

/// Takes a reservation off the lease that holds room for it.
async fn free(
    transaction: &DatabaseTransaction,
    closed: &ClosedReservation,
    freed: &mut Vec<Freed>,
) -> Result<(), StoreError> {
    for (key, amount) in &closed.windows {
        let less = Expr::col(leases::Column::HeldNanos).sub(amount.nanos());
        let updated = leases::Entity::update_many()
            .col_expr(leases::Column::HeldNanos, less)
            .filter(is_on(&key.0, key.1))
            .filter(leases::Column::Holder.eq(closed.holder))
            .filter(leases::Column::HeldNanos.gte(amount.nanos()))
            .exec(transaction)
            .await?;
        if updated.rows_affected > 0 {
            freed.push(Freed { key: key.clone(), holder: closed.holder, amount: *amount });
        }
    }
    Ok(())
}

/// Writes down what became of calls, for the runs that hold room for them; returns
/// those of which nobody had.
async fn tell(
    transaction: &DatabaseTransaction,
    reservations: &[&ClosedReservation],
) -> Result<HashSet<Uuid>, StoreError> {
    let numbers =
        |of: &dyn Fn(&ClosedReservation) -> i64| Column::Number(reservations.iter().map(|it| of(it)).collect());
    let insert = Bulk {
        table: "closings",
        columns: vec![
            ("reservation", Column::Text(reservations.iter().map(|it| it.reservation.to_string()).collect())),
            ("holder", numbers(&|closed| closed.holder)),
            ("was_made", Column::Flag(reservations.iter().map(|it| it.tokens.is_some()).collect())),
            ("tokens", numbers(&|closed| closed.tokens.unwrap_or(0))),
            ("expires_at", numbers(&|closed| closed.expires_at.micros())),
            ("heard", Column::Flag(vec![false; reservations.len()])),
        ],
        suffix: "ON CONFLICT (reservation) DO NOTHING RETURNING reservation",
    };
    let mut told = HashSet::new();
    for row in insert.run(transaction).await? {
        told.extend(row.try_get::<String>("", "reservation")?.parse::<Uuid>().ok());
    }
    Ok(told)
}

/// Writes down that a run has stopped, and what it leaves open.
pub(super) async fn leave(
    transaction: &DatabaseTransaction,
    holder: i64,
    open: &[(Uuid, Timestamp)],
    now: Timestamp,
) -> Result<(), StoreError> {
    list(transaction, open).await?;
    holders::Entity::update_many()
        .col_expr(holders::Column::StoppedAt, Expr::val(now.micros()))
        .filter(holders::Column::Holder.eq(holder))
        .exec(transaction)
        .await?;
    Ok(())
}
