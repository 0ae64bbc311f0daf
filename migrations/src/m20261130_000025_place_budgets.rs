//! The time zone of a budget's windows, where it is not that of the setting.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["budgets", "scope_budgets"] {
            let column = format!("ALTER TABLE {table} ADD COLUMN time_zone text");
            manager.get_connection().execute_unprepared(&column).await?;
        }
        Ok(())
    }
}
