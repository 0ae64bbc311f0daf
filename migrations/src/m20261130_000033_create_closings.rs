//! What became of calls at another instance than the one that holds room for them:
//! that one reads it, and holds no longer.

use sea_orm_migration::prelude::*;

use crate::columns::{create, flag, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![
            text("reservation"),
            number("holder"),
            flag("was_made"),
            number("tokens"),
            number("expires_at"),
            flag("heard"),
        ];
        let closings = table("closings", &["reservation"], columns);
        let indexes = vec![index("closings", &["holder", "heard"]), index("closings", &["expires_at"])];
        create(manager, vec![closings], indexes).await?;
        // A run that has stopped hears nothing any more.
        let stopped = "ALTER TABLE holders ADD COLUMN stopped_at bigint";
        manager.get_connection().execute_unprepared(stopped).await.map(drop)
    }
}
