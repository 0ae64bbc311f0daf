//! What limits a key beside its one budget.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 6] = [
    "budget_limits text NOT NULL DEFAULT '[]'",
    "model_max_budget text NOT NULL DEFAULT '{}'",
    "model_tpm_limit text NOT NULL DEFAULT '{}'",
    "model_rpm_limit text NOT NULL DEFAULT '{}'",
    "temp_budget_increase_nanos bigint",
    "temp_budget_expires_at bigint",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(&format!("ALTER TABLE keys ADD COLUMN {column}")).await?;
        }
        Ok(())
    }
}
