//! When every counter was last compared with its events, and what came of it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "CREATE TABLE verifications ( \
    id bigint PRIMARY KEY CHECK (id = 1), due_at bigint NOT NULL, verified_at bigint, \
    events bigint NOT NULL, differences bigint NOT NULL)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(TABLE).await?;
        let row = "INSERT INTO verifications (id, due_at, events, differences) VALUES (1, 0, 0, 0)";
        connection.execute_unprepared(row).await.map(drop)
    }
}
