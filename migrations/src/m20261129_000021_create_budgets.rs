//! Limits that many keys share.

use sea_orm_migration::prelude::*;

use crate::columns::{bookkeeping, create, index, limits, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut columns = vec![text("budget_id"), text("model_max_budget")];
        columns.extend(limits());
        columns.extend(bookkeeping());
        let order = index("budgets", &["created_at", "budget_id"]);
        create(manager, vec![table("budgets", &["budget_id"], columns)], vec![order]).await?;
        // Keys name a budget that exists; that one may only go without them.
        let column = "ALTER TABLE keys ADD COLUMN budget_id text REFERENCES budgets (budget_id)";
        manager.get_connection().execute_unprepared(column).await?;
        let users = "CREATE INDEX keys_budget_id_idx ON keys (budget_id) WHERE budget_id IS NOT NULL";
        manager.get_connection().execute_unprepared(users).await?;
        Ok(())
    }
}
