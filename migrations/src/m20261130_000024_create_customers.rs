//! End users on whose behalf calls are made.

use sea_orm_migration::prelude::*;

use crate::columns::{bookkeeping, create, flag, index, limits, references, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut columns = vec![
            text("customer_id"),
            text("alias"),
            text("allowed_models"),
            text("metadata"),
            text_null("budget_id"),
            flag("blocked"),
        ];
        columns.extend(limits());
        columns.extend(bookkeeping());
        let mut customers = table("customers", &["customer_id"], columns);
        references(&mut customers, "customers_budget_id_fkey", "budget_id", "budgets", "budget_id");
        let indexes = vec![
            index("customers", &["created_at", "customer_id"]),
            index("customers", &["alias", "customer_id"]),
            index("customers", &["max_budget_nanos", "customer_id"]),
        ];
        create(manager, vec![customers], indexes).await?;
        let tiers = "CREATE INDEX customers_budget_id_idx ON customers (budget_id) WHERE budget_id IS NOT NULL";
        manager.get_connection().execute_unprepared(tiers).await.map(drop)
    }
}
