//! Reservations that were open when their run stopped: the next one gives back
//! the room of each once, however often it is settled or released.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let open = table("open_reservations", &["reservation"], vec![text("reservation"), number("expires_at")]);
        create(manager, vec![open], vec![index("open_reservations", &["expires_at"])]).await
    }
}
