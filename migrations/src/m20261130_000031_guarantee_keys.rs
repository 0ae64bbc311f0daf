//! What the rates of keys are: promised, or for bad times only.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("ALTER TABLE keys ADD COLUMN tpm_limit_type text").await?;
        connection.execute_unprepared("ALTER TABLE keys ADD COLUMN rpm_limit_type text").await.map(drop)
    }
}
