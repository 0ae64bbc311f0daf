//! Rebuilds of rollups: which days, and how far each has come.

use sea_orm_migration::prelude::*;

use crate::columns::{create, flag, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![
            text("job_id"),
            number("from_at"),
            number("until_at"),
            number("next_at"),
            flag("done"),
            number("claim"),
            number("claimed_until_at"),
            number("compared"),
            number("repaired"),
            number("created_at"),
            number("updated_at"),
        ];
        create(manager, vec![table("rollup_rebuilds", &["job_id"], columns)], Vec::new()).await
    }
}
