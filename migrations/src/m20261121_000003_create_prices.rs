//! Price records: what a model costs from an instant on.

use sea_orm_migration::prelude::*;

use crate::columns::{create, number, table, text, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns =
            vec![text("price_id"), text("model"), number("valid_from_at"), text("fields"), number("created_at")];
        let prices = table("prices", &["price_id"], columns);
        create(manager, vec![prices], vec![unique("prices", &["model", "valid_from_at"])]).await
    }
}
