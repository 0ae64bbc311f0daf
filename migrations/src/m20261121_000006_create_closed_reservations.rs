//! Reservations that another run than their own closed: their room is given
//! back once, however often they are settled or released.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let closed = table("closed_reservations", &["reservation"], vec![text("reservation"), number("expires_at")]);
        create(manager, vec![closed], vec![index("closed_reservations", &["expires_at"])]).await
    }
}
