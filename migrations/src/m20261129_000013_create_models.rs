//! Models that admins register, and the versions of their own prices.

use sea_orm_migration::prelude::*;

use crate::columns::{create, flag, number, number_null, table, text, text_null, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let versions = unique("model_prices", &["model_name", "deployment", "valid_from_at"]);
        create(manager, vec![models(), model_prices()], vec![versions]).await
    }
}

fn models() -> TableCreateStatement {
    let columns = vec![
        text("model_name"),
        text("deployment"),
        text("provider"),
        text("provider_model"),
        text("base_model"),
        text("access_groups"),
        text("prices"),
        text_null("mode"),
        number_null("max_output_tokens"),
        flag("batch_discount"),
        flag("multiplier_excludes_cache"),
        text("metadata"),
        number("created_at"),
        number("updated_at"),
        number("version"),
    ];
    table("models", &["model_name", "deployment"], columns)
}

/// What a model's own prices are from an instant on. Rows stay when the model
/// is deleted: events name them.
fn model_prices() -> TableCreateStatement {
    let columns = vec![
        text("price_id"),
        text("model_name"),
        text("deployment"),
        number("valid_from_at"),
        text("fields"),
        number("created_at"),
    ];
    table("model_prices", &["price_id"], columns)
}
