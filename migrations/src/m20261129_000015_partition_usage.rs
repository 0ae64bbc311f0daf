//! Usage events by time, so that old ones can go: on PostgreSQL in partitions
//! of sixteen days. What keeps an id unique has a table of its own; what is no
//! longer there is in the opening balances.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{create, flag, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The length of a partition in microseconds; partitions begin at multiples of
/// it.
const SPAN: i64 = 16 * 86_400_000_000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        create(manager, vec![ids(), opening_balances(), closed_spans()], Vec::new()).await?;
        connection
            .execute_unprepared(
                "INSERT INTO usage_ids (request_id, fingerprint, cost_nanos, started_at) \
                 SELECT request_id, fingerprint, cost_nanos, started_at FROM usage_events",
            )
            .await?;
        for name in ["usage_events", "usage_event_tags"] {
            connection.execute_unprepared(&format!("CREATE TABLE former_{name} AS SELECT * FROM {name}")).await?;
            connection.execute_unprepared(&format!("DROP TABLE {name}")).await?;
        }
        match manager.get_database_backend() {
            DbBackend::Postgres => partitioned(manager).await?,
            _ => create(manager, vec![events(), tags()], Vec::new()).await?,
        }
        for (name, columns) in [("usage_events", names(&events())), ("usage_event_tags", names(&tags()))] {
            let copy = format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM former_{name}");
            connection.execute_unprepared(&copy).await?;
            connection.execute_unprepared(&format!("DROP TABLE former_{name}")).await?;
        }
        let of = |column: &'static str| {
            let mut index = index("usage_events", &[column, "started_at"]);
            index.and_where(Expr::col(Alias::new(column)).ne(""));
            index
        };
        let columns = ["key_id", "user_id", "team_id", "organization_id", "customer_id", "session_id"];
        create(manager, Vec::new(), columns.map(of).into()).await
    }
}

/// The tables, and a partition for each stretch of time that has events.
async fn partitioned(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    for table in [events(), tags()] {
        let sql = format!("{} PARTITION BY RANGE (started_at)", table.to_string(PostgresQueryBuilder));
        connection.execute_unprepared(&sql).await?;
    }
    let spans = format!("SELECT DISTINCT floor(started_at / {SPAN}::numeric)::bigint AS span FROM former_usage_events");
    let rows = connection
        .query_all_raw(sea_orm_migration::sea_orm::Statement::from_string(DbBackend::Postgres, spans))
        .await?;
    for row in rows {
        let from = row.try_get::<i64>("", "span")? * SPAN;
        for name in ["usage_events", "usage_event_tags"] {
            let sql =
                format!("CREATE TABLE {name}_{from} PARTITION OF {name} FOR VALUES FROM ({from}) TO ({})", from + SPAN);
            connection.execute_unprepared(&sql).await?;
        }
    }
    Ok(())
}

/// The columns of a table, as SQL lists them.
fn names(table: &TableCreateStatement) -> String {
    table.get_columns().iter().map(ColumnDef::get_column_name).collect::<Vec<_>>().join(", ")
}

/// Which ids are taken, and by what.
fn ids() -> TableCreateStatement {
    let columns = vec![text("request_id"), text("fingerprint"), number("cost_nanos"), number("started_at")];
    table("usage_ids", &["request_id"], columns)
}

/// What events that are no longer kept add up to, by account and window.
fn opening_balances() -> TableCreateStatement {
    let columns = vec![text("scope"), text("name"), number("window_start_at"), number("spent_nanos")];
    table("opening_balances", &["scope", "name", "window_start_at"], columns)
}

/// Of which stretches of time events are no longer kept.
fn closed_spans() -> TableCreateStatement {
    let columns = vec![number("span_at"), number("events"), number("closed_at")];
    table("closed_spans", &["span_at"], columns)
}

fn tags() -> TableCreateStatement {
    let columns = vec![text("tag"), number("started_at"), text("request_id")];
    table("usage_event_tags", &["tag", "started_at", "request_id"], columns)
}

fn events() -> TableCreateStatement {
    let columns = vec![
        text("request_id"),
        text("fingerprint"),
        text("key_id"),
        text("user_id"),
        text("team_id"),
        text("organization_id"),
        text("model"),
        text("model_group"),
        text("provider"),
        text("deployment"),
        text("customer_id"),
        text("tags"),
        number("started_at"),
        number("ended_at"),
        number("first_token_at"),
        number("prompt_tokens"),
        number("completion_tokens"),
        number("cache_read_tokens"),
        number("cache_write_tokens"),
        number("reasoning_tokens"),
        text("detail"),
        number("cost_nanos"),
        text("cost_source"),
        text("price_id"),
        text("unpriced_parts"),
        flag("inconsistent"),
        text("status"),
        text("error_code"),
        text("error_message"),
        flag("cache_hit"),
        text("call_type"),
        text("session_id"),
        text("metadata"),
        text("reporter"),
        number("recorded_at"),
        text("postings"),
    ];
    table("usage_events", &["started_at", "request_id"], columns)
}
