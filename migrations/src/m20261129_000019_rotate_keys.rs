//! Keys get other secrets. Whoever had a hash once is known for ever: a hash is
//! not used twice.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 6] = [
    "former_secrets text NOT NULL DEFAULT '[]'",
    "rotation_interval text",
    "rotation_count bigint NOT NULL DEFAULT 0",
    "last_rotated_at bigint",
    "next_rotation_at bigint",
    "block_reason text",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(&format!("ALTER TABLE keys ADD COLUMN {column}")).await?;
        }
        let due = "CREATE INDEX keys_next_rotation_at_idx ON keys (next_rotation_at) \
                   WHERE next_rotation_at IS NOT NULL";
        manager.get_connection().execute_unprepared(due).await?;
        let columns = vec![text("key_hash"), text("key_id"), number("rotated_at")];
        let tables = vec![table("rotated_keys", &["key_hash"], columns)];
        create(manager, tables, vec![index("rotated_keys", &["key_id"])]).await
    }
}
