//! The clock that leases are judged by. Several instances share one: that of the
//! database. Theirs may differ, and an instance whose clock is fast must not take
//! the room of others for free.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::connect::Store;
use super::error::StoreError;
use crate::domain::clock::Timestamp;

const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS micros";

/// By how much longer a lease lasts than its holder relies on it, in microseconds:
/// more than its clock drifts meanwhile.
const MARGIN_MICROS: i64 = 2_000_000;

/// By how much the shared clock is ahead of an instance's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    micros: i64,
    margin: i64,
}

impl Ahead {
    /// The clocks are one.
    pub(super) const NONE: Self = Self { micros: 0, margin: 0 };

    /// An instant of this instance, by the shared clock.
    pub(super) fn shared(self, instant: Timestamp) -> Timestamp {
        instant.plus_micros(self.micros)
    }

    /// When a lease ends, by the shared clock, on which its holder relies until an
    /// instant of its own.
    pub(super) fn end_of_lease(self, instant: Timestamp) -> Timestamp {
        instant.plus_micros(self.micros.saturating_add(self.margin))
    }

    /// An instant of the shared clock, by this instance's.
    pub(super) fn own(self, instant: Timestamp) -> Timestamp {
        instant.plus_micros(self.micros.saturating_neg())
    }
}

impl Store {
    /// What the clock of PostgreSQL says, in microseconds since 1970.
    pub(super) async fn shared_micros(executor: &impl ConnectionTrait) -> Result<i64, StoreError> {
        let row = executor.query_one_raw(Statement::from_string(DbBackend::Postgres, NOW)).await?;
        let row = row.ok_or_else(|| StoreError::Broken("the clock says nothing".to_owned()))?;
        Ok(row.try_get("", "micros")?)
    }

    /// By how much the shared clock is ahead of this instance's, where it is `now`.
    /// What passes until the answer is here makes leases longer, never shorter.
    pub(super) async fn ahead(&self, executor: &impl ConnectionTrait, now: Timestamp) -> Result<Ahead, StoreError> {
        if executor.get_database_backend() != DbBackend::Postgres || !self.shares_clock() {
            return Ok(Ahead::NONE);
        }
        let micros = Self::shared_micros(executor).await?.saturating_sub(now.micros());
        Ok(Ahead { micros, margin: MARGIN_MICROS })
    }
}
