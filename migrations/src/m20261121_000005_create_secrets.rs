//! What the instances of one database share in secret, and the answers that
//! make retries safe.

use sea_orm_migration::prelude::*;

use crate::columns::{bytes_null, create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let secrets = table("server_secrets", &["name"], vec![text("name"), text("value")]);
        let columns = vec![
            text("caller"),
            text("rpc"),
            text("request_id"),
            text("payload_hash"),
            bytes_null("response"),
            bytes_null("sealed_secret"),
            number("created_at"),
        ];
        let records = table("idempotency_records", &["caller", "rpc", "request_id"], columns);
        create(manager, vec![secrets, records], vec![index("idempotency_records", &["created_at"])]).await
    }
}
