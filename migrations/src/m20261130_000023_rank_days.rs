//! The largest parts of each day, ranked in advance, and the days that are to
//! be ranked: at first all of them.

use sea_orm_migration::prelude::*;

use crate::columns::{create, number, table, text, usage_sums};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut columns = vec![text("dimension"), number("bucket_at"), number("place"), number("parts"), text("slice")];
        columns.extend(usage_sums());
        let tables = vec![
            table("usage_rankings", &["bucket_at", "dimension", "place"], columns),
            table("due_rankings", &["bucket_at"], vec![number("bucket_at")]),
        ];
        create(manager, tables, Vec::new()).await?;
        let every_day = "INSERT INTO due_rankings (bucket_at) \
                         SELECT DISTINCT bucket_at FROM usage_rollups WHERE cut = 'team' AND grain = 'day'";
        manager.get_connection().execute_unprepared(every_day).await.map(drop)
    }
}
