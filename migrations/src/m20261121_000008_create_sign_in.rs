//! Signing in: passwords, invitations, and the keys that sign sessions.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, number_null, references, table, text, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 3] = [
    "ALTER TABLE users ADD COLUMN password_hash text",
    "ALTER TABLE users ADD COLUMN password_set_at bigint",
    // Sessions that carry another value are over.
    "ALTER TABLE users ADD COLUMN session_epoch text NOT NULL DEFAULT ''",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(column).await?;
        }
        let indexes = vec![
            unique("invitations", &["token_hash"]),
            index("invitations", &["user_id"]),
            index("invitations", &["created_at", "invitation_id"]),
        ];
        create(manager, vec![invitations(), session_keys()], indexes).await
    }
}

fn invitations() -> TableCreateStatement {
    let columns = vec![
        text("invitation_id"),
        text("user_id"),
        text("token_hash"),
        number_null("accepted_at"),
        number("expires_at"),
        number("created_at"),
        text("created_by"),
    ];
    let mut invitations = table("invitations", &["invitation_id"], columns);
    references(&mut invitations, "invitations_user_id_fkey", "user_id", "users", "user_id");
    invitations
}

/// The newest signs; all of them verify.
fn session_keys() -> TableCreateStatement {
    table("session_keys", &["kid"], vec![text("kid"), text("secret"), number("created_at")])
}
