//! The models that may be called instead of one whose budget is spent.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE keys ADD COLUMN budget_fallbacks text";
        manager.get_connection().execute_unprepared(column).await.map(drop)
    }
}
