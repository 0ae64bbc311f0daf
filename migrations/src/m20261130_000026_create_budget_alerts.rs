//! What was told of budgets, so that it is told once; and what becomes of
//! deliveries that fail.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 2] = ["ALTER TABLE outbox ADD COLUMN dead_at bigint", "ALTER TABLE outbox ADD COLUMN error text"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(column).await?;
        }
        let columns = vec![
            text("scope"),
            text("name"),
            number("window_start_at"),
            text("kind"),
            number("threshold"),
            // The spend that it was told at: a higher one is told again.
            number("level_nanos"),
            number("window_end_at"),
        ];
        let key = ["scope", "name", "window_start_at", "kind", "threshold"];
        let alerts = table("budget_alerts", &key, columns);
        let indexes = vec![
            index("budget_alerts", &["window_end_at"]),
            index("outbox", &["kind", "created_at"]),
            index("outbox", &["kind", "subject", "due_at"]),
        ];
        create(manager, vec![alerts], indexes).await
    }
}
