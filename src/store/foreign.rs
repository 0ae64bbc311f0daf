//! The database of another gateway, which is only read.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Map, Value};

use super::error::StoreError;

/// A PostgreSQL database that is not Bursar's.
#[derive(Clone, Debug)]
pub struct ForeignDatabase(DatabaseConnection);

impl ForeignDatabase {
    /// Connects; nothing can be written over the connection.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be reached.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let connection = Database::connect(options).await?;
        connection.execute_unprepared("SET default_transaction_read_only = on").await?;
        Ok(Self(connection))
    }

    /// All rows of a table, as objects, in a stable order; `None` if there is no
    /// such table.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn rows(&self, table: &'static str) -> Result<Option<Vec<Map<String, Value>>>, StoreError> {
        let named = format!("\"{table}\"");
        let exists = "SELECT to_regclass($1) IS NOT NULL AS found";
        let exists = Statement::from_sql_and_values(DbBackend::Postgres, exists, [named.as_str().into()]);
        let found = self.0.query_one_raw(exists).await?.map(|row| row.try_get::<bool>("", "found")).transpose()?;
        if found != Some(true) {
            return Ok(None);
        }
        let all = format!("SELECT to_jsonb(t) AS fields FROM {named} t ORDER BY to_jsonb(t)::text");
        let rows = self.0.query_all_raw(Statement::from_string(DbBackend::Postgres, all)).await?;
        let fields = |row: &sea_orm::QueryResult| match row.try_get::<Value>("", "fields")? {
            Value::Object(fields) => Ok(fields),
            _ => Ok(Map::new()),
        };
        rows.iter().map(fields).collect::<Result<_, StoreError>>().map(Some)
    }
}
