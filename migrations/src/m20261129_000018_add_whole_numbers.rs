//! A sum of whole numbers that is one. PostgreSQL's own adds 64-bit numbers up
//! to a decimal, which costs a report of many parts more than all else.

use sea_orm::{ConnectionTrait, DatabaseBackend};
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DatabaseBackend::Postgres {
            return Ok(());
        }
        // It fails, as it should, when a sum does not fit.
        let sum = "CREATE AGGREGATE whole_sum(bigint) \
                   (SFUNC = int8pl, STYPE = bigint, COMBINEFUNC = int8pl, PARALLEL = SAFE)";
        manager.get_connection().execute_unprepared(sum).await?;
        Ok(())
    }
}
