//! Rollups by more dimensions and in coarser grains, merged from deltas.

use sea_orm_migration::prelude::*;

use crate::columns::{create, index, number, table, text, usage_sums};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What usage is told apart by; `''` where it is not.
pub(crate) const DIMENSIONS: [&str; 11] = [
    "key_id",
    "user_id",
    "team_id",
    "organization_id",
    "customer_id",
    "tag",
    "model",
    "model_group",
    "provider",
    "deployment",
    "error_code",
];

/// Where reports that are about one of something find it.
pub(crate) const LEADS: [(&str, &str); 9] = [
    ("team", "team_id"),
    ("team_model", "team_id"),
    ("key", "key_id"),
    ("key", "user_id"),
    ("key_model", "key_id"),
    ("key_model", "user_id"),
    ("customer", "customer_id"),
    ("customer", "team_id"),
    ("tag", "tag"),
];

/// What was recorded becomes deltas, which are merged at the next start.
const DELTAS: [&str; 3] = [
    "SELECT 'call', started_at / 1800000000 * 1800000000, key_id, user_id, team_id, organization_id, customer_id, '', \
     model, model_group, provider, '', '', SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), \
     SUM(cache_read_tokens), SUM(cache_write_tokens), COUNT(*), SUM(CASE status WHEN 'success' THEN 1 ELSE 0 END), \
     SUM(CASE status WHEN 'success' THEN 0 ELSE 1 END) \
     FROM usage_events WHERE cost_source <> 'adjustment' GROUP BY 2, 3, 4, 5, 6, 7, 9, 10, 11",
    "SELECT 'tag', e.started_at / 1800000000 * 1800000000, key_id, user_id, team_id, organization_id, '', \
     COALESCE(t.tag, ''), '', \
     '', '', '', '', SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), SUM(cache_read_tokens), \
     SUM(cache_write_tokens), COUNT(*), SUM(CASE status WHEN 'success' THEN 1 ELSE 0 END), \
     SUM(CASE status WHEN 'success' THEN 0 ELSE 1 END) \
     FROM usage_events e LEFT JOIN usage_event_tags t ON t.request_id = e.request_id \
     WHERE cost_source <> 'adjustment' GROUP BY 2, 3, 4, 5, 6, 8",
    "SELECT 'failure', started_at / 1800000000 * 1800000000, '', '', '', '', '', '', model, model_group, provider, \
     deployment, error_code, SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), SUM(cache_read_tokens), \
     SUM(cache_write_tokens), COUNT(*), 0, COUNT(*) \
     FROM usage_events WHERE cost_source <> 'adjustment' AND status <> 'success' GROUP BY 2, 9, 10, 11, 12, 13",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE usage_rollups").await?;
        let leads = LEADS.map(|(cut, column)| {
            let mut index = index("usage_rollups", &[column, "grain", "bucket_at"]);
            index.name(format!("usage_rollups_{cut}_{column}_idx"));
            index.and_where(Expr::col(Alias::new("cut")).eq(cut));
            index
        });
        create(manager, vec![rollups(), deltas()], leads.into()).await?;
        let sums: Vec<String> = usage_sums().iter().map(ColumnDef::get_column_name).collect();
        let columns = [DIMENSIONS.join(", "), sums.join(", ")].join(", ");
        for select in DELTAS {
            let insert = format!("INSERT INTO usage_deltas (source, bucket_at, {columns}) {select}");
            manager.get_connection().execute_unprepared(&insert).await?;
        }
        Ok(())
    }
}

/// One row per cut, grain, bucket and cell: a hash of what the cut keeps apart,
/// because all of that would be a large key.
pub(crate) fn rollups() -> TableCreateStatement {
    let mut columns = vec![text("cut"), text("grain"), number("bucket_at"), text("cell")];
    columns.extend(DIMENSIONS.map(text));
    columns.extend(usage_sums());
    table("usage_rollups", &["cut", "grain", "bucket_at", "cell"], columns)
}

/// What is not added to the rollups yet, by half hours. Rows only come and go.
fn deltas() -> TableCreateStatement {
    let mut id = ColumnDef::new(Alias::new("delta_id"));
    id.big_integer().not_null().auto_increment().primary_key();
    let mut table = Table::create();
    table.table(Alias::new("usage_deltas")).col(&mut id).col(text("source")).col(number("bucket_at"));
    for column in DIMENSIONS.map(text).into_iter().chain(usage_sums()) {
        table.col(column);
    }
    table
}
