//! How budgets are applied, where they are not simply enforced.

use sea_orm_migration::prelude::*;

use crate::columns::{bookkeeping, create, flag, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut columns = vec![text("scope"), text("id"), flag("shadow"), flag("learned_estimates")];
        columns.extend(bookkeeping());
        create(manager, vec![table("budget_modes", &["scope", "id"], columns)], Vec::new()).await
    }
}
