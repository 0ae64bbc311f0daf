//! Denied calls: counts that go where usage goes on its way to the rollups.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::connect::Store;
use super::dialect::{Bulk, Column};
use super::error::StoreError;
use super::rollup_rows::{self, Place, Sums};
use crate::domain::clock::Timestamp;
use crate::domain::decision::DenyReason;
use crate::domain::rollup::{Dimension, Source};

/// What denied calls have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub struct DeniedCalls {
    /// The half hour.
    pub bucket: Timestamp,
    pub reason: DenyReason,
    pub key_id: String,
    pub user_id: String,
    pub team_id: String,
    pub organization_id: String,
    /// The model that was asked for, if it is known.
    pub model_group: String,
}

impl DeniedCalls {
    /// The same without anything but the reason.
    #[must_use]
    pub fn by_reason(&self) -> Self {
        let Self { bucket, reason, .. } = *self;
        let none = String::new;
        Self {
            bucket,
            reason,
            key_id: none(),
            user_id: none(),
            team_id: none(),
            organization_id: none(),
            model_group: none(),
        }
    }

    fn place(&self) -> Place<&str> {
        Dimension::ALL.map(|dimension| match dimension {
            Dimension::Key => self.key_id.as_str(),
            Dimension::User => self.user_id.as_str(),
            Dimension::Team => self.team_id.as_str(),
            Dimension::Organization => self.organization_id.as_str(),
            Dimension::ModelGroup => self.model_group.as_str(),
            Dimension::ErrorCode => self.reason.into(),
            _ => "",
        })
    }
}

impl Store {
    /// Adds denied calls to what is merged into the rollups.
    ///
    /// # Errors
    /// [`StoreError`]; then none is added, unless the connection broke while it
    /// was committed.
    pub async fn record_denials<S: BuildHasher>(
        &self,
        counted: &HashMap<DeniedCalls, i64, S>,
    ) -> Result<(), StoreError> {
        let rows: Vec<(&DeniedCalls, Sums)> =
            counted.iter().map(|(place, count)| (place, [0, 0, 0, 0, 0, *count, 0, *count])).collect();
        let mut columns = vec![
            ("source", Column::Text(vec![Source::Denial.as_str().to_owned(); rows.len()])),
            ("bucket_at", Column::Number(rows.iter().map(|(place, _)| place.bucket.micros()).collect())),
        ];
        columns.extend(rollup_rows::columns(rows.iter().map(|(place, sums)| (place.place(), sums))));
        let transaction = self.begin_raw().await?;
        Bulk { table: "usage_deltas", columns, suffix: "" }.run(&transaction).await?;
        Ok(transaction.commit().await?)
    }
}
