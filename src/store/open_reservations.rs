//! Reservations of other runs. A run that stops leaves a list of those that are
//! open; whoever closes one takes it off the list, and its room off the lease.
//! After a crash there is no list: then nobody knows which were closed, and the
//! whole lease counts until it expires.

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::balances::BalanceKey;
use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::entity::{leases, open_reservations};
use super::error::StoreError;
use super::leases::is_on;
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;

/// A reservation of another run that need not be held any longer.
#[derive(Clone, Debug)]
pub struct ClosedReservation {
    /// The reservation.
    pub reservation: Uuid,
    /// The run that holds room for it.
    pub holder: i64,
    /// The windows, and what it holds in each.
    pub windows: Vec<(BalanceKey, Usd)>,
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

impl Store {
    /// Forgets open reservations that expired before an instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_open_reservations(&self, instant: Timestamp) -> Result<(), StoreError> {
        open_reservations::Entity::delete_many()
            .filter(open_reservations::Column::ExpiresAt.lt(instant.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}

/// Lists the reservations that are open when a run stops.
pub(super) async fn list(transaction: &DatabaseTransaction, open: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
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

/// Closes reservations of other runs, each once, and takes them off the leases
/// that held them. Returns those that were open until now, and what was freed.
pub(super) async fn close(
    transaction: &DatabaseTransaction,
    reservations: &[&ClosedReservation],
) -> Result<(HashSet<Uuid>, Vec<Freed>), StoreError> {
    let (mut closed_now, mut freed) = (HashSet::new(), Vec::new());
    for closed in reservations {
        let taken_off =
            open_reservations::Entity::delete_by_id(closed.reservation.to_string()).exec(transaction).await?;
        if taken_off.rows_affected == 0 {
            continue;
        }
        closed_now.insert(closed.reservation);
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
    }
    Ok((closed_now, freed))
}
