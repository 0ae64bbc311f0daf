//! Idempotency records: the first answer to a request, for its retries.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::connect::Store;
use super::entity::idempotency_records;
use super::error::{Constraint, StoreError};
use super::tx::Tx;
use super::view::View;
use crate::domain::clock::Timestamp;

/// How long an answer is kept, in seconds.
pub const ANSWER_SECONDS: i64 = 86_400;

/// How long the secret of an answer is kept, in seconds.
pub const SECRET_SECONDS: i64 = 600;

/// The first answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Whose request it was.
    pub caller: String,
    /// The RPC.
    pub rpc: String,
    /// The id that the caller chose.
    pub request_id: String,
    /// A hash of the request.
    pub payload_hash: String,
    /// The answer, without its secret.
    pub response: Vec<u8>,
    /// The answer's secret, encrypted.
    pub sealed_secret: Option<Vec<u8>>,
    /// When it was given.
    pub created_at: Timestamp,
}

impl View<'_> {
    /// The first answer to a request, if it was answered within
    /// [`ANSWER_SECONDS`].
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_idempotency_record(
        &self,
        caller: &str,
        rpc: &str,
        request_id: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let key = (caller.to_owned(), rpc.to_owned(), request_id.to_owned());
        let kept_since = now.plus_seconds(-ANSWER_SECONDS).micros();
        let query = idempotency_records::Entity::find_by_id(key);
        let row = query.filter(idempotency_records::Column::CreatedAt.gt(kept_since)).one(&self.executor()).await?;
        Ok(row.map(|row| IdempotencyRecord {
            caller: row.caller,
            rpc: row.rpc,
            request_id: row.request_id,
            payload_hash: row.payload_hash,
            response: row.response.unwrap_or_default(),
            sealed_secret: row.sealed_secret,
            created_at: Timestamp::from_micros(row.created_at),
        }))
    }
}

impl Tx {
    /// Keeps the answer that this change leads to.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the request was answered meanwhile.
    pub async fn insert_idempotency_record(&mut self, record: IdempotencyRecord) -> Result<(), StoreError> {
        insert(&self.inner, vec![record]).await
    }
}

/// Keeps answers in place of those that nobody may have swept yet, and that are
/// too old to count.
///
/// # Errors
/// [`StoreError::Taken`] if one of the requests was answered meanwhile.
pub(super) async fn insert(
    transaction: &DatabaseTransaction,
    records: Vec<IdempotencyRecord>,
) -> Result<(), StoreError> {
    use idempotency_records::Column;
    let Some(oldest) = records.iter().map(|record| record.created_at).min() else { return Ok(()) };
    let count = records.len() as u64;
    let too_old = oldest.plus_seconds(-ANSWER_SECONDS).micros();
    let mut instead = OnConflict::columns([Column::Caller, Column::Rpc, Column::RequestId]);
    instead.update_columns([Column::PayloadHash, Column::Response, Column::SealedSecret, Column::CreatedAt]);
    instead.action_and_where(Expr::col((idempotency_records::Entity, Column::CreatedAt)).lte(too_old));
    let rows = records.into_iter().map(|record| idempotency_records::ActiveModel {
        caller: Set(record.caller),
        rpc: Set(record.rpc),
        request_id: Set(record.request_id),
        payload_hash: Set(record.payload_hash),
        response: Set(Some(record.response)),
        sealed_secret: Set(record.sealed_secret),
        created_at: Set(record.created_at.micros()),
    });
    let insert = idempotency_records::Entity::insert_many(rows).on_conflict(instead);
    let written = insert.exec_without_returning(transaction).await?;
    if written == count { Ok(()) } else { Err(StoreError::Taken(Constraint::RequestId)) }
}

impl Store {
    /// Forgets secrets and answers that are older than they are kept.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_answers(&self, now: Timestamp) -> Result<(), StoreError> {
        use idempotency_records::Column;
        let before = |seconds: i64| Column::CreatedAt.lte(now.plus_seconds(-seconds).micros());
        idempotency_records::Entity::update_many()
            .col_expr(Column::SealedSecret, sea_orm::sea_query::Expr::val(None::<Vec<u8>>))
            .filter(before(SECRET_SECONDS))
            .filter(Column::SealedSecret.is_not_null())
            .exec(self.writer())
            .await?;
        idempotency_records::Entity::delete_many().filter(before(ANSWER_SECONDS)).exec(self.writer()).await?;
        Ok(())
    }
}
