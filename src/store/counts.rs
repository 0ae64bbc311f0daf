//! Counts: how many rows belong to each of some owners, by one grouped query.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, DatabaseExecutor, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Select};

use super::error::StoreError;

/// How many rows each owner has; those without any are left out.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<String, i64>);

impl Counts {
    /// How many rows an owner has.
    pub(super) fn of(&self, owner: &str) -> i64 {
        self.0.get(owner).copied().unwrap_or(0)
    }
}

/// Counts the rows of a query by the owner in a column.
pub(super) async fn count_by<E: EntityTrait>(
    query: Select<E>,
    owner: impl ColumnTrait,
    owners: &[String],
    executor: &DatabaseExecutor<'_>,
) -> Result<Counts, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        owner: String,
        count: i64,
    }
    if owners.is_empty() {
        return Ok(Counts::default());
    }
    let rows = query
        .select_only()
        .column_as(owner, "owner")
        .column_as(owner.count(), "count")
        .filter(owner.is_in(owners))
        .group_by(owner)
        .into_model::<Row>()
        .all(executor)
        .await?;
    Ok(Counts(rows.into_iter().map(|row| (row.owner, row.count)).collect()))
}
