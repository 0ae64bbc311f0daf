//! Budgets of tags, providers, models and of everything.

use sea_orm_migration::prelude::*;

use crate::columns::{bookkeeping, create, number, number_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut columns = vec![
            text("scope"),
            text("name"),
            number_null("max_budget_nanos"),
            number_null("soft_budget_nanos"),
            text_null("budget_duration"),
            number("budget_anchor_at"),
        ];
        columns.extend(bookkeeping());
        create(manager, vec![table("scope_budgets", &["scope", "name"], columns)], Vec::new()).await
    }
}
