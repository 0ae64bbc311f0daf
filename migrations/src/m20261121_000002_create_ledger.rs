//! The ledger: what accounts spent, what is held for calls in flight, the
//! events that say why, and the rollups that reports read.

use sea_orm_migration::prelude::*;

use crate::columns::{create, flag, index, number, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = vec![balances(), holders(), leases(), usage_events(), usage_event_tags(), usage_rollups()];
        let only = |columns: &[&'static str], column: &'static str| {
            let mut index = index("usage_events", columns);
            index.and_where(Expr::col(Alias::new(column)).ne(""));
            index
        };
        let of_cut = |column: &'static str| {
            let mut index = index("usage_rollups", &[column, "bucket_at"]);
            index.and_where(Expr::col(Alias::new("cut")).eq(column.trim_end_matches("_id")));
            index
        };
        let indexes = vec![
            index("leases", &["expires_at"]),
            index("usage_events", &["started_at", "request_id"]),
            only(&["key_id", "started_at"], "key_id"),
            only(&["user_id", "started_at"], "user_id"),
            only(&["team_id", "started_at"], "team_id"),
            only(&["customer_id", "started_at"], "customer_id"),
            only(&["session_id", "started_at"], "session_id"),
            of_cut("key_id"),
            of_cut("user_id"),
            of_cut("team_id"),
        ];
        create(manager, tables, indexes).await
    }
}

/// What an account spent in a window. The window that begins at 0 is the
/// account's whole life.
fn balances() -> TableCreateStatement {
    let columns = vec![
        text("scope"),
        text("name"),
        number("window_start_at"),
        number("window_end_at"),
        number("spent_nanos"),
        number("revision"),
        number("used_at"),
    ];
    table("balances", &["scope", "name", "window_start_at"], columns)
}

/// The runs of instances that hold leases, numbered.
fn holders() -> TableCreateStatement {
    let mut holder = ColumnDef::new(Alias::new("holder"));
    holder.big_integer().not_null().auto_increment().primary_key();
    let mut table = Table::create();
    table.table(Alias::new("holders")).col(&mut holder).col(number("started_at"));
    table
}

/// What a run holds of an account's window for calls in flight, until when.
fn leases() -> TableCreateStatement {
    let columns = vec![
        text("scope"),
        text("name"),
        number("window_start_at"),
        number("holder"),
        number("held_nanos"),
        number("expires_at"),
    ];
    table("leases", &["scope", "name", "window_start_at", "holder"], columns)
}

/// One row per call. Text is never absent, so that a batch is arrays of plain
/// values: `''` is none, and 0 is no instant.
fn usage_events() -> TableCreateStatement {
    let columns = vec![
        text("request_id"),
        text("fingerprint"),
        text("key_id"),
        text("user_id"),
        text("team_id"),
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
    table("usage_events", &["request_id"], columns)
}

fn usage_event_tags() -> TableCreateStatement {
    let columns = vec![text("tag"), number("started_at"), text("request_id")];
    table("usage_event_tags", &["tag", "started_at", "request_id"], columns)
}

/// Usage added up by half hours of UTC: one row per cut and what the cut keeps
/// apart; `''` where it does not.
fn usage_rollups() -> TableCreateStatement {
    let columns = vec![
        text("cut"),
        number("bucket_at"),
        text("key_id"),
        text("user_id"),
        text("team_id"),
        text("model"),
        text("provider"),
        number("spent_nanos"),
        number("prompt_tokens"),
        number("completion_tokens"),
        number("cache_read_tokens"),
        number("cache_write_tokens"),
        number("api_requests"),
        number("successful_requests"),
        number("failed_requests"),
    ];
    let key = ["cut", "bucket_at", "key_id", "user_id", "team_id", "model", "provider"];
    table("usage_rollups", &key, columns)
}
