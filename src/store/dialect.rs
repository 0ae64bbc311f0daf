//! Where the two databases differ.

use std::fmt::Write;

use sea_orm::sea_query::{Alias, ArrayType, Expr, ExprTrait, Func, Query, SimpleExpr, Value};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement};

use super::error::StoreError;
use crate::domain::clock::Timestamp;

/// The values of one column, a value per row.
pub(super) enum Column {
    Text(Vec<String>),
    Number(Vec<i64>),
    Flag(Vec<bool>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "bigint",
            Self::Flag(_) => "boolean",
        }
    }

    fn into_array(self) -> Value {
        fn array<T: Into<Value>>(kind: ArrayType, values: Vec<T>) -> Value {
            Value::Array(kind, Some(Box::new(values.into_iter().map(Into::into).collect())))
        }
        match self {
            Self::Text(values) => array(ArrayType::String, values),
            Self::Number(values) => array(ArrayType::BigInt, values),
            Self::Flag(values) => array(ArrayType::Bool, values),
        }
    }

    fn into_values(self) -> Box<dyn Iterator<Item = Value> + Send> {
        match self {
            Self::Text(values) => Box::new(values.into_iter().map(Value::from)),
            Self::Number(values) => Box::new(values.into_iter().map(Value::from)),
            Self::Flag(values) => Box::new(values.into_iter().map(Value::from)),
        }
    }
}

/// Whether a list that is kept as JSON text has an entry.
pub(super) fn has_entry(list: SimpleExpr, entry: &str, backend: DbBackend) -> SimpleExpr {
    if backend == DbBackend::Postgres {
        let json = list.cast_as(Alias::new("jsonb"));
        return Func::cust(Alias::new("jsonb_exists")).arg(json).arg(entry).into();
    }
    let mut found = Query::select();
    found.expr(Expr::val(1)).from_function(Func::cust(Alias::new("json_each")).arg(list), Alias::new("entries"));
    found.and_where(Expr::col((Alias::new("entries"), Alias::new("value"))).eq(entry));
    Expr::exists(found)
}

/// A field of an object that is kept as JSON text: text, or JSON text of a list.
pub(super) fn json_field(object: SimpleExpr, name: &str, backend: DbBackend) -> SimpleExpr {
    if backend == DbBackend::Postgres {
        let json = object.cast_as(Alias::new("jsonb"));
        return Func::cust(Alias::new("jsonb_extract_path_text")).arg(json).arg(name).into();
    }
    Func::cust(Alias::new("json_extract")).arg(object).arg(format!("$.{name}")).into()
}

/// An instant in such a field, as text that is ordered like time: compare it with
/// [`ordered`].
pub(super) fn json_instant(object: SimpleExpr, name: &str, backend: DbBackend) -> SimpleExpr {
    let text = Func::cust(Alias::new("rtrim")).arg(json_field(object, name, backend)).arg("Z").into();
    // The order of bytes, in which SQLite has all text.
    if backend == DbBackend::Postgres { Expr::cust_with_exprs("$1 COLLATE \"C\"", [text]) } else { text }
}

/// An instant as [`json_instant`] has it: without the letter that a fraction of a
/// second would stand before.
pub(super) fn ordered(instant: Timestamp) -> String {
    instant.to_string().trim_end_matches('Z').to_owned()
}

/// Rows that are written with one statement, or with few.
pub(super) struct Bulk {
    pub(super) table: &'static str,
    pub(super) columns: Vec<(&'static str, Column)>,
    /// What happens to a row that is there already, and what is returned:
    /// `ON CONFLICT …` in the words that both databases understand.
    pub(super) suffix: &'static str,
}

/// How many rows a statement to SQLite writes: few sizes, so that few
/// statements are prepared, and within its 32,766 variables.
const SQLITE_SIZES: [usize; 5] = [512, 128, 32, 8, 1];

impl Bulk {
    /// Writes the rows; what the statement returns comes back.
    pub(super) async fn run(self, transaction: &DatabaseTransaction) -> Result<Vec<QueryResult>, StoreError> {
        let rows = self.columns.first().map_or(0, |(_, column)| column.len());
        if rows == 0 {
            return Ok(Vec::new());
        }
        match transaction.get_database_backend() {
            DbBackend::Postgres => self.run_on_postgres(transaction).await,
            _ => self.run_on_sqlite(transaction, rows).await,
        }
    }

    /// One array per column: the statement's text does not depend on the
    /// number of rows, so that it is prepared once.
    async fn run_on_postgres(self, transaction: &DatabaseTransaction) -> Result<Vec<QueryResult>, StoreError> {
        let names = self.names();
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (_, column))| format!("${}::{}[]", index + 1, column.postgres_type()))
            .collect();
        let sql =
            format!("INSERT INTO {} ({names}) SELECT * FROM UNNEST({}) {}", self.table, arrays.join(", "), self.suffix);
        let values: Vec<Value> = self.columns.into_iter().map(|(_, column)| column.into_array()).collect();
        Ok(transaction.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?)
    }

    async fn run_on_sqlite(
        self,
        transaction: &DatabaseTransaction,
        rows: usize,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let names = self.names();
        let width = self.columns.len();
        let row = format!("({})", vec!["?"; width].join(", "));
        let mut columns: Vec<_> = self.columns.into_iter().map(|(_, column)| column.into_values()).collect();
        let mut returned = Vec::new();
        let mut left = rows;
        while left > 0 {
            let size = SQLITE_SIZES.into_iter().find(|size| *size <= left).unwrap_or(1);
            left -= size;
            let mut sql = format!("INSERT INTO {} ({names}) VALUES {row}", self.table);
            for _ in 1..size {
                // Writing to a string cannot fail.
                let _ = write!(sql, ", {row}");
            }
            let _ = write!(sql, " {}", self.suffix);
            let mut values = Vec::with_capacity(size * width);
            for _ in 0..size {
                values.extend(columns.iter_mut().filter_map(Iterator::next));
            }
            let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
            returned.extend(transaction.query_all_raw(statement).await?);
        }
        Ok(returned)
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}
