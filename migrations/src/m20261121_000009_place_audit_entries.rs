//! Where the object of an audit entry belongs; and entries that nothing in the
//! code changes, nothing changes by accident either.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{create, index};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 2] = [
    "ALTER TABLE audit_entries ADD COLUMN team_id text NOT NULL DEFAULT ''",
    "ALTER TABLE audit_entries ADD COLUMN organization_id text NOT NULL DEFAULT ''",
];

const SQLITE_GUARDS: [&str; 2] = [
    "CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries \
     BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END",
    "CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries \
     BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END",
];

const POSTGRES_GUARDS: [&str; 2] = [
    "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'audit entries are append-only'; END $$",
    "CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries \
     FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let guards = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_GUARDS,
            _ => SQLITE_GUARDS,
        };
        for statement in COLUMNS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        let placed = |column: &'static str| {
            let mut index = index("audit_entries", &[column, "sequence"]);
            index.and_where(Expr::col(Alias::new(column)).ne(""));
            index
        };
        create(manager, Vec::new(), vec![placed("organization_id"), placed("team_id")]).await?;
        for statement in guards {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
