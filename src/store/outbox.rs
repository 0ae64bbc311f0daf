//! The outbox: what is to be sent when a change is durable, at least once.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};

use super::connect::Store;
use super::entity::outbox::{self, Column};
use super::error::StoreError;
use super::tx::Tx;
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;

/// When an entry is due that is not sent again.
pub(super) const NEVER: i64 = i64::MAX;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OutboxKind {
    /// The mail of an invitation, which is the subject; the payload is its
    /// token, sealed.
    InvitationMail,
    /// A message to the webhook that is the subject; the payload is its body.
    Webhook,
}

impl OutboxKind {
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Something that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Names it.
    pub entry_id: String,
    /// What it is about.
    pub subject: String,
    /// What is sent, or what it is made of.
    pub payload: Vec<u8>,
    /// How often it was tried, this time included.
    pub attempts: i64,
    /// Until when nobody else gets it.
    pub claimed_until: Timestamp,
}

impl Store {
    /// Claims what has been due for longest, of all or of one subject: until an
    /// instant nobody else gets it, and then it is due again.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn claim_outbox_entry(
        &self,
        kind: OutboxKind,
        subject: Option<&str>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<OutboxEntry>, StoreError> {
        loop {
            let due = outbox::Entity::find()
                .filter(Column::Kind.eq(kind.as_str()))
                .filter(Column::DueAt.lte(now.micros()))
                .filter(Condition::all().add_option(subject.map(|subject| Column::Subject.eq(subject))))
                .order_by_asc(Column::DueAt)
                .one(self.readers())
                .await?;
            let Some(row) = due else { return Ok(None) };
            let attempts = row.attempts + 1;
            let claimed = outbox::Entity::update_many()
                .col_expr(Column::DueAt, Expr::value(until.micros()))
                .col_expr(Column::Attempts, Expr::value(attempts))
                .filter(Column::EntryId.eq(row.entry_id.as_str()))
                .filter(Column::DueAt.eq(row.due_at))
                .exec(self.writer())
                .await?;
            if claimed.rows_affected == 1 {
                return Ok(Some(OutboxEntry {
                    entry_id: row.entry_id,
                    subject: row.subject,
                    payload: row.payload.unwrap_or_default(),
                    attempts,
                    claimed_until: until,
                }));
            }
        }
    }
}

impl Tx {
    /// Adds an entry, due at once.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn insert_outbox_entry(
        &mut self,
        kind: OutboxKind,
        subject: &str,
        payload: Vec<u8>,
    ) -> Result<(), StoreError> {
        let unsent = Unsent { subject: subject.to_owned(), payload };
        insert_entries(&self.inner, kind, vec![unsent], self.now()).await
    }

    /// Removes an entry: it was sent, or never will be.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn delete_outbox_entry(&mut self, entry: &OutboxEntry) -> Result<(), StoreError> {
        outbox::Entity::delete_by_id(entry.entry_id.as_str()).exec(&self.inner).await?;
        Ok(())
    }

    /// Makes an entry due at another instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn postpone_outbox_entry(&mut self, entry: &OutboxEntry, due_at: Timestamp) -> Result<(), StoreError> {
        outbox::Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(due_at.micros()))
            .filter(Column::EntryId.eq(entry.entry_id.as_str()))
            .exec(&self.inner)
            .await?;
        Ok(())
    }
}

/// An entry that is to be added.
pub(super) struct Unsent {
    pub(super) subject: String,
    pub(super) payload: Vec<u8>,
}

/// Adds entries, due at once.
pub(super) async fn insert_entries(
    transaction: &DatabaseTransaction,
    kind: OutboxKind,
    unsent: Vec<Unsent>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = |Unsent { subject, payload }: Unsent| outbox::ActiveModel {
        entry_id: Set(new_uuid().to_string()),
        kind: Set(kind.as_str().to_owned()),
        subject: Set(subject),
        payload: Set(Some(payload)),
        attempts: Set(0),
        due_at: Set(now.micros()),
        created_at: Set(now.micros()),
        dead_at: Set(None),
        error: Set(None),
    };
    let rows: Vec<outbox::ActiveModel> = unsent.into_iter().map(row).collect();
    // 9 columns a row: far below what a statement may bind.
    for rows in rows.chunks(500) {
        outbox::Entity::insert_many(rows.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}
