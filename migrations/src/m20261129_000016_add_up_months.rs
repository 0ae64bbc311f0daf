//! Rollups by months of UTC instead of sixteen days; on PostgreSQL each cut in
//! a partition of its own, so that the planner knows how its columns are
//! spread: over all cuts together they are mostly empty.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::usage_sums;
use crate::m20261121_000012_split_rollups::{DIMENSIONS, LEADS, rollups};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const CUTS: [&str; 9] = ["team", "model", "key", "team_model", "customer", "key_model", "tag", "failure", "denial"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let run = async |sql: String| connection.execute_unprepared(&sql).await.map(drop);
        let month = match manager.get_database_backend() {
            DbBackend::Postgres => {
                "(extract(epoch FROM date_trunc('month', to_timestamp(bucket_at / 1000000) AT TIME ZONE 'UTC')) \
                 * 1000000)::bigint"
            }
            _ => "strftime('%s', bucket_at / 1000000, 'unixepoch', 'start of month') * 1000000",
        };
        let sums: Vec<String> = usage_sums().iter().map(ColumnDef::get_column_name).collect();
        let columns = format!("cut, grain, bucket_at, cell, {}, {}", DIMENSIONS.join(", "), sums.join(", "));
        run("DELETE FROM usage_rollups WHERE grain = 'span'".to_owned()).await?;
        run(format!(
            "INSERT INTO usage_rollups ({columns}) SELECT cut, 'month', {month}, cell, {}, {} \
             FROM usage_rollups WHERE grain = 'day' GROUP BY 1, 2, 3, 4",
            DIMENSIONS.map(|name| format!("MIN({name})")).join(", "),
            sums.iter().map(|name| format!("CAST(SUM({name}) AS BIGINT)")).collect::<Vec<_>>().join(", "),
        ))
        .await?;
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        run("CREATE TABLE former_usage_rollups AS SELECT * FROM usage_rollups".to_owned()).await?;
        run("DROP TABLE usage_rollups".to_owned()).await?;
        run(format!("{} PARTITION BY LIST (cut)", rollups().to_string(PostgresQueryBuilder))).await?;
        for cut in CUTS {
            run(format!("CREATE TABLE usage_rollups_{cut} PARTITION OF usage_rollups FOR VALUES IN ('{cut}')")).await?;
        }
        run(format!("INSERT INTO usage_rollups ({columns}) SELECT {columns} FROM former_usage_rollups")).await?;
        run("DROP TABLE former_usage_rollups".to_owned()).await?;
        for (cut, column) in LEADS {
            run(format!(
                "CREATE INDEX usage_rollups_{cut}_{column}_idx ON usage_rollups_{cut} ({column}, grain, bucket_at)"
            ))
            .await?;
        }
        Ok(())
    }
}
