//! What came of verifying, for all instances: one of them does it.

use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter};

use super::audit_chain::AuditVerification;
use super::connect::Store;
use super::entity::verifications::{Column, Entity};
use super::error::StoreError;
use super::verify::Verification;
use super::view::View;
use crate::domain::clock::Timestamp;

/// The one row.
const ROW: i64 = 1;

/// What came of comparing every counter with its events, and of reading the audit
/// log from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastVerification {
    /// When it ended.
    pub verified_at: Timestamp,
    /// How many events were added up.
    pub events: u64,
    /// How many counters differ, and faults of the audit log: 0, or something is
    /// wrong.
    pub differences: u64,
}

impl LastVerification {
    /// What came of both, at an instant.
    #[must_use]
    pub fn new(counters: &Verification, audit: &AuditVerification, now: Timestamp) -> Self {
        let differences = counters.discrepancies.len() as u64 + u64::from(audit.fault.is_some());
        Self { verified_at: now, events: counters.events, differences }
    }
}

impl Store {
    /// Whether it is time to verify, and no other instance does: the next time is
    /// so many seconds from now.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn claim_verification(&self, seconds: i64, now: Timestamp) -> Result<bool, StoreError> {
        let claimed = Entity::update_many()
            .col_expr(Column::DueAt, now.plus_seconds(seconds).micros().into())
            .filter(Column::Id.eq(ROW).and(Column::DueAt.lte(now.micros())))
            .exec(self.writer())
            .await?;
        Ok(claimed.rows_affected == 1)
    }

    /// Keeps what came of it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn keep_verification(&self, last: &LastVerification) -> Result<(), StoreError> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Entity::update_many()
            .col_expr(Column::VerifiedAt, last.verified_at.micros().into())
            .col_expr(Column::Events, count(last.events).into())
            .col_expr(Column::Differences, count(last.differences).into())
            .filter(Column::Id.eq(ROW))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}

impl View<'_> {
    /// What came of the last one, by whichever instance; `None`: there was none.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn last_verification(&self) -> Result<Option<LastVerification>, StoreError> {
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        let row = Entity::find_by_id(ROW).one(&self.executor()).await?;
        Ok(row.and_then(|row| {
            Some(LastVerification {
                verified_at: Timestamp::from_micros(row.verified_at?),
                events: count(row.events),
                differences: count(row.differences),
            })
        }))
    }
}
