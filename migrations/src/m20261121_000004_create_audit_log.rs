//! The audit log: every change in commit order, each entry chained to the one
//! before.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![
            number("sequence"),
            text("audit_id"),
            number("at"),
            text("actor"),
            text("actor_key_id"),
            text("on_behalf_of"),
            text("action"),
            text("object_type"),
            text("object_id"),
            text("before"),
            text("after"),
            text("request_id"),
            text("rpc"),
            text("hash"),
        ];
        let entries = table("audit_entries", &["sequence"], columns);
        let head = table("audit_head", &["id"], vec![number("id"), number("sequence"), text("hash")]);
        let indexes = vec![
            unique("audit_entries", &["audit_id"]),
            index("audit_entries", &["object_type", "object_id", "sequence"]),
            index("audit_entries", &["actor", "sequence"]),
            index("audit_entries", &["at", "sequence"]),
        ];
        create(manager, vec![entries, head], indexes).await?;
        // The one row that every change locks, so that there is one order.
        let start = Query::insert()
            .into_table(Alias::new("audit_head"))
            .columns(["id", "sequence", "hash"].map(Alias::new))
            .values_panic([1.into(), 0.into(), "0".repeat(64).into()])
            .to_owned();
        manager.execute(start).await
    }
}
