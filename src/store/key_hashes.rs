//! The hashes of keys: a key is found under that of its secret, and under those
//! of the secrets it had.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement, SimpleExpr, UnionType};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, StatementBuilder};

use super::entity::{deleted_keys, keys, rotated_keys};
use super::error::{Constraint, StoreError};
use super::json::word;
use super::key_rows::parse_key_id;
use super::tx::Tx;
use super::view::View;
use crate::domain::ids::KeyId;
use crate::domain::key::Key;
use crate::domain::secret::KeyHash;

/// The live keys that have one of these hashes, or had it.
pub(super) fn live(hashes: &[KeyHash]) -> SimpleExpr {
    keys::Column::KeyId.in_subquery(ids("keys", hashes, &[]))
}

/// The deleted keys that had one of these hashes.
pub(super) fn deleted(hashes: &[KeyHash]) -> SimpleExpr {
    deleted_keys::Column::KeyId.in_subquery(ids("deleted_keys", hashes, &[]))
}

/// The ids that go with these hashes, in a table of keys and among those that
/// were rotated out. A union, because each half has its index.
fn ids(table: &'static str, hashes: &[KeyHash], more: &[&'static str]) -> SelectStatement {
    let hashes: Vec<String> = hashes.iter().map(KeyHash::to_string).collect();
    let of = |table: &'static str| {
        let mut ids = Query::select();
        ids.column(Alias::new("key_id")).columns(more.iter().map(|name| Alias::new(*name))).from(Alias::new(table));
        ids.and_where(Expr::col(Alias::new("key_hash")).is_in(hashes.iter().map(String::as_str)));
        ids
    };
    let mut ids = of(table);
    ids.union(UnionType::All, of("rotated_keys"));
    ids
}

impl View<'_> {
    /// Which live keys have these hashes, or had them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn keys_with(&self, hashes: &[KeyHash]) -> Result<Vec<(KeyHash, KeyId)>, StoreError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let query = ids("keys", hashes, &["key_hash"]);
        let rows = self.executor().query_all_raw(StatementBuilder::build(&query, &self.backend())).await?;
        let pair = |row: &sea_orm::QueryResult| {
            let (hash, id): (String, String) = (row.try_get("", "key_hash")?, row.try_get("", "key_id")?);
            Ok((word(&hash)?, parse_key_id(&id)?))
        };
        rows.iter().map(pair).collect()
    }
}

/// Refuses hashes that a key had once. To be asked after they were written: then
/// nobody else can write them any more.
///
/// # Errors
/// [`StoreError::Taken`].
pub(super) async fn check_unused(transaction: &DatabaseTransaction, hashes: &[KeyHash]) -> Result<(), StoreError> {
    let mut query = ids("deleted_keys", hashes, &[]);
    query.limit(1);
    let statement = StatementBuilder::build(&query, &transaction.get_database_backend());
    match transaction.query_one_raw(statement).await? {
        Some(_) => Err(StoreError::Taken(Constraint::DeletedKeyHash)),
        None => Ok(()),
    }
}

impl Tx {
    /// Remembers the hash that a key had.
    pub(super) async fn remember_hash(&self, key: &Key) -> Result<(), StoreError> {
        let row = rotated_keys::ActiveModel {
            key_hash: Set(key.key_hash.to_string()),
            key_id: Set(key.key_id.to_string()),
            rotated_at: Set(self.now().micros()),
        };
        rotated_keys::Entity::insert(row).exec_without_returning(&self.inner).await?;
        Ok(())
    }
}
