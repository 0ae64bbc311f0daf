//! Columns as they are written in every table.

use sea_orm_migration::prelude::*;

/// Text that is always there.
pub(crate) fn text(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.text().not_null();
    column
}

/// Text that may be absent.
pub(crate) fn text_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.text().null();
    column
}

/// A number, an instant or an amount of money that is always there.
pub(crate) fn number(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer().not_null();
    column
}

/// A number, an instant or an amount of money that may be absent.
pub(crate) fn number_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer().null();
    column
}

/// A yes or no that is always there.
pub(crate) fn flag(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.boolean().not_null();
    column
}

/// Bytes that may be absent.
pub(crate) fn bytes_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.blob().null();
    column
}

/// The limits of a user, a team or a key.
pub(crate) fn limits() -> Vec<ColumnDef> {
    vec![
        number_null("max_budget_nanos"),
        number_null("soft_budget_nanos"),
        text_null("budget_duration"),
        number("budget_anchor_at"),
        number_null("tpm_limit"),
        number_null("rpm_limit"),
        number_null("max_parallel_requests"),
    ]
}

/// When a row was made and changed, and how often.
pub(crate) fn bookkeeping() -> Vec<ColumnDef> {
    vec![number("created_at"), number("updated_at"), number("version")]
}

/// What rows of added up usage hold.
pub(crate) fn usage_sums() -> Vec<ColumnDef> {
    vec![
        number("spent_nanos"),
        number("prompt_tokens"),
        number("completion_tokens"),
        number("cache_read_tokens"),
        number("cache_write_tokens"),
        number("api_requests"),
        number("successful_requests"),
        number("failed_requests"),
    ]
}

/// A table of these columns; the key's columns in order.
pub(crate) fn table(name: &'static str, key: &[&'static str], columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name));
    for mut column in columns {
        table.col(&mut column);
    }
    let mut primary_key = Index::create();
    for column in key {
        primary_key.col(Alias::new(*column));
    }
    table.primary_key(&mut primary_key);
    table
}

/// Adds a foreign key to a table that is being made.
pub(crate) fn references(
    table: &mut TableCreateStatement,
    name: &'static str,
    column: &'static str,
    other: &'static str,
    other_column: &'static str,
) {
    let mut key = ForeignKey::create();
    key.name(name).from_col(Alias::new(column)).to(Alias::new(other), Alias::new(other_column));
    table.foreign_key(&mut key);
}

/// An index; its name is the table's and its columns'.
pub(crate) fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{table}_{}_idx", columns.join("_"))).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

/// A unique index; its name is the table's and its columns'.
pub(crate) fn unique(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = index(table, columns);
    index.name(format!("{table}_{}_key", columns.join("_"))).unique();
    index
}

/// Makes tables, then their indexes.
pub(crate) async fn create(
    manager: &SchemaManager<'_>,
    tables: Vec<TableCreateStatement>,
    indexes: Vec<IndexCreateStatement>,
) -> Result<(), DbErr> {
    for table in tables {
        manager.create_table(table).await?;
    }
    for index in indexes {
        manager.create_index(index).await?;
    }
    Ok(())
}
