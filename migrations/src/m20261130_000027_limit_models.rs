//! Limits of single models, of users and of customers.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["users", "customers"] {
            let column = format!("ALTER TABLE {table} ADD COLUMN model_max_budget text");
            manager.get_connection().execute_unprepared(&column).await?;
        }
        Ok(())
    }
}
