//! The outbox, and what became of the mail of an invitation.

use sea_orm_migration::prelude::*;

use crate::columns::{bytes_null, create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 3] = [
    "ALTER TABLE invitations ADD COLUMN mail_to text",
    "ALTER TABLE invitations ADD COLUMN mail_state text",
    "ALTER TABLE invitations ADD COLUMN mail_error text",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(column).await?;
        }
        create(manager, vec![outbox()], vec![index("outbox", &["kind", "due_at"])]).await
    }
}

fn outbox() -> TableCreateStatement {
    let columns = vec![
        text("entry_id"),
        text("kind"),
        // What it is about; its meaning depends on the kind.
        text("subject"),
        bytes_null("payload"),
        number("attempts"),
        // Also until when the one who sends it now may take.
        number("due_at"),
        number("created_at"),
    ];
    table("outbox", &["entry_id"], columns)
}
