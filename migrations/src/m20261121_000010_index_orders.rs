//! Indexes on what lists are ordered by, so that the last page costs what the
//! first does. Each ends with the id: it decides between equals, and among the
//! rows that lack the value.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const ORDERS: [(&str, &[&str]); 9] = [
    ("users", &["email_folded", "user_id"]),
    ("users", &["user_alias", "user_id"]),
    ("users", &["max_budget_nanos", "user_id"]),
    ("teams", &["team_alias", "team_id"]),
    ("teams", &["max_budget_nanos", "team_id"]),
    ("keys", &["updated_at", "key_id"]),
    ("keys", &["key_alias", "key_id"]),
    ("keys", &["max_budget_nanos", "key_id"]),
    ("keys", &["expires_at", "key_id"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, Vec::new(), ORDERS.map(|(table, columns)| index(table, columns)).into()).await
    }
}
