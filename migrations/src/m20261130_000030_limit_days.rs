//! Tokens a day of keys and teams.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("ALTER TABLE keys ADD COLUMN tpd_limit bigint").await?;
        connection.execute_unprepared("ALTER TABLE teams ADD COLUMN tpd_limit bigint").await.map(drop)
    }
}
