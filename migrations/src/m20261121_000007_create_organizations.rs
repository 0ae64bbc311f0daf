//! Organizations, their members, and what in other tables belongs to one.

use sea_orm_migration::prelude::*;

use crate::columns::{
    bookkeeping, create, flag, index, limits, number, number_null, references, table, text, usage_sums,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Both databases add a column with a reference only in these words.
const COLUMNS: [&str; 8] = [
    "ALTER TABLE teams ADD COLUMN organization_id text REFERENCES organizations (organization_id)",
    "ALTER TABLE teams ADD COLUMN tpm_limit_type text",
    "ALTER TABLE teams ADD COLUMN rpm_limit_type text",
    "ALTER TABLE teams ADD COLUMN model_tpm_limit text NOT NULL DEFAULT '{}'",
    "ALTER TABLE teams ADD COLUMN model_rpm_limit text NOT NULL DEFAULT '{}'",
    "ALTER TABLE users ADD COLUMN home_organization_id text REFERENCES organizations (organization_id)",
    "ALTER TABLE deleted_teams ADD COLUMN organization_id text",
    "ALTER TABLE usage_events ADD COLUMN organization_id text NOT NULL DEFAULT ''",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let indexes = vec![
            index("organizations", &["created_at", "organization_id"]),
            index("organization_members", &["user_id", "organization_id"]),
        ];
        create(manager, vec![organizations(), members()], indexes).await?;
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(column).await?;
        }
        add_to_rollups(manager).await?;
        let mut events = index("usage_events", &["organization_id", "started_at"]);
        events.and_where(Expr::col(Alias::new("organization_id")).ne(""));
        let mut homes = index("users", &["home_organization_id"]);
        homes.and_where(Expr::col(Alias::new("home_organization_id")).is_not_null());
        let indexes = vec![
            index("teams", &["organization_id", "team_id"]),
            index("deleted_teams", &["organization_id"]),
            events,
            homes,
        ];
        create(manager, Vec::new(), indexes).await
    }
}

fn organizations() -> TableCreateStatement {
    let mut columns = vec![
        text("organization_id"),
        text("organization_alias"),
        text("models"),
        text("model_tpm_limit"),
        text("model_rpm_limit"),
        text("metadata"),
        flag("blocked"),
    ];
    columns.extend(limits());
    columns.extend(bookkeeping());
    table("organizations", &["organization_id"], columns)
}

fn members() -> TableCreateStatement {
    let columns = vec![
        text("organization_id"),
        text("user_id"),
        text("role"),
        number_null("max_budget_nanos"),
        number("added_at"),
    ];
    let mut members = table("organization_members", &["organization_id", "user_id"], columns);
    let name = "organization_members_organization_id_fkey";
    references(&mut members, name, "organization_id", "organizations", "organization_id");
    references(&mut members, "organization_members_user_id_fkey", "user_id", "users", "user_id");
    members
}

/// Neither database can widen a primary key: the table is made anew.
async fn add_to_rollups(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    connection.execute_unprepared("CREATE TABLE former_rollups AS SELECT * FROM usage_rollups").await?;
    connection.execute_unprepared("DROP TABLE usage_rollups").await?;
    let mut columns = vec![
        text("cut"),
        number("bucket_at"),
        text("key_id"),
        text("user_id"),
        text("team_id"),
        text("organization_id"),
        text("model"),
        text("provider"),
    ];
    columns.extend(usage_sums());
    let key = ["cut", "bucket_at", "key_id", "user_id", "team_id", "organization_id", "model", "provider"];
    // An organization's usage is kept with its teams'.
    let of_cut = |column: &'static str, cut: &'static str| {
        let mut index = index("usage_rollups", &[column, "bucket_at"]);
        index.and_where(Expr::col(Alias::new("cut")).eq(cut));
        index
    };
    let indexes = vec![
        of_cut("key_id", "key"),
        of_cut("user_id", "user"),
        of_cut("team_id", "team"),
        of_cut("organization_id", "team"),
    ];
    create(manager, vec![table("usage_rollups", &key, columns)], indexes).await?;
    let sums = "spent_nanos, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, \
                api_requests, successful_requests, failed_requests";
    let copy = format!(
        "INSERT INTO usage_rollups \
         (cut, bucket_at, key_id, user_id, team_id, organization_id, model, provider, {sums}) \
         SELECT cut, bucket_at, key_id, user_id, team_id, '', model, provider, {sums} FROM former_rollups"
    );
    connection.execute_unprepared(&copy).await?;
    connection.execute_unprepared("DROP TABLE former_rollups").await?;
    Ok(())
}
